package server

import (
	"os"
	"strconv"
	"syscall"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/boot"
)

// Development is the Machine of an agent that serves on a developer's own machine, for tests of the host's side: it
// changes nothing about the machine, and every user is the one that runs the agent.
type Development struct {
	// Exit ends the agent.
	Exit func()
}

// Resume implements Machine.
func (d *Development) Resume(_ []byte, _ int64, _, _ string) (string, error) {
	return "00000000-0000-4000-8000-" + strconv.FormatInt(1e11+int64(os.Getpid()), 10), nil
}

// Prepare implements Machine.
func (d *Development) Prepare(uint64, func(argv []string)) error { return nil }

// SetClock implements Machine.
func (d *Development) SetClock(int64) error { return nil }

// HoldProcesses implements Machine.
func (d *Development) HoldProcesses() (wait func(), err error) { return func() {}, nil }

// LetProcessesGo implements Machine.
func (d *Development) LetProcessesGo() error { return nil }

// Trust implements Machine.
func (d *Development) Trust([]boot.Root) error { return nil }

// PowerOff implements Machine.
func (d *Development) PowerOff(done func()) {
	done()
	d.Exit()
}

// Identity implements Machine.
func (d *Development) Identity(string) (*accounts.Identity, error) {
	return &accounts.Identity{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Current: true}, nil
}

// MemoryTotal implements Machine.
func (d *Development) MemoryTotal() uint64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(max(1, info.Unit))
}

// Processes implements Machine.
func (d *Development) Processes() int { return 0 }

// OOMKills implements Machine.
func (d *Development) OOMKills() uint64 { return 0 }
