package server

import (
	"net"
	"time"

	"sbx.dev/agent/internal/dial"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
)

const (
	defaultDialTimeout = 10 * time.Second
	maxDialMs          = 10 * 60 * 1000
)

func (s *Server) dial(c *link.Call, r *jsonlite.Reader) (func(), error) {
	target := dial.Target{Host: "127.0.0.1"}
	timeout := defaultDialTimeout
	var read, write uint32
	user := ""
	r.Object(func(key string) {
		switch key {
		case "host":
			if !r.Null() {
				target.Host = r.String()
			}
		case "port":
			target.Port = int(r.Int(1, 65535))
		case "path":
			if !r.Null() {
				target.Path = r.String()
			}
		case "user":
			user = r.String()
		case "read":
			read = streamID(r)
		case "write":
			write = streamID(r)
		case "timeoutMs":
			timeout = time.Duration(r.Int(1, maxDialMs)) * time.Millisecond
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	if target.Path != "" {
		if err := files.CheckPath(target.Path); err != nil {
			return nil, err
		}
	} else if target.Port == 0 || target.Host == "" {
		return nil, errno.New("EINVAL", "dial needs a host and a port, or a path")
	}
	out, err := c.OpenProducer(read)
	if err != nil {
		return nil, err
	}
	in, err := c.OpenConsumer(write)
	if err != nil {
		return nil, err
	}
	return func() {
		var err error
		if target.Path != "" {
			target.Identity, err = s.machine.Identity(user)
		}
		var conn net.Conn
		if err == nil {
			conn, err = dial.Connect(c.Context(), target, timeout)
		}
		if err != nil {
			c.Error(err)
			return
		}
		c.OK([]byte("{}"))
		dial.Relay(conn, out, in)
	}, nil
}

func (s *Server) listening(c *link.Call, r *jsonlite.Reader) (func(), error) {
	pid := readPID(r, nil)
	if err := invalid(r); err != nil {
		return nil, err
	}
	return func() {
		ports, err := s.procs.Listening(pid)
		if err != nil {
			c.Error(err)
			return
		}
		o := jsonlite.NewObject(nil)
		o.Key("ports")
		o.Out = append(o.Out, '[')
		for i, port := range ports {
			if i > 0 {
				o.Out = append(o.Out, ',')
			}
			o.Out = jsonlite.AppendInt(o.Out, int64(port))
		}
		o.Out = append(o.Out, ']')
		c.OK(o.Close())
	}, nil
}
