package proc

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/sys"
)

const (
	// defaultPipeBytes is what a pipe holds when it is made.
	defaultPipeBytes = 64 << 10
	// bulkPipeBytes is what a pipe is made to hold when it turns out to carry much.
	bulkPipeBytes = 1 << 20
	// terminalWindowBytes is how much of a terminal's output may be under way.
	terminalWindowBytes = 64 << 10
	// lateTerminalBytes is the most that is taken out of a terminal after its leader is gone.
	lateTerminalBytes = 1 << 20
)

// past is a deadline that wakes a goroutine which waits for a descriptor.
var past = time.Unix(1, 0)

// output carries what a process writes to the host.
type output struct {
	fd       int
	terminal *terminal
	producer *link.Producer
	// over is called once when the stream is.
	over func()

	mu   sync.Mutex
	file *os.File
	// gone means that the leader has ended: what is buffered is still sent, and nothing that comes later.
	gone bool
	// left is how much that is; -1 while the leader lives.
	left int
	// draining means that the stream is over and only the pipe is kept from filling up.
	draining bool
}

func (o *output) run() {
	o.mu.Lock()
	if o.terminal != nil {
		o.file = o.terminal.file
	} else {
		o.file = file(o.fd, "output")
	}
	o.left = -1
	if o.gone {
		_ = o.file.SetReadDeadline(past)
	}
	o.mu.Unlock()
	o.producer.OnOver(func() {
		o.wake()
		o.over()
	})
	raw, err := o.file.SyscallConn()
	if err == nil {
		err = o.copy(raw)
	}
	switch {
	case errors.Is(err, link.ErrStopped) && o.producer.Abandoned():
		o.drain(raw)
	case errors.Is(err, link.ErrStopped):
		// As if a reader had closed the pipe (the next writer gets SIGPIPE) or the terminal's window (SIGHUP).
		if o.terminal != nil {
			o.terminal.close()
		}
	case errors.Is(err, errLeaderGone):
		o.producer.End()
		if o.terminal == nil {
			o.drain(raw)
		}
	case err == io.EOF:
		o.producer.End()
	default:
		o.producer.Fail(err)
	}
	if o.terminal == nil {
		o.file.Close()
	}
}

// errLeaderGone means that all was sent that the leader can have written.
var errLeaderGone = errors.New("the leader has ended")

// copy sends until the end, and returns why it is the end.
func (o *output) copy(raw syscall.RawConn) error {
	grown := false
	for {
		room := o.producer.Reserve()
		if room == 0 {
			return link.ErrStopped
		}
		c, n, err := o.read(raw, room)
		if err != nil {
			return err
		}
		o.producer.Send(c, n)
		if n >= defaultPipeBytes && !grown && o.terminal == nil {
			grown = true
			_ = raw.Control(func(fd uintptr) { _ = sys.SetPipeSize(int(fd), bulkPipeBytes) })
		}
	}
}

// read waits for up to room bytes. A buffer is held only while there is something to put into it.
func (o *output) read(raw syscall.RawConn, room int) (*link.Chunk, int, error) {
	var c *link.Chunk
	var n int
	var failure error
	attempt := func(fd uintptr) bool {
		if c = o.producer.Chunk(); c == nil {
			failure = link.ErrStopped
			return true
		}
		n, failure = sys.ReadNow(int(fd), c.Payload(room))
		if failure == nil && n > 0 {
			return true
		}
		o.producer.Drop(c)
		c = nil
		if failure == syscall.EAGAIN {
			return false
		}
		if failure == nil || failure == syscall.EIO && o.terminal != nil {
			failure = io.EOF
		}
		return true
	}
	if o.producer.Over() {
		return nil, 0, link.ErrStopped
	}
	if left := o.late(raw); left == 0 {
		return nil, 0, errLeaderGone
	} else if left > 0 {
		room = min(room, left)
		waits := false
		if err := raw.Control(func(fd uintptr) { waits = !attempt(fd) }); err != nil {
			return nil, 0, err
		}
		if waits {
			return nil, 0, errLeaderGone
		}
		o.left -= n
		return c, n, failure
	}
	err := raw.Read(attempt)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return o.read(raw, room)
	}
	if err != nil {
		return nil, 0, link.ErrStopped
	}
	return c, n, failure
}

// late returns how much may still be sent once the leader is gone, -1 before.
func (o *output) late(raw syscall.RawConn) int {
	o.mu.Lock()
	gone := o.gone
	o.mu.Unlock()
	if gone && o.left < 0 {
		o.left = lateTerminalBytes
		if o.terminal == nil {
			_ = raw.Control(func(fd uintptr) { o.left = sys.Buffered(int(fd)) })
		}
	}
	return o.left
}

// leaderGone is called when the leader has been reaped.
func (o *output) leaderGone() {
	o.mu.Lock()
	o.gone = true
	o.mu.Unlock()
	o.wake()
}

// wake makes run look around though there is nothing to read.
func (o *output) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil && !o.draining {
		_ = o.file.SetReadDeadline(past)
	}
}

// drain discards what is written from now on, so that nobody is killed for writing it.
func (o *output) drain(raw syscall.RawConn) {
	o.mu.Lock()
	o.draining = true
	_ = o.file.SetReadDeadline(time.Time{})
	o.mu.Unlock()
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			var e error
			var scratch [4096]byte
			n, e = sys.ReadNow(int(fd), scratch[:])
			return e != syscall.EAGAIN
		})
		if err != nil || n <= 0 {
			return
		}
	}
}

// input carries what the host sends to a process.
type input struct {
	fd       int
	terminal *terminal
	socket   bool
	consumer *link.Consumer

	mu   sync.Mutex
	file *os.File
	gone bool
}

func (i *input) run() {
	i.mu.Lock()
	if i.terminal != nil {
		i.file = i.terminal.file
	} else {
		i.file = file(i.fd, "input")
	}
	gone := i.gone
	i.mu.Unlock()
	if gone {
		i.consumer.Stop()
		i.close()
		return
	}
	raw, err := i.file.SyscallConn()
	if err != nil {
		i.consumer.Stop()
		i.close()
		return
	}
	last := byte('\n')
	for {
		part, err := i.consumer.Next()
		if err == io.EOF && i.terminal != nil {
			i.terminal.endInput(last)
		}
		if err != nil {
			break
		}
		last = part[len(part)-1]
		n, err := sys.WriteAll(raw, part)
		if err != nil {
			i.consumer.Stop()
			break
		}
		i.consumer.Advance(n)
	}
	i.close()
}

func (i *input) close() {
	if i.terminal != nil {
		return
	}
	if i.socket {
		if raw, err := i.file.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_WR) })
		}
	}
	i.file.Close()
}

// leaderGone is called when the leader has been reaped: nobody is there any more that the host meant to talk to.
func (i *input) leaderGone() {
	i.mu.Lock()
	i.gone = true
	f := i.file
	i.mu.Unlock()
	i.consumer.Stop()
	if f != nil {
		_ = f.SetWriteDeadline(past)
	}
}
