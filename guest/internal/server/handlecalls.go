package server

import (
	"context"
	"encoding/base64"
	"io"
	"strconv"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
)

// maxHandleIOBytes is the most that one call reads from a handle.
const maxHandleIOBytes = 512 << 10

// handlesOf returns the open files of a session, which are closed with it.
func (s *Server) handlesOf(session *link.Session) *files.Handles {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.handles[session]
	if h == nil {
		h = files.NewHandles()
		if session.Closed() {
			h.CloseAll()
			return h
		}
		s.handles[session] = h
	}
	return h
}

// SessionOver frees what belonged to a session.
func (s *Server) SessionOver(session *link.Session) {
	s.mu.Lock()
	h := s.handles[session]
	delete(s.handles, session)
	s.mu.Unlock()
	if h != nil {
		h.CloseAll()
	}
}

func (s *Server) open(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFileParams(r)
	if err == nil {
		err = complete("fs.open", p)
	}
	if err != nil {
		return nil, err
	}
	p.open.Mode = p.modeOr(0o666)
	return func() {
		f, err := s.openFile(c.Context(), p, &p.open)
		if err != nil {
			c.Error(err)
			return
		}
		handle, err := s.handlesOf(c.Session()).Add(f)
		if err != nil {
			c.Error(err)
			return
		}
		o := jsonlite.NewObject(nil)
		o.Int("handle", handle)
		c.OK(o.Close())
	}, nil
}

// handleWork is what a call on an open file does. It returns the answer in JSON.
type handleWork func(ctx context.Context, h *files.Handle, p *fileParams) ([]byte, error)

var handleMethods = map[string]handleWork{
	"file.read":  readHandle,
	"file.write": writeHandle,
	"file.seek":  seekHandle,
	"file.stat": func(_ context.Context, h *files.Handle, _ *fileParams) ([]byte, error) {
		st, err := h.Stat()
		return st.JSON(), err
	},
	"file.truncate": func(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
		return null, h.Truncate(p.length)
	},
	"file.sync": func(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
		return null, h.Sync(p.dataOnly)
	},
	"file.utime": func(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
		return null, h.SetTimes(p.atime, p.mtime)
	},
	"file.lock": func(ctx context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
		return null, h.Lock(ctx, p.exclusive)
	},
	"file.unlock": func(_ context.Context, h *files.Handle, _ *fileParams) ([]byte, error) {
		return null, h.Unlock()
	},
	"file.close": func(_ context.Context, h *files.Handle, _ *fileParams) ([]byte, error) {
		return null, h.Close()
	},
}

// handleMethod makes a method of handleWork. Calls on one file are done in the order in which they came, but for
// file.lock, which may wait for long, and what is to end that wait.
func (s *Server) handleMethod(name string, work handleWork) method {
	return func(c *link.Call, r *jsonlite.Reader) (func(), error) {
		p, err := readFileParams(r)
		if err != nil {
			return nil, err
		}
		table := s.handlesOf(c.Session())
		var turn *files.Turn
		if name == "file.close" {
			turn, err = table.Remove(p.handle)
		} else {
			turn, err = table.Turn(p.handle, name != "file.lock" && name != "file.unlock")
		}
		if err != nil {
			return nil, err
		}
		return func() {
			turn.Begin()
			defer turn.Done()
			answer, err := work(c.Context(), turn.Handle, p)
			if err != nil {
				c.Error(err)
				return
			}
			c.OK(answer)
		}, nil
	}
}

func readHandle(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
	if p.length > maxHandleIOBytes {
		return nil, errno.New("EINVAL", "at most "+strconv.Itoa(maxHandleIOBytes)+" bytes can be read at a time")
	}
	buf := make([]byte, p.length)
	n, err := h.Read(buf)
	o := jsonlite.NewObject(nil)
	switch {
	case err == io.EOF:
		o.Null("data")
	case err != nil:
		return nil, err
	default:
		o.String("data", base64.StdEncoding.EncodeToString(buf[:n]))
	}
	return o.Close(), nil
}

func writeHandle(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(p.data)
	if err != nil {
		return nil, errno.New("EINVAL", "data is not base64")
	}
	n, err := h.Write(data)
	if err != nil && n == 0 {
		return nil, err
	}
	o := jsonlite.NewObject(nil)
	o.Int("written", int64(n))
	return o.Close(), nil
}

func seekHandle(_ context.Context, h *files.Handle, p *fileParams) ([]byte, error) {
	offset, err := strconv.ParseInt(p.offset, 10, 64)
	if err != nil {
		return nil, errno.New("EINVAL", "not an offset: "+strconv.Quote(p.offset))
	}
	position, err := h.Seek(offset, p.whence)
	if err != nil {
		return nil, err
	}
	o := jsonlite.NewObject(nil)
	o.Int("position", position)
	return o.Close(), nil
}
