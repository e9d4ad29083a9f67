package boot

import (
	"bytes"
	"os"
	"syscall"
	"time"
)

const (
	// termWait is how long processes have after SIGTERM.
	termWait = 2 * time.Second
	// killWait is how long the kernel has to get rid of them after SIGKILL.
	killWait = time.Second
)

// Stop ends all processes, brings the disk into order and tells done before it stops the machine.
func Stop(done func()) {
	_ = syscall.Kill(-1, syscall.SIGTERM)
	_ = syscall.Kill(-1, syscall.SIGCONT)
	await(termWait, empty)
	_ = os.WriteFile(UserGroup+"/cgroup.kill", []byte("1"), 0)
	_ = syscall.Kill(-1, syscall.SIGKILL)
	await(killWait, empty)
	syscall.Sync()
	done()
	Halt()
}

// empty reports whether the user's control group has no process left. The agent reaps them meanwhile.
func empty() bool {
	events, err := os.ReadFile(UserGroup + "/cgroup.events")
	return err != nil || bytes.Contains(events, []byte("populated 0"))
}

func await(limit time.Duration, condition func() bool) {
	for deadline := time.Now().Add(limit); !condition() && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}

// Halt stops the machine at once. QEMU takes a restart for the end (-no-reboot); microvm has nothing to switch it off.
func Halt() {
	syscall.Sync()
	closeIdentity()
	_ = syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	// Not reached unless the kernel refuses, and PID 1 must not return.
	for {
		time.Sleep(time.Hour)
	}
}
