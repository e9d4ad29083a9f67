package sftp

import (
	"io"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/sys"
)

const (
	// usualPipeBytes is what a pipe holds when it is made.
	usualPipeBytes = 64 << 10
	// bulkPipeBytes is what a pipe is made to hold when it turns out to carry much.
	bulkPipeBytes = 1 << 20
	// briefly is how long the next request is waited for without the scheduler being told, in nanoseconds: as long as a
	// client is at work it does not take longer. Meanwhile the runtime's monitor wakes every 10 ms; told of a wait it
	// sleeps, but each time that the wait is over it begins with some fifty looks in short order. An idle session then
	// costs nothing.
	briefly = 250_000_000
)

const pollIn, pollOut = 1, 4

// Descriptor is a pipe or a socket that a session talks through.
type Descriptor struct {
	fd    int
	grown bool
	poll  pollfd
	limit syscall.Timespec
}

// pollfd is the structure of that name.
type pollfd struct {
	fd              int32
	events, revents int16
}

// NewDescriptor takes over an open descriptor.
func NewDescriptor(fd int) (*Descriptor, error) {
	return &Descriptor{fd: fd}, syscall.SetNonblock(fd, true)
}

// Read implements io.Reader.
func (d *Descriptor) Read(b []byte) (int, error) {
	for {
		if err := d.wait(pollIn); err != nil {
			return 0, err
		}
		n, err := sys.ReadNow(d.fd, b)
		if err == syscall.EAGAIN {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if n >= usualPipeBytes {
			d.grow()
		}
		return n, err
	}
}

// Write implements io.Writer.
func (d *Descriptor) Write(b []byte) (int, error) {
	total := 0
	for total < len(b) {
		n, err := sys.WriteNow(d.fd, b[total:])
		if err == syscall.EAGAIN {
			d.grow()
			err = d.wait(pollOut)
		}
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// grow makes a pipe hold more, once, if the kernel allows it.
func (d *Descriptor) grow() {
	if !d.grown {
		d.grown = true
		_ = sys.SetPipeSize(d.fd, bulkPipeBytes)
	}
}

// wait waits until the descriptor is ready, or hung up.
func (d *Descriptor) wait(events int16) error {
	d.poll = pollfd{int32(d.fd), events, 0}
	d.limit = syscall.Timespec{Nsec: briefly}
	poll, limit := uintptr(unsafe.Pointer(&d.poll)), uintptr(unsafe.Pointer(&d.limit))
	n, err := call(syscall.SYS_PPOLL, poll, 1, limit, 0, 0)
	for err == nil && n == 0 {
		ready, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, poll, 1, 0, 0, 0, 0)
		if errno != 0 && errno != syscall.EINTR {
			return errno
		}
		n = int(ready)
	}
	return err
}
