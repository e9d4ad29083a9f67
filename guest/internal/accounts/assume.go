package accounts

import (
	"runtime"
	"syscall"
	"unsafe"
)

const keep = ^uintptr(0)

// Do runs f with the rights of the identity, on a thread of its own for the time.
//
// Credentials belong to a thread in the kernel, and raw system calls change those of the calling thread alone. With
// the effective uid no longer 0 the kernel takes all effective capabilities away as well; the real and saved uid stay
// 0, which is what allows the way back and keeps the sandbox's processes from signalling or tracing the agent. A
// thread that the runtime starts meanwhile does not inherit any of this: for a locked thread the runtime has another,
// clean one do that.
func (i *Identity) Do(f func() error) error {
	if i.Same() {
		return f()
	}
	runtime.LockOSThread()
	if err := i.assume(); err != nil {
		return err // Still locked: the thread ends with the goroutine and takes its half-changed rights with it.
	}
	returned := false
	defer func() {
		if err := restore(); err != nil {
			panic("cannot take back root's rights: " + err.Error())
		}
		if returned {
			runtime.UnlockOSThread()
		}
	}()
	err := f()
	returned = true
	return err
}

func (i *Identity) assume() error {
	var first unsafe.Pointer
	if len(i.Groups) > 0 {
		first = unsafe.Pointer(&i.Groups[0])
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(i.Groups)), uintptr(first), 0); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, uintptr(i.GID), keep); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(i.UID), keep); e != 0 {
		return e
	}
	return nil
}

func restore() error {
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 0, keep); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, 0, keep); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return e
	}
	return nil
}
