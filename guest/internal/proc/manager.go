// Package proc starts the sandbox's processes, carries their streams and reaps whatever dies.
package proc

import (
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/errno"
)

// maxStatuses is how many exit statuses are kept for hosts that ask late.
const maxStatuses = 4096

// Status is how a process ended.
type Status struct {
	// Code is the exit code, 128 and the number of the signal that killed it otherwise.
	Code int
	// Signal is the name of that signal, empty if the process exited.
	Signal string
	// OOM says how sure it is that the kernel killed for want of memory: empty if it did not.
	OOM Certainty
}

// Certainty grades what is known of an out-of-memory kill.
type Certainty string

// The grades: the process itself or one of its session was killed, or some process was while this one lived.
const (
	NoOOM   Certainty = ""
	LowOOM  Certainty = "low-confidence"
	HighOOM Certainty = "high-confidence"
)

// Manager owns the processes that were started for the host. There is one in an agent.
type Manager struct {
	// groups are the control groups that processes are born in, nil for the agent's own.
	groups  Groups
	devNull int
	oom     *OOMWatch

	// birth is held for reading from before a fork until the child is in the table, and for writing while a dead child
	// is taken out of it, so that no child is reaped before it is known.
	birth  sync.RWMutex
	births births

	mu       sync.Mutex
	procs    map[int]*process
	finished []int
	// born counts the children, for the reaper to wait for while there is none.
	born int
	some sync.Cond
}

// process is a started process. Its fields are guarded by the Manager's mutex.
type process struct {
	pid int
	// oomMark is the count of kills when it started.
	oomMark uint64
	pty     *terminal
	outputs []*output
	inputs  []*input
	reaped  bool
	lingers bool
	// pending counts what is to be over before the status is told: the process and each of its outputs.
	pending int
	status  Status
	waiting map[*waiter]struct{}
}

type waiter struct{ tell func(Status) }

// Groups are control groups for processes to be born in. FD returns a descriptor of the first, and of further ones for
// when those before are full, as long as it is ok.
type Groups interface {
	FD(index int) (fd int, ok bool)
}

// NewManager makes a Manager and starts to reap. groups and watch may be nil.
func NewManager(groups Groups, watch *OOMWatch) (*Manager, error) {
	devNull, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, errno.At(err, "/dev/null")
	}
	m := &Manager{groups: groups, devNull: devNull, oom: watch, procs: map[int]*process{}}
	m.some.L = &m.mu
	go m.reap()
	return m, nil
}

func noProcess(pid int) error {
	return errno.New("ESRCH", "there is no process "+strconv.Itoa(pid))
}

// reap waits for children for ever: those that were started here, and orphans.
func (m *Manager) reap() {
	seen := 0
	for {
		pid, err := peekDead()
		if err == syscall.ECHILD {
			m.mu.Lock()
			for m.born == seen {
				m.some.Wait()
			}
			seen = m.born
			m.mu.Unlock()
			continue
		}
		if err != nil {
			continue
		}
		m.bury(pid)
	}
}

// peekDead waits until a child is dead and returns its pid without reaping it, so that the pid stays taken.
func peekDead() (int, error) {
	const pAll, wNoWait = 0, 0x01000000
	// siginfo_t: three ints, padding, then the union that begins with the pid.
	var info [128 / 4]int32
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, pAll, 0, uintptr(unsafe.Pointer(&info[0])),
			syscall.WEXITED|wNoWait|syscall.WALL, 0, 0)
		switch e {
		case 0:
			return int(info[4]), nil
		case syscall.EINTR:
		default:
			return 0, e
		}
	}
}

// bury reaps a dead child and settles its process, if it is one of the host's.
func (m *Manager) bury(pid int) {
	var ws syscall.WaitStatus
	m.birth.Lock()
	m.mu.Lock()
	for {
		_, err := syscall.Wait4(pid, &ws, syscall.WALL, nil)
		if err != syscall.EINTR {
			break
		}
	}
	p := m.procs[pid]
	if p != nil && !p.reaped {
		p.reaped = true
	} else {
		p = nil
	}
	m.mu.Unlock()
	m.birth.Unlock()
	if p == nil {
		return
	}
	status := Status{Code: ws.ExitStatus()}
	if ws.Signaled() {
		status = Status{Code: 128 + int(ws.Signal()), Signal: SignalName(ws.Signal())}
	}
	if status.Code == 128+int(syscall.SIGKILL) && m.oom != nil {
		status.OOM = m.oom.Verdict(pid, p.oomMark)
	}
	m.mu.Lock()
	p.status = status
	m.mu.Unlock()
	for _, in := range p.inputs {
		in.leaderGone()
	}
	for _, out := range p.outputs {
		if !p.lingers || out.terminal != nil {
			out.leaderGone()
		}
	}
	m.settle(p)
}

// settle counts one of the things down that a status waits for, and tells it when that was the last.
func (m *Manager) settle(p *process) {
	m.mu.Lock()
	p.pending--
	if p.pending > 0 {
		m.mu.Unlock()
		return
	}
	told := p.waiting
	p.waiting = nil
	p.outputs, p.inputs = nil, nil
	pty := p.pty
	p.pty = nil
	m.finished = append(m.finished, p.pid)
	for len(m.finished) > maxStatuses {
		oldest := m.finished[0]
		m.finished = m.finished[1:]
		if q := m.procs[oldest]; q != nil && q.reaped && q.pending <= 0 {
			delete(m.procs, oldest)
		}
	}
	m.mu.Unlock()
	if pty != nil {
		pty.close()
	}
	for w := range told {
		w.tell(p.status)
	}
}

// Wait has tell called with the status of a process as soon as it ended and its output was sent: perhaps at once,
// perhaps on another goroutine. The function that it returns takes the request back.
func (m *Manager) Wait(pid int, tell func(Status)) (forget func(), err error) {
	m.mu.Lock()
	p := m.procs[pid]
	if p == nil {
		m.mu.Unlock()
		return nil, noProcess(pid)
	}
	if p.pending <= 0 {
		status := p.status
		m.mu.Unlock()
		tell(status)
		return func() {}, nil
	}
	w := &waiter{tell}
	if p.waiting == nil {
		p.waiting = map[*waiter]struct{}{}
	}
	p.waiting[w] = struct{}{}
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		delete(p.waiting, w)
		m.mu.Unlock()
	}, nil
}

// Kill sends a signal to a process, or to its whole process group and the terminal's foreground group.
func (m *Manager) Kill(pid int, signal syscall.Signal, group bool) error {
	m.mu.Lock()
	p := m.procs[pid]
	if p == nil || p.reaped {
		m.mu.Unlock()
		// The process table is large; nobody is to wait while it is read.
		if p != nil && group && killSession(pid, signal) {
			return nil
		}
		return noProcess(pid)
	}
	defer m.mu.Unlock()
	if !group {
		return errOrNil(syscall.Kill(pid, signal))
	}
	err := syscall.Kill(-pid, signal)
	if p.pty != nil {
		if front := p.pty.foreground(); front > 1 && front != pid && syscall.Kill(-front, signal) == nil {
			err = nil
		}
	}
	return errOrNil(err)
}

func errOrNil(err error) error {
	if err == nil {
		return nil
	}
	return errno.From(err)
}

// Resize sets the size of a process's terminal.
func (m *Manager) Resize(pid int, cols, rows uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.procs[pid]
	if p == nil {
		return noProcess(pid)
	}
	if p.pty == nil {
		if p.reaped {
			return noProcess(pid)
		}
		return errno.New("ENOTTY", "process "+strconv.Itoa(pid)+" has no terminal")
	}
	return errOrNil(p.pty.resize(cols, rows))
}

// Known reports whether a process was started here and its status is still known.
func (m *Manager) Known(pid int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.procs[pid] != nil
}

// KillAll kills every session that was started here. For an agent that is about to end without ending its machine.
func (m *Manager) KillAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for pid, p := range m.procs {
		if !p.reaped {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		killSession(pid, syscall.SIGKILL)
	}
}
