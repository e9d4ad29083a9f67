package copystream

import (
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/sys"
)

// incoming is the file that is being received. A file that is there is never written through: the new one is made
// under another name and takes its place when it is complete.
type incoming struct {
	// active means that a file has begun and not ended in the stream, refused that what comes for it is dropped.
	active, refused bool
	fd              int
	dir             *folder
	name            string
	// temporary is the name that the file has until it is complete, empty if there was no file of its own name.
	temporary string
	path      []byte
	// nameBytes is the name with a NUL behind it.
	nameBytes []byte
	// quick means that its calls need no scheduler: it is small, and see isQuick.
	quick bool
	mode  uint32
	// modeIsRight means that the file was made with its mode already.
	modeIsRight bool
	mtime       int64
	size        uint64
	at          uint64
	// written is the end of the data that was written, behind which only holes are.
	written uint64
}

// temporaryPrefix begins the names of files that are not complete yet.
const temporaryPrefix = ".sbx-"

func (f *incoming) begin(dir *folder, name string, e *entry, mask uint32) error {
	const flags = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOFOLLOW
	permissions := e.mode & 0o777
	// A mode without write permission is fine: the descriptor keeps what it was opened for.
	nameBytes := append(append(f.nameBytes[:0], name...), 0)
	fd, err := openNew(dir, name, nameBytes, flags, permissions)
	temporary := ""
	if err == syscall.EEXIST {
		if temporary, err = temporaryName(); err != nil {
			return err
		}
		st, statErr := sys.StatAt(dir.fd, name, sys.AtSymlinkNofollow)
		if statErr == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return syscall.EISDIR
		}
		fd, err = sys.Openat(dir.fd, temporary, flags, permissions)
	}
	if err != nil {
		return err
	}
	dir.keep()
	*f = incoming{
		active: true, fd: fd, dir: dir, name: name, temporary: temporary,
		path: append(f.path[:0], e.path...), nameBytes: nameBytes, quick: dir.quick && e.size <= quickBytes,
		mode: e.mode, modeIsRight: e.mode&^mask == e.mode && e.mode <= 0o777,
		mtime: e.mtime, size: e.size,
	}
	return nil
}

// openNew makes a file. Names of a stream hold no NUL.
func openNew(dir *folder, name string, nameBytes []byte, flags int, permissions uint32) (int, error) {
	if dir.quick {
		sys.Writing.RLock()
		defer sys.Writing.RUnlock()
		return sys.OpenatNow(dir.fd, &nameBytes[0], flags, permissions)
	}
	return sys.Openat(dir.fd, name, flags, permissions)
}

// refuse notes that a file could not be made.
func (f *incoming) refuse(e *entry) {
	*f = incoming{active: true, refused: true, path: append(f.path[:0], e.path...), nameBytes: f.nameBytes, size: e.size}
}

func temporaryName() (string, error) {
	name, err := files.RandomName()
	return temporaryPrefix + name, err
}

func (f *incoming) write(b []byte) error {
	if uint64(len(b)) > f.size-f.at {
		return violation("a file that is longer than announced")
	}
	f.at += uint64(len(b))
	if f.refused {
		return nil
	}
	for len(b) > 0 {
		n, err := f.writeSome(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	f.written = f.at
	return nil
}

func (f *incoming) writeSome(b []byte) (n int, err error) {
	if f.quick {
		sys.Writing.RLock()
		defer sys.Writing.RUnlock()
		return sys.WriteNow(f.fd, b)
	}
	err = sys.Again(func() (err error) {
		n, err = syscall.Write(f.fd, b)
		return err
	})
	return n, err
}

func (f *incoming) hole(length uint64) error {
	if length > f.size-f.at {
		return violation("a file that is longer than announced")
	}
	f.at += length
	if f.refused || length == 0 {
		return nil
	}
	_, err := syscall.Seek(f.fd, int64(f.at), 0)
	return err
}

// finish completes the file, or refuses it if it is short.
func (f *incoming) finish() error {
	f.active = false
	if f.refused {
		return nil
	}
	if f.at != f.size {
		return errno.New("ENODATA", "short")
	}
	if f.written < f.size {
		if err := sys.Again(func() error { return syscall.Ftruncate(f.fd, int64(f.size)) }); err != nil {
			return err
		}
	}
	if !f.modeIsRight {
		// Not every mode can be had: the set-group-id bit needs membership, which is no reason to lose the file.
		if err := syscall.Fchmod(f.fd, f.mode); err != nil {
			_ = syscall.Fchmod(f.fd, f.mode&0o777)
		}
	}
	if err := f.setTime(); err != nil {
		return err
	}
	if f.temporary != "" {
		if err := sys.Renameat(f.dir.fd, f.temporary, f.dir.fd, f.name); err != nil {
			return err
		}
	}
	err := f.close()
	f.fd = -1
	f.dir.release()
	f.dir = nil
	return err
}

func (f *incoming) setTime() error {
	mtime := f.mtime * 1e6
	if f.quick {
		sys.Writing.RLock()
		defer sys.Writing.RUnlock()
		return sys.SetModifiedNow(f.fd, mtime)
	}
	return sys.SetTimes(f.fd, "", nil, &mtime, 0)
}

func (f *incoming) close() error {
	if f.quick {
		sys.Writing.RLock()
		defer sys.Writing.RUnlock()
		return sys.CloseNow(f.fd)
	}
	return syscall.Close(f.fd)
}

// abandon removes what there is of the file.
func (f *incoming) abandon() {
	if f.dir == nil {
		return
	}
	if f.fd >= 0 {
		syscall.Close(f.fd)
	}
	name := f.name
	if f.temporary != "" {
		name = f.temporary
	}
	_ = sys.Unlinkat(f.dir.fd, name)
	f.dir.release()
	f.dir, f.active = nil, false
}
