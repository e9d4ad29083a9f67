package server

import (
	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/folders"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
)

// folderMachine is a Machine into which directories of the host may be put.
type folderMachine interface {
	MakePlace(path string, owner *accounts.Identity) error
	MountFolder(path string, readOnly bool, owner *accounts.Identity) (*folders.Folder, error)
	SyncFolder(path string) error
}

// MakePlace makes a directory that belongs to somebody.
func (g *Guest) MakePlace(path string, owner *accounts.Identity) error {
	return folders.MakePlace(path, owner)
}

// MountFolder mounts a directory of the host.
func (g *Guest) MountFolder(path string, readOnly bool, owner *accounts.Identity) (*folders.Folder, error) {
	return folders.Mount(path, readOnly, owner)
}

// SyncFolder has the host get what it does not have yet of a folder.
func (g *Guest) SyncFolder(path string) error { return folders.Sync(path) }

// folderParams are the parameters of all calls on folders.
type folderParams struct {
	path, user  string
	readOnly    bool
	read, write uint32
}

func readFolderParams(r *jsonlite.Reader) (*folderParams, error) {
	p := &folderParams{}
	r.Object(func(key string) {
		switch key {
		case "path":
			p.path = r.String()
		case "user":
			p.user = r.String()
		case "readOnly":
			p.readOnly = r.Bool()
		case "read":
			p.read = streamID(r)
		case "write":
			p.write = streamID(r)
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	return p, files.CheckPath(p.path)
}

// folderMethods are the calls on folders by their names.
func (s *Server) folderMethods() map[string]method {
	return map[string]method{
		"folder.place": s.folderMethod(func(machine folderMachine, p *folderParams) error {
			owner, err := s.machine.Identity(p.user)
			if err != nil {
				return err
			}
			return machine.MakePlace(p.path, owner)
		}),
		"folder.sync": s.folderMethod(func(machine folderMachine, p *folderParams) error {
			return machine.SyncFolder(p.path)
		}),
		"folder.mount": s.folderMount,
	}
}

var errNoFolders = errno.New(errno.Unsupported, "nothing can be mounted on this machine")

// folderMethod makes a method of work that has no answer.
func (s *Server) folderMethod(work func(machine folderMachine, p *folderParams) error) method {
	return func(c *link.Call, r *jsonlite.Reader) (func(), error) {
		p, err := readFolderParams(r)
		if err != nil {
			return nil, err
		}
		machine, able := s.machine.(folderMachine)
		if !able {
			return nil, errNoFolders
		}
		return func() {
			if err := work(machine, p); err != nil {
				c.Error(err)
				return
			}
			c.Null()
		}, nil
	}
}

func (s *Server) folderMount(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFolderParams(r)
	if err != nil {
		return nil, err
	}
	machine, able := s.machine.(folderMachine)
	if !able {
		return nil, errNoFolders
	}
	out, err := c.OpenProducer(p.read)
	if err != nil {
		return nil, err
	}
	in, err := c.OpenConsumer(p.write)
	if err != nil {
		return nil, err
	}
	return func() {
		owner, err := s.machine.Identity(p.user)
		var folder *folders.Folder
		if err == nil {
			s.procs.FilesMayWait()
			folder, err = machine.MountFolder(p.path, p.readOnly, owner)
		}
		if err != nil {
			c.Error(err)
			return
		}
		o := jsonlite.NewObject(nil)
		o.Int("uid", int64(owner.UID))
		o.Int("gid", int64(owner.GID))
		c.OK(o.Close())
		folder.Carry(out, in)
	}, nil
}
