// Package sys holds the system calls and constants that the frozen syscall package lacks. Nothing here decides anything.
package sys

import (
	"syscall"
	"unsafe"
)

// Flags of open and *at calls, the same on amd64 and arm64 unless noted.
const (
	OPath             = 0x200000
	AtFdcwd           = -0x64
	AtSymlinkNofollow = 0x100
	AtSymlinkFollow   = 0x400
	AtRemovedir       = 0x200
	AtEmptyPath       = 0x1000
	AtEaccess         = 0x200
	SeekData          = 3
	SeekHole          = 4
)

func errOf(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// Ignoring EINTR: the runtime's preemption signals interrupt slow calls even with SA_RESTART.
func retry(f func() syscall.Errno) error {
	for {
		if e := f(); e != syscall.EINTR {
			return errOf(e)
		}
	}
}

// Ioctl performs an ioctl whose argument is a number.
func Ioctl(fd int, request, arg uintptr) error {
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, arg)
		return e
	})
}

// IoctlPointer performs an ioctl whose argument is a structure.
func IoctlPointer(fd int, request uintptr, arg unsafe.Pointer) error {
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		return e
	})
}

// FinitModule loads the kernel module in an open file.
func FinitModule(fd int) error {
	var none [1]byte
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(sysFinitModule, uintptr(fd), uintptr(unsafe.Pointer(&none[0])), 0)
		return e
	})
}

// Random fills b from the kernel's generator. Unlike the runtime's own generator its state is not shared between
// clones of one memory image.
func Random(b []byte) error {
	for len(b) > 0 {
		n, _, e := syscall.Syscall(sysGetrandom, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		b = b[n:]
	}
	return nil
}

// SetClock sets the real-time clock to nanoseconds since the epoch.
func SetClock(unixNs int64) error {
	t := syscall.NsecToTimespec(unixNs)
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(sysClockSettime, 0, uintptr(unsafe.Pointer(&t)), 0)
		return e
	})
}

// PipeSize is the request of fcntl that sets the size of a pipe.
const fSetPipeSize = 1031

// SetPipeSize asks for a larger pipe; the kernel may refuse.
func SetPipeSize(fd, bytes int) error {
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), fSetPipeSize, uintptr(bytes))
		return e
	})
}

// Buffered returns how many bytes wait in a pipe, socket or terminal.
func Buffered(fd int) int {
	var n int32
	if IoctlPointer(fd, syscall.TIOCINQ, unsafe.Pointer(&n)) != nil {
		return 0
	}
	return int(n)
}

// Rmdirat removes an empty directory.
func Rmdirat(dir int, name string) error { return unlinkat(dir, name, AtRemovedir) }

// Unlinkat removes what is not a directory.
func Unlinkat(dir int, name string) error { return unlinkat(dir, name, 0) }

func unlinkat(dir int, name string, flags uintptr) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(syscall.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(p)), flags)
		return e
	})
}

// Statx is struct statx.
type Statx struct {
	Mask           uint32
	Blksize        uint32
	Attributes     uint64
	Nlink          uint32
	UID            uint32
	GID            uint32
	Mode           uint16
	_              [1]uint16
	Ino            uint64
	Size           uint64
	Blocks         uint64
	AttributesMask uint64
	Atime          StatxTime
	Btime          StatxTime
	Ctime          StatxTime
	Mtime          StatxTime
	RdevMajor      uint32
	RdevMinor      uint32
	DevMajor       uint32
	DevMinor       uint32
	_              [14]uint64
}

// StatxTime is struct statx_timestamp.
type StatxTime struct {
	Sec  int64
	Nsec uint32
	_    int32
}

// Parts of what statx is asked for.
const (
	StatxBasic = 0x7ff
	StatxBtime = 0x800
)

// StatAt asks for a file relative to a directory.
func StatAt(dir int, path string, flags int) (st Statx, err error) {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return st, err
	}
	err = retry(func() syscall.Errno {
		_, _, e := syscall.Syscall6(sysStatx, uintptr(dir), uintptr(unsafe.Pointer(p)), uintptr(flags),
			StatxBasic|StatxBtime, uintptr(unsafe.Pointer(&st)), 0)
		return e
	})
	return st, err
}

// Openat opens a file relative to a directory. The descriptor is close-on-exec.
func Openat(dir int, path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := syscall.Openat(dir, path, flags|syscall.O_CLOEXEC, mode)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

// utimeOmit in place of nanoseconds keeps a time as it is.
const utimeOmit = (1 << 30) - 2

// SetTimes sets access and modification time in nanoseconds of a file relative to a directory; with an empty path,
// of the descriptor itself.
func SetTimes(dir int, path string, atime, mtime *int64, flags int) error {
	times := [2]syscall.Timespec{{Nsec: utimeOmit}, {Nsec: utimeOmit}}
	for i, t := range []*int64{atime, mtime} {
		if t != nil {
			times[i] = floorTimespec(*t)
		}
	}
	var p *byte
	if path != "" {
		var err error
		if p, err = syscall.BytePtrFromString(path); err != nil {
			return err
		}
	}
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(dir), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&times)), uintptr(flags), 0, 0)
		return e
	})
}

// floorTimespec is for times before 1970 too, whose nanoseconds count forwards as well.
func floorTimespec(ns int64) syscall.Timespec {
	sec, rest := ns/1e9, ns%1e9
	if rest < 0 {
		sec, rest = sec-1, rest+1e9
	}
	return syscall.Timespec{Sec: sec, Nsec: rest}
}

// Entries reads the next entries of an open directory into buf and calls each with name and d_type, leaving out `.`
// and `..`. The name is a part of buf. It returns false at the end.
func Entries(dir int, buf []byte, each func(name []byte, kind byte) error) (bool, error) {
	var n int
	for {
		var err error
		n, err = syscall.ReadDirent(dir, buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return false, err
		}
		break
	}
	for rest := buf[:n]; len(rest) > 0; {
		// struct linux_dirent64: inode, offset, u16 length, u8 type, name.
		length := int(rest[16]) | int(rest[17])<<8
		name := rest[19:length]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		kind := rest[18]
		rest = rest[length:]
		if string(name) == "." || string(name) == ".." {
			continue
		}
		if err := each(name, kind); err != nil {
			return false, err
		}
	}
	return n > 0, nil
}

// Readlinkat returns the text of a symbolic link.
func Readlinkat(dir int, path string) (string, error) {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return "", err
	}
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, _, e := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(size), 0, 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return "", e
		}
		if int(n) < size {
			return string(buf[:n]), nil
		}
	}
}

// Linkat makes a hard link.
func Linkat(oldDir int, oldPath string, newDir int, newPath string, flags int) error {
	return twoPaths(syscall.SYS_LINKAT, oldDir, oldPath, newDir, newPath, uintptr(flags))
}

// Renameat renames, replacing what has the new name.
func Renameat(oldDir int, oldPath string, newDir int, newPath string) error {
	return twoPaths(sysRenameat2, oldDir, oldPath, newDir, newPath, 0)
}

func twoPaths(call uintptr, oldDir int, oldPath string, newDir int, newPath string, flags uintptr) error {
	from, err := syscall.BytePtrFromString(oldPath)
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(newPath)
	if err != nil {
		return err
	}
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall6(call, uintptr(oldDir), uintptr(unsafe.Pointer(from)), uintptr(newDir),
			uintptr(unsafe.Pointer(to)), flags, 0)
		return e
	})
}

// Symlinkat makes a symbolic link.
func Symlinkat(target string, dir int, path string) error {
	t, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(t)), uintptr(dir),
			uintptr(unsafe.Pointer(p)))
		return e
	})
}

// Mkdirat makes a directory.
func Mkdirat(dir int, path string, mode uint32) error {
	return retry(func() syscall.Errno {
		e, _ := syscall.Mkdirat(dir, path, mode).(syscall.Errno)
		return e
	})
}

// CopyRange copies between two files inside the kernel, at their positions.
func CopyRange(from, to, bytes int) (int, error) {
	for {
		n, _, e := syscall.Syscall6(sysCopyFileRange, uintptr(from), 0, uintptr(to), 0, uintptr(bytes), 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// OpenatBytes opens a file whose name, a part of a directory buffer, is followed by a NUL.
func OpenatBytes(dir int, name *byte, flags int) (int, error) {
	for {
		fd, _, e := syscall.Syscall6(syscall.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(flags|syscall.O_CLOEXEC), 0, 0, 0)
		if e == 0 {
			return int(fd), nil
		}
		if e != syscall.EINTR {
			return -1, e
		}
	}
}

// Again repeats a call for as long as a signal interrupts it.
func Again(f func() error) error {
	for {
		if err := f(); err != syscall.EINTR {
			return err
		}
	}
}

// ReadNow reads from a descriptor that does not block. The scheduler is not told of the call, which is right for one
// that returns at once and saves what telling costs: a woken monitor thread for every burst of calls.
func ReadNow(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return now(syscall.SYS_READ, fd, b)
}

// WriteNow writes to a descriptor that does not block.
func WriteNow(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return now(syscall.SYS_WRITE, fd, b)
}

// WriteAll writes all of b to a descriptor of the runtime's poller, by WriteNow.
func WriteAll(raw syscall.RawConn, b []byte) (int, error) { return write(raw, b, true) }

// TryWrite writes what can be written without waiting.
func TryWrite(raw syscall.RawConn, b []byte) (int, error) { return write(raw, b, false) }

func write(raw syscall.RawConn, b []byte, wait bool) (int, error) {
	total := 0
	var failure error
	err := raw.Write(func(fd uintptr) bool {
		for total < len(b) {
			n, err := WriteNow(int(fd), b[total:])
			if err == syscall.EAGAIN {
				return !wait
			}
			if err != nil {
				failure = err
				return true
			}
			total += n
		}
		return true
	})
	if failure == nil {
		failure = err
	}
	return total, failure
}

func now(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// The calls below are for many short calls on files in a row, such as a copy's: as with ReadNow the scheduler is not
// told. Telling it costs more than the calls of an emulated machine themselves, since a call that takes long enough to
// be noticed has another thread woken to do the goroutine's work, of which there is none. The price is that nothing
// else runs on this processor meanwhile, so they are not for files that a process of the sandbox may answer for.

// OpenatBytesNow is OpenatBytes.
func OpenatBytesNow(dir int, name *byte, flags int) (int, error) {
	return OpenatNow(dir, name, flags, 0)
}

// OpenatNow opens a file whose name ends with a NUL. The descriptor is close-on-exec.
func OpenatNow(dir int, name *byte, flags int, mode uint32) (int, error) {
	for {
		fd, _, e := syscall.RawSyscall6(syscall.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(flags|syscall.O_CLOEXEC), uintptr(mode), 0, 0)
		if e == 0 {
			return int(fd), nil
		}
		if e != syscall.EINTR {
			return -1, e
		}
	}
}

// SetModifiedNow sets the modification time of an open file in nanoseconds, and keeps that of the last access.
func SetModifiedNow(fd int, mtime int64) error {
	times := [2]syscall.Timespec{{Nsec: utimeOmit}, floorTimespec(mtime)}
	_, _, e := syscall.RawSyscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	return errOf(e)
}

// CloseNow closes a descriptor.
func CloseNow(fd int) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0)
	return errOf(e)
}

// PreadNow reads from a position of a file.
func PreadNow(fd int, b []byte, at int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			uintptr(at), 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// FstatNow asks for an open file.
func FstatNow(fd int, st *syscall.Stat_t) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0)
	return errOf(e)
}
