package proc

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
)

// births is how processes are started where a file may have to be waited for that this very program helps to fetch.
//
// Between clone and execve the thread that starts a process stands still (CLONE_VFORK), in a call that the scheduler is
// not told of. If the working directory, the program or its interpreter is on a folder of the host, the new process asks
// the kernel's FUSE client for it meanwhile, and its request comes to a goroutine here: with one processor, which that
// thread holds, it would never be carried on. So there are two processors for that time, and no more: with two, every
// goroutine that is made ready has a thread woken, which costs an emulated machine more than the work itself. And as a
// garbage collection would stop the second one to wait for the first, there is none meanwhile.
type births struct {
	mayWait atomic.Bool
	mu      sync.Mutex
}

// FilesMayWait says that from now on files may be served by the host.
func (m *Manager) FilesMayWait() { m.births.mayWait.Store(true) }

func (b *births) forkExec(file string, argv []string, attr *syscall.ProcAttr) (int, error) {
	if !b.mayWait.Load() {
		return syscall.ForkExec(file, argv, attr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	processors := runtime.GOMAXPROCS(2)
	// Both wait for a collection that is under way.
	percent := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(math.MaxInt64)
	defer func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(processors)
	}()
	return syscall.ForkExec(file, argv, attr)
}
