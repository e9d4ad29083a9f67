package server

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/boot"
	"sbx.dev/agent/internal/proc"
	"sbx.dev/agent/internal/sys"
	"sbx.dev/agent/internal/volumes"
)

// farewell is how long QEMU gets to pass the last answer on before the machine is gone.
const farewell = 20 * time.Millisecond

// Guest is the Machine of a sandbox.
type Guest struct {
	Accounts *accounts.Database
	OOM      *proc.OOMWatch
	Volumes  *volumes.Manager
}

// Disks makes this a machine whose disks may be changed.
func (g *Guest) Disks() *volumes.Manager { return g.Volumes }

// Resume implements Machine.
func (g *Guest) Resume(entropy []byte, unixNs int64, hostname, machineID string) (string, error) {
	clone := boot.Clone{Entropy: entropy, UnixNs: unixNs, Hostname: hostname, MachineID: machineID}
	if err := clone.Check(); err != nil {
		return "", err
	}
	return clone.Apply()
}

// Prepare implements Machine.
func (g *Guest) Prepare(diskBytes uint64, run func(argv []string)) error {
	if err := boot.GrowRoot(diskBytes); err != nil {
		return err
	}
	boot.DropCaches()
	for _, argv := range boot.WarmUps() {
		run(argv)
	}
	return boot.Settle()
}

// SetClock implements Machine.
func (g *Guest) SetClock(unixNs int64) error { return sys.SetClock(unixNs) }

// HoldProcesses implements Machine.
func (g *Guest) HoldProcesses() (wait func(), err error) { return boot.HoldProcesses() }

// LetProcessesGo implements Machine.
func (g *Guest) LetProcessesGo() error { return boot.LetProcessesGo() }

// Trust implements Machine.
func (g *Guest) Trust(roots []boot.Root) error { return boot.Trust(roots) }

// PowerOff implements Machine.
func (g *Guest) PowerOff(done func()) {
	boot.Stop(func() {
		g.Volumes.UnmountAll()
		done()
		time.Sleep(farewell)
	})
}

// Identity implements Machine.
func (g *Guest) Identity(user string) (*accounts.Identity, error) {
	if user == "" {
		user = "app"
	}
	return g.Accounts.Lookup(user)
}

// MemoryTotal implements Machine.
func (g *Guest) MemoryTotal() uint64 { return boot.MemoryTotal() }

// Processes implements Machine.
func (g *Guest) Processes() int { return boot.Processes() }

// OOMKills implements Machine.
func (g *Guest) OOMKills() uint64 {
	if g.OOM != nil {
		return g.OOM.Count()
	}
	events, err := os.ReadFile(boot.UserGroup + "/memory.events")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(events, []byte("\noom_kill "))
	number, _, _ := bytes.Cut(rest, []byte{'\n'})
	n, _ := strconv.ParseUint(string(number), 10, 64)
	return n
}
