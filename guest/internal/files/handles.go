package files

import (
	"context"
	"io"
	"os"
	"sync"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// maxHandles bounds the open files of one session.
const maxHandles = 16384

// Handles are the files that a session has open. Nothing outlives its session.
type Handles struct {
	mu     sync.Mutex
	closed bool
	next   int64
	files  map[int64]*Handle
}

// Handle is one open file.
type Handle struct {
	file *os.File
	// waits means that operations may take for ever: it is a FIFO or a device.
	waits bool
	// last is closed when the operation that arrived last is done.
	last chan struct{}
}

// NewHandles makes an empty table.
func NewHandles() *Handles { return &Handles{files: map[int64]*Handle{}} }

// Add puts an open file into the table.
func (h *Handles) Add(f *os.File) (int64, error) {
	st, err := statOf(f)
	if err != nil {
		f.Close()
		return 0, err
	}
	done := make(chan struct{})
	close(done)
	regular := st.Mode&syscall.S_IFMT == syscall.S_IFREG || st.Mode&syscall.S_IFMT == syscall.S_IFDIR
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.files) >= maxHandles {
		f.Close()
		return 0, errno.New("EMFILE", "too many open files")
	}
	h.next++
	h.files[h.next] = &Handle{file: f, waits: !regular, last: done}
	return h.next, nil
}

// CloseAll closes everything, for good.
func (h *Handles) CloseAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, handle := range h.files {
		handle.file.Close()
	}
	h.files = nil
}

// Turn is the right to work on a handle, in the order of the calls. It is taken when a call arrives and must be used
// with Begin and Done.
type Turn struct {
	*Handle
	before, done chan struct{}
}

// Turn finds a handle. With ordered, the work is to be done after everything asked before.
func (h *Handles) Turn(id int64, ordered bool) (*Turn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handle := h.files[id]
	if handle == nil {
		return nil, badHandle(id)
	}
	return handle.turn(ordered), nil
}

// Remove finds a handle and takes it out of the table; closing it is the work of the turn.
func (h *Handles) Remove(id int64) (*Turn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handle := h.files[id]
	if handle == nil {
		return nil, badHandle(id)
	}
	delete(h.files, id)
	// What waits for a FIFO would wait for ever; closing ends it.
	return handle.turn(!handle.waits), nil
}

func badHandle(id int64) error { return errno.New("EBADF", "there is no open file "+itoa(int(id))) }

func (h *Handle) turn(ordered bool) *Turn {
	t := &Turn{Handle: h}
	if ordered {
		t.before, t.done = h.last, make(chan struct{})
		h.last = t.done
	}
	return t
}

// Begin waits for the turn.
func (t *Turn) Begin() {
	if t.before != nil {
		<-t.before
	}
}

// Done lets the next one begin.
func (t *Turn) Done() {
	if t.done != nil {
		close(t.done)
	}
}

// control runs f with the descriptor, which stays open meanwhile.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return errno.From(err)
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = f(int(fd)) }); err != nil {
		return errno.From(err)
	}
	if failure != nil {
		return errno.From(failure)
	}
	return nil
}

func statOf(file *os.File) (st Stat, err error) {
	err = control(file, func(fd int) error {
		st, err = StatFD(fd)
		return err
	})
	return st, err
}

// Read reads into b. At the end it returns io.EOF.
func (h *Handle) Read(b []byte) (int, error) {
	n, err := h.file.Read(b)
	if err == io.EOF {
		return 0, err
	}
	return n, errno.At(err, h.file.Name())
}

// Write writes all of b.
func (h *Handle) Write(b []byte) (int, error) {
	n, err := h.file.Write(b)
	return n, errno.At(err, h.file.Name())
}

// Seek moves the position.
func (h *Handle) Seek(offset int64, whence int) (int64, error) {
	position, err := h.file.Seek(offset, whence)
	return position, errno.At(err, h.file.Name())
}

// Stat asks for the file.
func (h *Handle) Stat() (Stat, error) { return statOf(h.file) }

// Truncate sets the size.
func (h *Handle) Truncate(length int64) error {
	return control(h.file, func(fd int) error {
		return ignoringEINTR(func() error { return syscall.Ftruncate(fd, length) })
	})
}

// Sync waits until the file is on the disk.
func (h *Handle) Sync(dataOnly bool) error {
	return control(h.file, func(fd int) error {
		return ignoringEINTR(func() error {
			if dataOnly {
				return syscall.Fdatasync(fd)
			}
			return syscall.Fsync(fd)
		})
	})
}

// SetTimes sets the times, in nanoseconds since the epoch.
func (h *Handle) SetTimes(atime, mtime int64) error {
	return control(h.file, func(fd int) error { return sys.SetTimes(fd, "", &atime, &mtime, 0) })
}

// Lock waits for an advisory lock.
func (h *Handle) Lock(ctx context.Context, exclusive bool) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	return Retry(ctx, "EAGAIN", func() error { return h.flock(how | syscall.LOCK_NB) })
}

// Unlock gives the lock back.
func (h *Handle) Unlock() error { return h.flock(syscall.LOCK_UN) }

func (h *Handle) flock(how int) error {
	return control(h.file, func(fd int) error {
		return ignoringEINTR(func() error { return syscall.Flock(fd, how) })
	})
}

// Close closes the file.
func (h *Handle) Close() error { return errno.At(h.file.Close(), h.file.Name()) }
