package sys

import (
	"sync"
	"syscall"
)

// Writing is held, for reading, by every call that may write to a file system without the scheduler's knowledge (the
// calls with Now in their names). Whoever freezes a file system holds it for writing: such a call would stand still with
// the only processor, and nobody could thaw it any more.
var Writing sync.RWMutex

// SyncFS writes what belongs to the file system of an open file to its disk.
func SyncFS(fd int) error {
	return retry(func() syscall.Errno {
		_, _, e := syscall.Syscall(sysSyncfs, uintptr(fd), 0, 0)
		return e
	})
}
