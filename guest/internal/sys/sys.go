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
