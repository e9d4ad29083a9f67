// Package dial connects the host to servers inside the sandbox.
package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/sys"
)

// Target is where to connect to: a host and a port, or the path of a Unix socket.
type Target struct {
	Host string
	Port int
	Path string
	// Identity is who connects to a Unix socket: the kernel checks its permissions, and tells the server.
	Identity *accounts.Identity
}

// Connect connects. Without an answer it gives up after timeout.
func Connect(ctx context.Context, t Target, timeout time.Duration) (net.Conn, error) {
	network, address := "tcp", net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	if t.Path != "" {
		network, address = "unix", t.Path
	}
	dialer := net.Dialer{Timeout: timeout, KeepAlive: -1, Resolver: &net.Resolver{PreferGo: true}}
	conn, err := connect(ctx, &dialer, network, address, t.Identity)
	if err == nil {
		return conn, nil
	}
	var lookup *net.DNSError
	var network0 net.Error
	switch {
	case ctx.Err() != nil:
		return nil, errno.ErrCanceled
	case errors.As(err, &lookup) && !lookup.IsTimeout:
		return nil, errno.New("EHOSTUNREACH", "no address for "+strconv.Quote(t.Host)+": "+lookup.Err)
	case errors.As(err, &network0) && network0.Timeout():
		return nil, errno.New("ETIMEDOUT", "no answer from "+address)
	}
	return nil, errno.At(err, address)
}

// fullQueue is how long to wait when a server on a Unix socket does not take its connections as fast as they come: the
// kernel tells at once, and does not say when there is room.
const fullQueue = 5 * time.Millisecond

func connect(ctx context.Context, d *net.Dialer, network, address string, as *accounts.Identity) (net.Conn, error) {
	if as == nil {
		return d.DialContext(ctx, network, address)
	}
	for deadline := time.Now().Add(d.Timeout); ; time.Sleep(fullQueue) {
		var conn net.Conn
		// The dialer makes the system call for a Unix socket on the goroutine that calls it.
		err := as.Do(func() (err error) {
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// halfCloser is a TCP or Unix connection.
type halfCloser interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// Relay carries bytes between a connection and two streams until both directions are over, and closes it.
func Relay(conn net.Conn, out *link.Producer, in *link.Consumer) {
	defer conn.Close()
	c, ok := conn.(halfCloser)
	if !ok {
		out.Fail(errno.New(errno.Unsupported, "a connection of an unknown kind"))
		in.Stop()
		return
	}
	var both sync.WaitGroup
	both.Add(1)
	go func() {
		defer both.Done()
		send(c, out)
	}()
	receive(c, in)
	both.Wait()
}

// receive carries what the host sends.
func receive(c halfCloser, in *link.Consumer) {
	raw, err := c.SyscallConn()
	if err != nil {
		in.Stop()
		return
	}
	for {
		part, err := in.Next()
		if err == io.EOF {
			_ = c.CloseWrite()
			return
		}
		if err != nil {
			// The host gave up: the server gets a reset, not an orderly end.
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
			return
		}
		n, err := sys.WriteAll(raw, part)
		if err != nil {
			in.Stop()
			return
		}
		in.Advance(n)
	}
}

// send carries what the server sends. When the host wants no more it goes on and discards, so that a server that
// writes before it reads does not get stuck.
func send(c halfCloser, out *link.Producer) {
	raw, err := c.SyscallConn()
	if err != nil {
		out.Fail(err)
		return
	}
	discard := false
	for {
		room := 0
		if !discard {
			room = out.Reserve()
			discard = room == 0
		}
		if discard {
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
			return
		}
		chunk, n, err := read(raw, out, room)
		switch {
		case errors.Is(err, link.ErrStopped):
			discard = true
		case err != nil:
			out.Fail(err)
			return
		case n == 0:
			out.End()
			return
		default:
			out.Send(chunk, n)
		}
	}
}

// read waits for up to room bytes, without holding a buffer while it waits.
func read(raw syscall.RawConn, out *link.Producer, room int) (*link.Chunk, int, error) {
	var chunk *link.Chunk
	var n int
	var failure error
	err := raw.Read(func(fd uintptr) bool {
		if chunk = out.Chunk(); chunk == nil {
			failure = link.ErrStopped
			return true
		}
		n, failure = sys.ReadNow(int(fd), chunk.Payload(room))
		if failure == nil && n > 0 {
			return true
		}
		out.Drop(chunk)
		return failure != syscall.EAGAIN
	})
	if err != nil {
		return nil, 0, err
	}
	return chunk, n, failure
}
