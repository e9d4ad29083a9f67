package files

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/sys"
)

// OpenOptions say how a file is opened.
type OpenOptions struct {
	Read, Write, Append, Truncate, Create, CreateNew bool
	// Mode is for a file that is created; the mask applies.
	Mode uint32
}

func (o *OpenOptions) flags() (int, error) {
	flags := 0
	write := o.Write || o.Append
	switch {
	case o.Read && write:
		flags = syscall.O_RDWR
	case write:
		flags = syscall.O_WRONLY
	case o.Read:
		flags = syscall.O_RDONLY
	default:
		return 0, errno.New("EINVAL", "a file must be opened for reading or writing")
	}
	if !write && (o.Truncate || o.Create || o.CreateNew) {
		return 0, errno.New("EINVAL", "a file that is not opened for writing cannot be created or truncated")
	}
	if o.Append {
		flags |= syscall.O_APPEND
	}
	switch {
	case o.CreateNew:
		flags |= syscall.O_CREAT | syscall.O_EXCL
	case o.Create:
		flags |= syscall.O_CREAT
	}
	if o.Truncate && !o.CreateNew {
		flags |= syscall.O_TRUNC
	}
	return flags, nil
}

// Open opens a file. It does not wait for the other end of a FIFO: for want of a reader it fails with ENXIO.
func Open(p string, o *OpenOptions) (*os.File, error) {
	flags, err := o.flags()
	if err != nil {
		return nil, err
	}
	fd, err := sys.Openat(sys.AtFdcwd, p, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, o.Mode)
	if err != nil {
		return nil, errno.At(err, p)
	}
	return os.NewFile(uintptr(fd), p), nil
}

// Retry repeats attempt, which must not block, for as long as it fails with code: first often, then rarely.
func Retry(ctx context.Context, code string, attempt func() error) error {
	const shortest, longest = time.Millisecond, 25 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		err := attempt()
		if err == nil || errno.From(err).Code != code {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errno.ErrCanceled
		}
	}
}

// Send sends the content of an open file to the host, up to its end.
func Send(f *os.File, p *link.Producer) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return errno.From(err)
	}
	// A FIFO that nobody has opened for writing yet reads as if it had ended.
	waitForWriter := isFIFO(raw)
	for {
		room := p.Reserve()
		if room == 0 {
			return link.ErrStopped
		}
		var c *link.Chunk
		var n int
		var failure error
		err := raw.Read(func(fd uintptr) bool {
			// The buffer is taken when there is something to put into it: a FIFO may be silent for long.
			if c = p.Chunk(); c == nil {
				failure = link.ErrStopped
				return true
			}
			failure = ignoringEINTR(func() (err error) {
				n, err = syscall.Read(int(fd), c.Payload(room))
				return err
			})
			if failure == nil && n > 0 {
				return true
			}
			p.Drop(c)
			if failure == nil && waitForWriter {
				waitForWriter = false
				return false
			}
			return failure != syscall.EAGAIN
		})
		switch {
		case err != nil:
			return closedMeansCanceled(err)
		case failure != nil:
			return errno.At(failure, f.Name())
		case n == 0:
			return nil
		}
		waitForWriter = false
		p.Send(c, n)
	}
}

func isFIFO(raw syscall.RawConn) bool {
	var st syscall.Stat_t
	_ = raw.Control(func(fd uintptr) { _ = syscall.Fstat(int(fd), &st) })
	return st.Mode&syscall.S_IFMT == syscall.S_IFIFO
}

// closedMeansCanceled is for files that a cancellation closes under the one that waits for them.
func closedMeansCanceled(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return errno.ErrCanceled
	}
	return errno.From(err)
}

// Receive writes what the host sends to an open file.
func Receive(f *os.File, c *link.Consumer) error {
	for {
		part, err := c.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errno.From(err)
		}
		n, err := f.Write(part)
		if err != nil {
			return closedMeansCanceled(err)
		}
		c.Advance(n)
	}
}

// Copy copies content and permission bits of a file, replacing the content of one that is there.
func Copy(ctx context.Context, from, to string) error {
	source, err := Open(from, &OpenOptions{Read: true})
	if err != nil {
		return err
	}
	defer source.Close()
	st, err := StatFD(int(source.Fd()))
	if err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return errno.At(syscall.EISDIR, from)
	}
	target, err := Open(to, &OpenOptions{Write: true, Create: true, Mode: uint32(st.Mode) & 0o777})
	if err != nil {
		return err
	}
	defer target.Close()
	// Only now it is known that the target is not the source, which must not be cut.
	old, err := StatFD(int(target.Fd()))
	if err != nil {
		return err
	}
	if old.Ino == st.Ino && old.DevMajor == st.DevMajor && old.DevMinor == st.DevMinor {
		return nil
	}
	if err := copyContent(ctx, source, target, old); err != nil {
		return err
	}
	if old.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil
	}
	return errno.At(syscall.Fchmod(int(target.Fd()), uint32(st.Mode)&0o7777), to)
}

func copyContent(ctx context.Context, source, target *os.File, old Stat) error {
	if old.Mode&syscall.S_IFMT == syscall.S_IFREG {
		if err := syscall.Ftruncate(int(target.Fd()), 0); err != nil {
			return errno.At(err, target.Name())
		}
	}
	const step = 8 << 20
	for ctx.Err() == nil {
		n, err := sys.CopyRange(int(source.Fd()), int(target.Fd()), step)
		if err == nil && n == 0 {
			// Files of /proc claim to be empty: reading says whether they are.
			break
		}
		if err != nil {
			break
		}
	}
	buf := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, err := source.Read(buf)
		if n > 0 {
			if _, err := target.Write(buf[:n]); err != nil {
				return errno.From(err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errno.From(err)
		}
	}
	return errno.ErrCanceled
}
