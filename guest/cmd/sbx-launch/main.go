// Sbx-launch starts a machine and then becomes its supervisor, so that both start at the same time though the machine
// is the supervisor's child. It runs on the host, once for each sandbox, for a few milliseconds.
//
//	sbx-launch [--socket VM:SUPERVISOR | --file VM:PATH | --say VM:TEXT | --input VM:BYTES]...
//	           WORDS VM-COMMAND... SUPERVISOR-COMMAND...
//
// --socket makes a pair of connected sockets: descriptor VM of the machine's process, SUPERVISOR of the supervisor's.
// --file opens a file for reading as descriptor VM of the machine's process. --say writes a text into the supervisor's
// end of the pair of VM, before anybody reads; --input does it with the first BYTES of standard input, for what nobody
// may read in a command line. WORDS is the number of words of VM-COMMAND. The supervisor keeps descriptors 0 to 3, and
// finds the machine's process id in SBX_VM_PID.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const (
	// firstOwn is above all descriptors that are asked for, so that moving one never hits another.
	firstOwn = 64
	// vmPath and vmLocale are the whole environment of the machine's process.
	vmPath, vmLocale = "PATH=/usr/bin:/bin", "LC_ALL=C"
	failed           = 125
	// maxInput is less than a socket takes without a reader.
	maxInput = 64 << 10
)

func main() {
	// The parent of a process is a thread, and one with PR_SET_PDEATHSIG dies with that thread: it must be the one that
	// becomes the supervisor. The main goroutine is on the main thread until it lets go of it.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "sbx-launch: %v\n", err)
		os.Exit(failed)
	}
}

func run(args []string) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	pid, err := p.startMachine()
	if err != nil {
		return fmt.Errorf("%s could not be started: %w", p.machine[0], err)
	}
	err = p.becomeSupervisor(pid)
	// The machine has nobody to talk to; its end of the sockets closes with this process.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	return err
}

// becomeSupervisor returns only if that fails.
func (p *plan) becomeSupervisor(pid int) error {
	if err := p.passInput(); err != nil {
		return err
	}
	for target, fd := range p.own {
		if err := syscall.Dup3(fd, target, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", target, err)
		}
	}
	environment := append(os.Environ(), "SBX_VM_PID="+strconv.Itoa(pid))
	err := syscall.Exec(p.supervisor[0], p.supervisor, environment)
	return fmt.Errorf("%s could not be started: %w", p.supervisor[0], err)
}

// plan is what the command line asks for. Descriptors are closed by every exec but where they are handed over.
type plan struct {
	// files are the machine's descriptors, own the supervisor's by their number.
	files      []uintptr
	own        map[int]int
	peers      map[int]int
	input      []part
	machine    []string
	supervisor []string
}

// part is a number of bytes of standard input for one of the machine's sockets.
type part struct{ peer, bytes int }

var errUsage = errors.New("usage: sbx-launch [--socket VM:SUPERVISOR | --file VM:PATH | --say VM:TEXT | " +
	"--input VM:BYTES]... WORDS VM... SUPERVISOR...")

func parse(args []string) (*plan, error) {
	p := &plan{own: map[int]int{}, peers: map[int]int{}}
	devNull, err := openFile("/dev/null")
	if err != nil {
		return nil, err
	}
	for fd := range 3 {
		p.give(fd, devNull)
	}
	for len(args) >= 2 && strings.HasPrefix(args[0], "--") {
		number, value, found := strings.Cut(args[1], ":")
		target, err := strconv.Atoi(number)
		if err != nil || !found || target < 0 || target >= firstOwn {
			return nil, errUsage
		}
		switch args[0] {
		case "--socket":
			err = p.socket(target, value)
		case "--file":
			var fd int
			if fd, err = openFile(value); err == nil {
				p.give(target, fd)
			}
		case "--say":
			_, err = syscall.Write(p.peers[target], []byte(value))
		case "--input":
			err = p.expectInput(target, value)
		default:
			err = errUsage
		}
		if err != nil {
			return nil, err
		}
		args = args[2:]
	}
	if len(args) < 3 {
		return nil, errUsage
	}
	words, err := strconv.Atoi(args[0])
	if args = args[1:]; err != nil || words < 1 || words >= len(args) {
		return nil, errUsage
	}
	p.machine, p.supervisor = args[:words], args[words:]
	return p, nil
}

// give puts a descriptor at a number of the machine's.
func (p *plan) give(at, fd int) {
	for len(p.files) <= at {
		p.files = append(p.files, ^uintptr(0))
	}
	p.files[at] = uintptr(fd)
}

func (p *plan) socket(at int, supervisors string) error {
	own, err := strconv.Atoi(supervisors)
	if err != nil || own < 4 || own >= firstOwn {
		return errUsage
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for i := range ends {
		if ends[i], err = moveUp(ends[i]); err != nil {
			return err
		}
	}
	p.give(at, ends[0])
	p.own[own], p.peers[at] = ends[1], ends[1]
	return nil
}

func (p *plan) expectInput(at int, value string) error {
	peer, known := p.peers[at]
	bytes, err := strconv.Atoi(value)
	if err != nil || !known || bytes < 0 || bytes > maxInput {
		return errUsage
	}
	p.input = append(p.input, part{peer, bytes})
	return nil
}

// passInput reads no more of standard input than it was told: what follows is the supervisor's.
func (p *plan) passInput() error {
	for _, part := range p.input {
		content := make([]byte, part.bytes)
		if _, err := io.ReadFull(os.Stdin, content); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		if _, err := syscall.Write(part.peer, content); err != nil {
			return err
		}
	}
	return nil
}

func openFile(path string) (int, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return moveUp(fd)
}

// moveUp gives a descriptor a number out of the way.
func moveUp(fd int) (int, error) {
	moved, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, firstOwn)
	_ = syscall.Close(fd)
	if e != 0 {
		return -1, e
	}
	return int(moved), nil
}

// startMachine starts the machine's process in a process group of its own, which the supervisor ends as a whole.
func (p *plan) startMachine() (int, error) {
	return syscall.ForkExec(p.machine[0], p.machine, &syscall.ProcAttr{
		Dir: "/", Env: []string{vmPath, vmLocale}, Files: p.files,
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
}
