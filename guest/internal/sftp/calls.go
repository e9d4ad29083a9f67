package sftp

import (
	"syscall"
	"unsafe"
)

// The calls below do not tell the scheduler. There is nobody else whom it could let run meanwhile, and a monitor thread
// that is woken because a call takes long costs more than the call in an emulated machine.

const (
	atFdcwd           = ^uintptr(99) // -100
	atSymlinkNofollow = 0x100
	renameNoReplace   = 1
	utimeOmit         = 1<<30 - 2
	keepID            = ^uint32(0)
)

// stat is what is asked of a file.
type stat = syscall.Stat_t

// pointer is the address of a path for the kernel. Paths are parts of a Server, which does not move.
func (p *path) pointer() uintptr { return uintptr(unsafe.Pointer(p)) }

// call performs a system call until no signal interrupts it.
//
//go:uintptrescapes
func call(number, a, b, c, d, e uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(number, a, b, c, d, e, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

//go:uintptrescapes
func do(number, a, b, c, d, e uintptr) error {
	_, err := call(number, a, b, c, d, e)
	return err
}

func openFile(p *path, flags int, mode uint32) (int, error) {
	return call(syscall.SYS_OPENAT, atFdcwd, p.pointer(), uintptr(flags|syscall.O_CLOEXEC), uintptr(mode), 0)
}

func closeFD(fd int) error {
	// Not repeated: the descriptor is free even if a signal interrupts the call.
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0)
	if errno != 0 && errno != syscall.EINTR {
		return errno
	}
	return nil
}

func pread(fd int, b []byte, at int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return call(syscall.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(at), 0)
}

func pwrite(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := call(syscall.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(at), 0)
		if err != nil {
			return err
		}
		if n == 0 {
			return syscall.EIO
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func fstat(fd int, st *stat) error {
	return do(syscall.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0, 0, 0)
}

// statAt asks for a file by name: in a directory, or of a path.
func statAt(dir uintptr, name uintptr, st *stat, flags uintptr) error {
	return do(sysFstatat, dir, name, uintptr(unsafe.Pointer(st)), flags, 0)
}

// setTimes sets both times of a file, in seconds. A name of 0 means the descriptor itself.
func setTimes(dir, name uintptr, atime, mtime uint32, flags uintptr) error {
	times := &[2]syscall.Timespec{{Sec: int64(atime)}, {Sec: int64(mtime)}}
	return do(syscall.SYS_UTIMENSAT, dir, name, uintptr(unsafe.Pointer(times)), flags, 0)
}

func readEntries(fd int, b []byte) (int, error) {
	return call(syscall.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
}

func readLink(dir, name uintptr, b []byte) (int, error) {
	return call(syscall.SYS_READLINKAT, dir, name, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
}

// copyRange copies inside the kernel and advances both positions.
func copyRange(from int, fromAt *int64, to int, toAt *int64, n int) (int, error) {
	c, _, errno := syscall.RawSyscall6(sysCopyFileRange, uintptr(from), uintptr(unsafe.Pointer(fromAt)), uintptr(to),
		uintptr(unsafe.Pointer(toAt)), uintptr(n), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(c), nil
}
