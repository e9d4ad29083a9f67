// Package files does what the host asks for in the sandbox's file system, with the rights of one of its users.
//
// Every function here runs inside accounts.Identity.Do, on a thread that has those rights, or works on descriptors
// that were opened there. Errors name the path that they are about.
package files

import (
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// CheckPath refuses what is no absolute path.
func CheckPath(p string) error {
	if !strings.HasPrefix(p, "/") || strings.IndexByte(p, 0) >= 0 {
		return &errno.Error{Code: "EINVAL", Message: "not an absolute path", Path: p}
	}
	return nil
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); err != syscall.EINTR {
			return err
		}
	}
}

// Remove removes a file or an empty directory; with recursive, a directory with all that is in it.
func Remove(p string, recursive bool) error {
	if path.Clean(p) == "/" {
		return errno.At(syscall.EBUSY, p)
	}
	if recursive {
		if _, err := os.Lstat(p); err != nil {
			return errno.From(err)
		}
		if err := os.RemoveAll(p); err != nil {
			return errno.From(err)
		}
		return nil
	}
	err := ignoringEINTR(func() error { return syscall.Unlink(p) })
	if err == syscall.EISDIR {
		err = ignoringEINTR(func() error { return syscall.Rmdir(p) })
	}
	return errno.At(err, p)
}

// Mkdir makes a directory; with recursive, those above it as well, and one that is there already is no error.
func Mkdir(p string, recursive bool, mode uint32) error {
	err := ignoringEINTR(func() error { return syscall.Mkdir(p, mode) })
	if err == nil || !recursive {
		return errno.At(err, p)
	}
	switch err {
	case syscall.ENOENT:
		parent := path.Dir(path.Clean(p))
		if parent == path.Clean(p) {
			return errno.At(err, p)
		}
		if err := Mkdir(parent, true, mode); err != nil {
			return err
		}
		return Mkdir(p, false, mode)
	case syscall.EEXIST:
		var st syscall.Stat_t
		if syscall.Stat(p, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return nil
		}
	}
	return errno.At(err, p)
}

// Rename moves a file, replacing one that has the new name.
func Rename(from, to string) error {
	return errno.At(sys.Renameat(sys.AtFdcwd, from, sys.AtFdcwd, to), from)
}

// Link gives a file one more name.
func Link(target, p string) error {
	return errno.At(sys.Linkat(sys.AtFdcwd, target, sys.AtFdcwd, p, 0), p)
}

// Symlink makes a symbolic link.
func Symlink(target, p string) error {
	return errno.At(sys.Symlinkat(target, sys.AtFdcwd, p), p)
}

// ReadLink returns the text of a symbolic link.
func ReadLink(p string) (string, error) {
	text, err := sys.Readlinkat(sys.AtFdcwd, p)
	return text, errno.At(err, p)
}

// RealPath returns the path without symbolic links, `.` and `..`.
func RealPath(p string) (string, error) {
	fd, err := sys.Openat(sys.AtFdcwd, p, sys.OPath, 0)
	if err != nil {
		return "", errno.At(err, p)
	}
	defer syscall.Close(fd)
	real, err := sys.Readlinkat(sys.AtFdcwd, "/proc/self/fd/"+itoa(fd))
	return real, errno.At(err, p)
}

// Chmod sets the permission bits.
func Chmod(p string, mode uint32) error {
	return errno.At(ignoringEINTR(func() error { return syscall.Chmod(p, mode) }), p)
}

// Fchmod sets the permission bits of an open file.
func Fchmod(f *os.File, mode uint32) error {
	err := control(f, func(fd int) error {
		return ignoringEINTR(func() error { return syscall.Fchmod(fd, mode) })
	})
	return errno.At(err, f.Name())
}

// Chown sets the owner and the group; -1 keeps one.
func Chown(p string, uid, gid int) error {
	return errno.At(ignoringEINTR(func() error { return syscall.Chown(p, uid, gid) }), p)
}

// Truncate sets the size of a file.
func Truncate(p string, length int64) error {
	return errno.At(ignoringEINTR(func() error { return syscall.Truncate(p, length) }), p)
}

// SetTimes sets the times, in nanoseconds since the epoch.
func SetTimes(p string, atime, mtime int64) error {
	return errno.At(sys.SetTimes(sys.AtFdcwd, p, &atime, &mtime, 0), p)
}

// Mask is the file mode creation mask of the sandbox: that of the agent itself, which its processes inherit.
type Mask struct {
	mu   sync.Mutex
	mask int
}

// NewMask sets the mask of this process.
func NewMask(mask int) *Mask {
	syscall.Umask(mask)
	return &Mask{mask: mask}
}

// Set sets the mask, unless it is negative, and returns the previous one.
func (m *Mask) Set(mask int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.mask
	if mask >= 0 {
		m.mask = mask & 0o777
		syscall.Umask(m.mask)
	}
	return before
}

// MakeTemp makes an empty file or directory with a new name, for the user alone.
func MakeTemp(dir, prefix, suffix string, directory bool) (string, error) {
	if strings.ContainsAny(prefix+suffix, "/\x00") {
		return "", errno.New("EINVAL", "a prefix or suffix must not contain a slash")
	}
	for attempt := 0; ; attempt++ {
		name, err := RandomName()
		if err != nil {
			return "", errno.From(err)
		}
		p := path.Join(dir, prefix+name+suffix)
		if directory {
			err = ignoringEINTR(func() error { return syscall.Mkdir(p, 0o700) })
		} else {
			var fd int
			fd, err = sys.Openat(sys.AtFdcwd, p, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o600)
			if err == nil {
				syscall.Close(fd)
			}
		}
		if err == nil || err != syscall.EEXIST || attempt == 100 {
			return p, errno.At(err, p)
		}
	}
}

// RandomName returns sixteen random hexadecimal digits.
func RandomName() (string, error) {
	const digits = "0123456789abcdef"
	var random [8]byte
	if err := sys.Random(random[:]); err != nil {
		return "", err
	}
	name := make([]byte, 0, 16)
	for _, b := range random {
		name = append(name, digits[b>>4], digits[b&15])
	}
	return string(name), nil
}
