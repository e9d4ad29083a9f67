package server

import (
	"context"
	"errors"
	"os"
	"path"
	"sync/atomic"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
)

// maxFileCalls is how many calls on files run at a time: each has a thread of its own. What streams is not counted.
const maxFileCalls = 64

// fileWork is what a call on files does, with the rights of its user. It returns the answer in JSON.
type fileWork func(ctx context.Context, p *fileParams) ([]byte, error)

var null = []byte("null")

// nothing adapts work that has no result.
func nothing(f func(p *fileParams) error) fileWork {
	return func(_ context.Context, p *fileParams) ([]byte, error) { return null, f(p) }
}

// text adapts work whose result is a string.
func text(f func(p *fileParams) (string, error)) fileWork {
	return func(_ context.Context, p *fileParams) ([]byte, error) {
		s, err := f(p)
		return jsonlite.AppendString(nil, s), err
	}
}

func (s *Server) fileMethods() map[string]fileWork {
	return map[string]fileWork{
		"fs.readDir": readDir,
		"fs.stat":    func(_ context.Context, p *fileParams) ([]byte, error) { return stat(p, true) },
		"fs.lstat":   func(_ context.Context, p *fileParams) ([]byte, error) { return stat(p, false) },
		"fs.remove":  nothing(func(p *fileParams) error { return files.Remove(p.path, p.recursive) }),
		"fs.mkdir":   nothing(func(p *fileParams) error { return files.Mkdir(p.path, p.recursive, p.modeOr(0o777)) }),
		"fs.rename":  nothing(func(p *fileParams) error { return files.Rename(p.from, p.to) }),
		"fs.copyFile": func(ctx context.Context, p *fileParams) ([]byte, error) {
			return null, files.Copy(ctx, p.from, p.to)
		},
		"fs.chmod":    nothing(func(p *fileParams) error { return files.Chmod(p.path, p.modeOr(0)) }),
		"fs.chown":    nothing(func(p *fileParams) error { return files.Chown(p.path, int(p.uid), int(p.gid)) }),
		"fs.link":     nothing(func(p *fileParams) error { return files.Link(p.target, p.path) }),
		"fs.symlink":  nothing(func(p *fileParams) error { return files.Symlink(p.target, p.path) }),
		"fs.readLink": text(func(p *fileParams) (string, error) { return files.ReadLink(p.path) }),
		"fs.realPath": text(func(p *fileParams) (string, error) { return files.RealPath(p.path) }),
		"fs.makeTemp": text(func(p *fileParams) (string, error) {
			return files.MakeTemp(p.dir, p.prefix, p.suffix, p.directory)
		}),
		"fs.truncate": nothing(func(p *fileParams) error { return files.Truncate(p.path, p.length) }),
		"fs.utime":    nothing(func(p *fileParams) error { return files.SetTimes(p.path, p.atime, p.mtime) }),
	}
}

// required names the paths that a call cannot do without.
var required = map[string]func(p *fileParams) bool{
	"fs.rename":   func(p *fileParams) bool { return p.from != "" && p.to != "" },
	"fs.copyFile": func(p *fileParams) bool { return p.from != "" && p.to != "" },
	"fs.makeTemp": func(p *fileParams) bool { return p.dir != "" },
	"fs.link":     func(p *fileParams) bool { return p.path != "" && path.IsAbs(p.target) },
	"fs.symlink":  func(p *fileParams) bool { return p.path != "" && p.target != "" },
	"fs.chmod":    func(p *fileParams) bool { return p.path != "" && p.mode >= 0 },
}

func complete(name string, p *fileParams) error {
	check := required[name]
	if check == nil {
		check = func(p *fileParams) bool { return p.path != "" }
	}
	if !check(p) {
		return errno.New("EINVAL", name+": a parameter is missing")
	}
	return nil
}

// fileMethod makes a method of fileWork.
func (s *Server) fileMethod(name string, work fileWork) method {
	return func(c *link.Call, r *jsonlite.Reader) (func(), error) {
		p, err := readFileParams(r)
		if err == nil {
			err = complete(name, p)
		}
		if err != nil {
			return nil, err
		}
		return func() {
			var answer []byte
			id, err := s.machine.Identity(p.user)
			if err == nil {
				s.fileSlots <- struct{}{}
				defer func() { <-s.fileSlots }()
				err = id.Do(func() (err error) {
					answer, err = work(c.Context(), p)
					return err
				})
			}
			if err != nil {
				c.Error(err)
				return
			}
			c.OK(answer)
		}, nil
	}
}

func readDir(_ context.Context, p *fileParams) ([]byte, error) {
	entries, err := files.ReadDir(p.path, files.MaxEntries)
	if err != nil {
		return nil, err
	}
	return files.EntriesJSON(entries), nil
}

func stat(p *fileParams, follow bool) ([]byte, error) {
	st, err := files.StatPath(p.path, follow)
	if err != nil {
		return nil, err
	}
	return st.JSON(), nil
}

func (s *Server) umask(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFileParams(r)
	if err != nil {
		return nil, err
	}
	c.OK(jsonlite.AppendInt(nil, int64(s.mask.Set(int(p.mask)))))
	return nil, nil
}

// openFile opens a file with the rights of the call's user. Without a reader at the other end of a FIFO it waits for
// one.
func (s *Server) openFile(ctx context.Context, p *fileParams, options *files.OpenOptions) (f *os.File, err error) {
	id, err := s.machine.Identity(p.user)
	if err != nil {
		return nil, err
	}
	err = files.Retry(ctx, "ENXIO", func() error {
		s.fileSlots <- struct{}{}
		defer func() { <-s.fileSlots }()
		return id.Do(func() (err error) {
			f, err = files.Open(p.path, options)
			return err
		})
	})
	return f, err
}

func (s *Server) readFile(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFileParams(r)
	if err == nil {
		err = complete("fs.readFile", p)
	}
	if err != nil {
		return nil, err
	}
	out, err := c.OpenProducer(p.stream)
	if err != nil {
		return nil, err
	}
	return func() {
		f, err := s.openFile(c.Context(), p, &files.OpenOptions{Read: true})
		if err != nil {
			c.Error(err)
			return
		}
		defer f.Close()
		c.OnCancel(func() { out.Fail(errno.ErrCanceled) })
		// Nothing else ends the wait for a FIFO that is silent.
		out.OnOver(func() { f.Close() })
		if err := files.Send(f, out); err != nil && !out.Over() {
			c.Error(err)
			return
		}
		out.End()
		answerUnlessCancelled(c)
	}, nil
}

// answerUnlessCancelled ends a call whose work came to its end.
func answerUnlessCancelled(c *link.Call) {
	if c.Context().Err() != nil {
		c.Error(errno.ErrCanceled)
		return
	}
	c.Null()
}

func (s *Server) writeFile(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFileParams(r)
	if err == nil {
		err = complete("fs.writeFile", p)
	}
	if err != nil {
		return nil, err
	}
	in, err := c.OpenConsumer(p.stream)
	if err != nil {
		return nil, err
	}
	return func() {
		c.OnCancel(in.Stop)
		options := &files.OpenOptions{
			Write: true, Append: p.open.Append, Truncate: !p.open.Append,
			Create: p.open.Create, CreateNew: p.open.CreateNew, Mode: p.modeOr(0o666),
		}
		f, err := s.openFile(c.Context(), p, options)
		if err != nil {
			c.Error(err)
			return
		}
		defer f.Close()
		c.OnCancel(func() {
			in.Stop()
			f.Close()
		})
		if err := files.Receive(f, in); err != nil {
			c.Error(err)
			return
		}
		if err := s.setWrittenMode(f, p); err != nil {
			c.Error(err)
			return
		}
		if err := f.Close(); err != nil {
			c.Error(err)
			return
		}
		c.Null()
	}, nil
}

// setWrittenMode gives a written file exactly the mode that was asked for, whatever the mask and whether it was new.
func (s *Server) setWrittenMode(f *os.File, p *fileParams) error {
	if p.mode < 0 {
		return nil
	}
	id, err := s.machine.Identity(p.user)
	if err != nil {
		return err
	}
	return id.Do(func() error { return files.Fchmod(f, uint32(p.mode)) })
}

func (s *Server) walk(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p, err := readFileParams(r)
	if err == nil {
		err = complete("fs.walk", p)
	}
	if err != nil {
		return nil, err
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
		id, err := s.machine.Identity(p.user)
		if err == nil {
			err = walkTo(c, out, id, p)
		}
		if err != nil && !errors.Is(err, link.ErrStopped) {
			c.Error(err)
			return
		}
		out.End()
		answerUnlessCancelled(c)
	}, nil
}

func walkTo(c *link.Call, out *link.Producer, id *accounts.Identity, p *fileParams) error {
	c.OnCancel(func() { out.Fail(errno.ErrCanceled) })
	lines := out.Buffered()
	defer lines.Release()
	w := &files.Walk{
		Identity: id, MaxDepth: int(p.maxDepth), Follow: p.follow, Canonicalize: p.canonicalize,
		Emit: func(line []byte) error {
			_, err := lines.Write(line)
			return err
		},
	}
	if err := w.Run(c.Context(), p.path); err != nil {
		return err
	}
	lines.Flush()
	return nil
}

// trees counts the calls that go through whole trees. Each has a thread and buffers, so they are limited; they cannot
// wait for one another, since each may have to wait for the host.
type trees struct{ running atomic.Int32 }

const maxTrees = 128

var errTooManyTrees = errno.New("EAGAIN", "too many directory trees are walked or copied at once")

func (t *trees) enter() bool {
	if t.running.Add(1) > maxTrees {
		t.running.Add(-1)
		return false
	}
	return true
}

func (t *trees) leave() { t.running.Add(-1) }
