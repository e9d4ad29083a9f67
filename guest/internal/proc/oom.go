package proc

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// maxKills is how many out-of-memory kills are remembered.
const maxKills = 256

// Kill is one process that the kernel killed for want of memory.
type Kill struct {
	PID  int
	Comm string
	// session is the session the victim was in, 0 if it was gone before that could be read.
	session int
}

// OOMWatch follows the kernel's log for processes that it killed for want of memory.
//
// The log is the only place that names the victims. What processes write into it themselves has another facility than
// the kernel's and is ignored.
type OOMWatch struct {
	tell func(Kill)
	raw  syscall.RawConn

	mu    sync.Mutex
	kills []Kill
	count uint64
}

// WatchOOM starts to follow the log. tell is called for each kill.
func WatchOOM(tell func(Kill)) (*OOMWatch, error) {
	fd, err := syscall.Open("/dev/kmsg", syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// What happened before is of no interest.
	_, _ = syscall.Seek(fd, 0, 2)
	raw, err := os.NewFile(uintptr(fd), "/dev/kmsg").SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &OOMWatch{tell: tell, raw: raw}
	go func() {
		for raw.Read(func(fd uintptr) bool { return w.drain(int(fd)) }) == nil {
		}
	}()
	return w, nil
}

// drain reads what there is and reports whether the log can be read no more.
func (w *OOMWatch) drain(fd int) bool {
	var record [8192]byte
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n, err := syscall.Read(fd, record[:])
		switch err {
		case nil:
			if n == 0 {
				return false
			}
			if kill, ok := parseKill(record[:n]); ok {
				w.add(kill)
			}
		case syscall.EINTR, syscall.EPIPE, syscall.EINVAL:
			// EPIPE: records were overwritten before they were read; the next ones are there.
		default:
			return false
		}
	}
}

// add remembers a kill. w.mu is held.
func (w *OOMWatch) add(k Kill) {
	k.session = sessionOf(k.PID)
	w.kills = append(w.kills, k)
	if len(w.kills) > maxKills {
		w.kills = append(w.kills[:0], w.kills[1:]...)
	}
	w.count++
	if w.tell != nil {
		go w.tell(k)
	}
}

// Count returns how many kills there were so far.
func (w *OOMWatch) Count() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// Verdict says whether a process that ended with the status of SIGKILL was out of memory. mark is the Count when it
// started.
func (w *OOMWatch) Verdict(pid int, mark uint64) Certainty {
	// The record may be there already though the goroutine that follows has not got to it.
	_ = w.raw.Control(func(fd uintptr) { w.drain(int(fd)) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == mark {
		return NoOOM
	}
	recent := int(min(w.count-mark, uint64(len(w.kills))))
	for _, k := range w.kills[len(w.kills)-recent:] {
		if k.PID == pid || k.session == pid {
			return HighOOM
		}
	}
	return LowOOM
}

// parseKill reads a record of /dev/kmsg, "prio,seq,time,flags;text\n", and recognises
// "Out of memory: Killed process 123 (comm) ..." and "Memory cgroup out of memory: Killed process ...".
func parseKill(record []byte) (Kill, bool) {
	prefix, text, ok := bytes.Cut(record, []byte{';'})
	if !ok {
		return Kill{}, false
	}
	text, _, _ = bytes.Cut(text, []byte{'\n'})
	priority, _, _ := bytes.Cut(prefix, []byte{','})
	if p, err := strconv.Atoi(string(priority)); err != nil || p>>3 != 0 {
		return Kill{}, false
	}
	reason, victim, ok := bytes.Cut(text, []byte(": Killed process "))
	if !ok || !bytes.HasSuffix(bytes.ToLower(reason), []byte("out of memory")) {
		return Kill{}, false
	}
	number, rest, ok := bytes.Cut(victim, []byte(" ("))
	if !ok {
		return Kill{}, false
	}
	pid, err := strconv.Atoi(string(number))
	if err != nil {
		return Kill{}, false
	}
	end := bytes.LastIndex(rest, []byte(") total-vm:"))
	if end < 0 {
		end = max(0, bytes.LastIndexByte(rest, ')'))
	}
	return Kill{PID: pid, Comm: string(rest[:end])}, true
}
