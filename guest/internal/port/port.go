// Package port is the transport to the host: a virtio-serial port, or a Unix socket in the development mode.
package port

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// Port is a descriptor that carries the link. Read returns io.EOF when the host has gone away.
type Port struct {
	file *os.File
	raw  syscall.RawConn
	// hungUp means that io.EOF was returned and nothing was read since.
	hungUp bool
	// reopens means that a host may come back after it went: a virtio-serial port, not a socket.
	reopens bool
}

// Find opens the virtio-serial port of a name. A port can be opened once only, so it is to be kept for good.
func Find(name string) (*Port, error) {
	entries, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		content, err := os.ReadFile(entry)
		if err != nil || strings.TrimSpace(string(content)) != name {
			continue
		}
		device := "/dev/" + filepath.Base(filepath.Dir(entry))
		fd, err := syscall.Open(device, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
		if err != nil {
			return nil, errno.At(err, device)
		}
		p, err := New(fd, device)
		if err == nil {
			p.reopens = true
		}
		return p, err
	}
	return nil, errno.New("ENODEV", "there is no virtio-serial port "+name)
}

// New makes a Port of an open descriptor.
func New(fd int, name string) (*Port, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Port{file: file, raw: raw}, nil
}

// Close closes the descriptor.
func (p *Port) Close() error { return p.file.Close() }

// Read waits for input and takes what there is. The kernel gives a page at a time out of a virtio-serial port, so it
// goes on for as long as the pages are full.
func (p *Port) Read(b []byte) (int, error) {
	const pageBytes = 4096
	total := 0
	var failure error
	err := p.raw.Read(func(fd uintptr) bool {
		for total < len(b) {
			n, err := sys.ReadNow(int(fd), b[total:])
			switch {
			case err == syscall.EAGAIN:
				return total > 0
			case err != nil:
				failure = err
				return true
			case n == 0 && total > 0:
				return true
			case n == 0:
				// Nobody is at the other end. This is said once; then the wait is for somebody to come.
				if p.hungUp && p.reopens {
					return false
				}
				p.hungUp = true
				failure = io.EOF
				return true
			}
			total += n
			p.hungUp = false
			if n < pageBytes {
				return true
			}
		}
		return true
	})
	if total > 0 {
		return total, nil
	}
	if failure == nil {
		failure = err
	}
	return 0, failure
}

// Write writes all of b, waiting as long as the host does not read.
func (p *Port) Write(b []byte) (int, error) { return sys.WriteAll(p.raw, b) }

// TryWrite writes what can be written without waiting.
func (p *Port) TryWrite(b []byte) (int, error) { return sys.TryWrite(p.raw, b) }
