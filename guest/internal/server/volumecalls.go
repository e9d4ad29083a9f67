package server

import (
	"time"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/volumes"
)

const (
	defaultFreezeLimit = 10 * time.Second
	maxFreezeMs        = 60_000
	maxSerial          = 64
)

// diskMachine is a Machine whose disks may be changed.
type diskMachine interface{ Disks() *volumes.Manager }

// volumeParams are the parameters of all calls on volumes.
type volumeParams struct {
	serial, path, user string
	readOnly           bool
	bytes              int64
	limit              time.Duration
}

func readVolumeParams(r *jsonlite.Reader) (*volumeParams, error) {
	p := &volumeParams{limit: defaultFreezeLimit}
	r.Object(func(key string) {
		switch key {
		case "serial":
			p.serial = r.String()
		case "path":
			p.path = r.String()
		case "user":
			p.user = r.String()
		case "readOnly":
			p.readOnly = r.Bool()
		case "bytes":
			p.bytes = r.Int(0, 1<<53)
		case "limitMs":
			p.limit = time.Duration(r.Int(1, maxFreezeMs)) * time.Millisecond
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	if len(p.serial) > maxSerial {
		return nil, errno.New("EINVAL", "a serial number is too long")
	}
	return p, files.CheckPath(p.path)
}

// volumeMethod makes a method of work on a machine's disks. work returns the answer, nil for null.
func (s *Server) volumeMethod(work func(c *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error)) method {
	return func(c *link.Call, r *jsonlite.Reader) (func(), error) {
		p, err := readVolumeParams(r)
		if err != nil {
			return nil, err
		}
		machine, able := s.machine.(diskMachine)
		if !able {
			return nil, errno.New(errno.Unsupported, "this machine's disks are not the agent's")
		}
		return func() {
			answer, err := work(c, machine.Disks(), p)
			switch {
			case err != nil:
				c.Error(err)
			case answer == nil:
				c.Null()
			default:
				c.OK(answer)
			}
		}, nil
	}
}

// volumeMethods are the calls on volumes by their names.
func (s *Server) volumeMethods() map[string]method {
	return map[string]method{
		"mount": s.volumeMethod(func(c *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error) {
			owner, err := s.machine.Identity(p.user)
			if err != nil {
				return nil, err
			}
			disk := volumes.Disk{Serial: p.serial, Path: p.path, ReadOnly: p.readOnly, Owner: owner}
			mounted, err := m.Mount(c.Context(), disk)
			if err != nil {
				return nil, err
			}
			o := jsonlite.NewObject(nil)
			o.String("device", mounted.Device)
			o.Int("bytes", int64(mounted.Bytes))
			return o.Close(), nil
		}),
		"unmount": s.volumeMethod(func(_ *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error) {
			return nil, m.Unmount(p.path)
		}),
		"freeze": s.volumeMethod(func(_ *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error) {
			return nil, m.Freeze(p.path, p.limit)
		}),
		"thaw": s.volumeMethod(func(_ *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error) {
			return nil, m.Thaw(p.path)
		}),
		"grow": s.volumeMethod(func(c *link.Call, m *volumes.Manager, p *volumeParams) ([]byte, error) {
			bytes, err := m.Grow(c.Context(), p.path, uint64(p.bytes))
			if err != nil {
				return nil, err
			}
			o := jsonlite.NewObject(nil)
			o.Int("bytes", int64(bytes))
			return o.Close(), nil
		}),
	}
}
