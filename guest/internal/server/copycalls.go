package server

import (
	"errors"

	"sbx.dev/agent/internal/copystream"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
)

// copyParams are those of both copy calls.
type copyParams struct {
	paths            []string
	destination      string
	user             string
	stream           uint32
	globs, directory bool
}

func readCopyParams(r *jsonlite.Reader) (*copyParams, error) {
	p := &copyParams{}
	r.Object(func(key string) {
		switch key {
		case "paths":
			p.paths = stringList(r)
		case "destination":
			p.destination = r.String()
		case "user":
			p.user = r.String()
		case "stream":
			p.stream = streamID(r)
		case "globs":
			p.globs = r.Bool()
		case "directory":
			p.directory = r.Bool()
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	for _, path := range append(p.paths, p.destination) {
		if path == "" && len(p.paths) > 0 {
			continue // copy.send has no destination.
		}
		if err := files.CheckPath(path); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (s *Server) copySend(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readCopyParams(r)
	if err != nil {
		return nil, err
	}
	if len(p.paths) == 0 {
		return nil, errno.New("EINVAL", "copy.send: there is nothing to copy")
	}
	out, err := c.OpenProducer(p.stream)
	if err != nil {
		return nil, err
	}
	if !s.trees.enter() {
		return nil, errTooManyTrees
	}
	return func() {
		defer s.trees.leave()
		c.OnCancel(func() { out.Fail(errno.ErrCanceled) })
		frames := out.Buffered()
		defer frames.Release()
		var report *copystream.Report
		id, err := s.machine.Identity(p.user)
		if err == nil {
			err = id.Do(func() (err error) {
				if p.globs {
					if p.paths, err = copystream.Expand(p.paths); err != nil {
						return err
					}
				}
				report, err = copystream.Send(c.Context(), p.paths, frames)
				return err
			})
		}
		if c.Context().Err() != nil || errors.Is(err, link.ErrStopped) {
			err = errno.ErrCanceled
		}
		if err != nil {
			c.Error(err)
			return
		}
		out.End()
		c.OK(report.JSON())
	}, nil
}

func (s *Server) copyReceive(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readCopyParams(r)
	if err != nil {
		return nil, err
	}
	in, err := c.OpenConsumer(p.stream)
	if err != nil {
		return nil, err
	}
	if !s.trees.enter() {
		return nil, errTooManyTrees
	}
	return func() {
		defer s.trees.leave()
		c.OnCancel(in.Stop)
		var report *copystream.Report
		id, err := s.machine.Identity(p.user)
		if err == nil {
			mask := uint32(s.mask.Set(-1))
			err = id.Do(func() (err error) {
				report, err = copystream.Receive(c.Context(), p.destination, p.directory, mask, in)
				return err
			})
		}
		if err != nil {
			c.Error(err)
			return
		}
		in.Stop()
		c.OK(report.JSON())
	}, nil
}
