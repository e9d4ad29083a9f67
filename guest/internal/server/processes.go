package server

import (
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/proc"
	"sbx.dev/agent/internal/sftp"
)

const (
	maxArguments = 65536
	maxExtra     = 16
	maxExtraFD   = 255
)

// execParams are those of exec before its streams are opened.
type execParams struct {
	argv, env             []string
	dir, user             string
	pty                   *proc.Size
	lingers               bool
	stdin, stdout, stderr uint32
	extra                 []extraParams
}

type extraParams struct {
	fd          int
	read, write uint32
}

// streamID reads a stream id or null, which is 0.
func streamID(r *jsonlite.Reader) uint32 {
	if r.Null() {
		return 0
	}
	return uint32(r.Int(1, 1<<32-1))
}

func stringList(r *jsonlite.Reader) []string {
	var out []string
	r.Array(func() {
		if len(out) >= maxArguments {
			r.Fail(errno.New("E2BIG", "too many strings"))
		}
		out = append(out, r.String())
	})
	return out
}

func readExec(r *jsonlite.Reader) *execParams {
	p := &execParams{}
	r.Object(func(key string) {
		switch key {
		case "argv":
			p.argv = stringList(r)
		case "env":
			p.env = make([]string, 0, 32)
			r.Object(func(name string) { p.env = append(p.env, name+"="+r.String()) })
		case "cwd":
			p.dir = r.String()
		case "user":
			p.user = r.String()
		case "pty":
			if !r.Null() {
				p.pty = readSize(r)
			}
		case "lingers":
			p.lingers = r.Bool()
		case "stdin":
			p.stdin = streamID(r)
		case "stdout":
			p.stdout = streamID(r)
		case "stderr":
			p.stderr = streamID(r)
		case "extra":
			if !r.Null() {
				r.Array(func() { p.extra = append(p.extra, readExtra(r, len(p.extra))) })
			}
		}
	})
	return p
}

func readSize(r *jsonlite.Reader) *proc.Size {
	size := &proc.Size{}
	r.Object(func(key string) {
		switch key {
		case "cols":
			size.Cols = uint16(r.Int(0, 65535))
		case "rows":
			size.Rows = uint16(r.Int(0, 65535))
		}
	})
	return size
}

func readExtra(r *jsonlite.Reader, before int) extraParams {
	var x extraParams
	r.Object(func(key string) {
		switch key {
		case "fd":
			x.fd = int(r.Int(3, maxExtraFD))
		case "read":
			x.read = streamID(r)
		case "write":
			x.write = streamID(r)
		}
	})
	if before >= maxExtra || x.fd == 0 || x.read == 0 && x.write == 0 {
		r.Fail(errno.New("EINVAL", "a bad extra descriptor"))
	}
	return x
}

func (s *Server) exec(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p := readExec(r)
	if err := invalid(r); err != nil {
		return nil, err
	}
	spec := &proc.Spec{Argv: p.argv, Env: p.env, Dir: p.dir, PTY: p.pty, Lingers: p.lingers}
	return s.start(c, p, spec)
}

// ownProgram is the agent's program, wherever its file is: that of a sandbox has none any more.
const ownProgram = "/proc/self/exe"

// sftp starts an SFTP server: this program again, as a process like any other, so that what comes from a client is
// taken apart with the rights of a user and not by PID 1.
func (s *Server) sftp(c *link.Call, r *jsonlite.Reader) (func(), error) {
	p := readExec(r)
	if err := invalid(r); err != nil {
		return nil, err
	}
	if p.argv != nil || p.pty != nil || p.extra != nil {
		return nil, errno.New("EINVAL", "sftp takes no arguments, terminal or further descriptors")
	}
	spec := &proc.Spec{Program: ownProgram, Argv: []string{"sftp-server", sftp.Option}, Env: p.env, Dir: p.dir}
	return s.start(c, p, spec)
}

// start opens the streams of a process and returns what starts it.
func (s *Server) start(c *link.Call, p *execParams, spec *proc.Spec) (func(), error) {
	if err := openExecStreams(c, p, spec); err != nil {
		return nil, err
	}
	return func() {
		var err error
		if spec.Identity, err = s.machine.Identity(p.user); err == nil {
			err = s.procs.Start(spec, func(pid int) {
				o := jsonlite.NewObject(nil)
				o.Int("pid", int64(pid))
				c.OK(o.Close())
			})
		}
		if err != nil {
			c.Error(err)
		}
	}, nil
}

func openExecStreams(c *link.Call, p *execParams, spec *proc.Spec) (err error) {
	if p.stdin != 0 {
		if spec.Stdin, err = c.OpenConsumer(p.stdin); err != nil {
			return err
		}
	}
	if p.stdout != 0 {
		if spec.Stdout, err = c.OpenProducer(p.stdout); err != nil {
			return err
		}
	}
	if p.stderr != 0 {
		if p.pty != nil {
			return errno.New("EINVAL", "a terminal has no stderr of its own")
		}
		if spec.Stderr, err = c.OpenProducer(p.stderr); err != nil {
			return err
		}
	}
	for _, x := range p.extra {
		extra := proc.Extra{FD: x.fd}
		if x.read != 0 {
			if extra.Read, err = c.OpenProducer(x.read); err != nil {
				return err
			}
		}
		if x.write != 0 {
			if extra.Write, err = c.OpenConsumer(x.write); err != nil {
				return err
			}
		}
		spec.Extra = append(spec.Extra, extra)
	}
	return nil
}

// readPID reads params that have a pid, and leaves other keys to more.
func readPID(r *jsonlite.Reader, more func(key string)) int {
	pid := int64(0)
	r.Object(func(key string) {
		if key == "pid" {
			pid = r.Int(1, 1<<31-1)
		} else if more != nil {
			more(key)
		}
	})
	return int(pid)
}

func (s *Server) wait(c *link.Call, r *jsonlite.Reader) (func(), error) {
	pid := readPID(r, nil)
	if err := invalid(r); err != nil {
		return nil, err
	}
	forget, err := s.procs.Wait(pid, func(status proc.Status) {
		o := jsonlite.NewObject(nil)
		o.Int("code", int64(status.Code))
		nullable(o, "signal", status.Signal)
		nullable(o, "oom", string(status.OOM))
		c.OK(o.Close())
	})
	if err != nil {
		return nil, err
	}
	c.OnCancel(func() {
		forget()
		c.Error(errno.ErrCanceled)
	})
	return nil, nil
}

func nullable(o *jsonlite.Object, key, v string) {
	if v == "" {
		o.Null(key)
	} else {
		o.String(key, v)
	}
}

func (s *Server) kill(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var name string
	var group bool
	pid := readPID(r, func(key string) {
		switch key {
		case "signal":
			name = r.String()
		case "group":
			group = r.Bool()
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	signal, err := proc.ParseSignal(name)
	if err != nil {
		return nil, err
	}
	return func() {
		if err := s.procs.Kill(pid, signal, group); err != nil {
			c.Error(err)
			return
		}
		c.Null()
	}, nil
}

func (s *Server) resize(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var size proc.Size
	pid := readPID(r, func(key string) {
		switch key {
		case "cols":
			size.Cols = uint16(r.Int(0, 65535))
		case "rows":
			size.Rows = uint16(r.Int(0, 65535))
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	// At once, not on a goroutine: of two sizes that a window had, the later one must stay.
	if err := s.procs.Resize(pid, size.Cols, size.Rows); err != nil {
		return nil, err
	}
	c.Null()
	return nil, nil
}
