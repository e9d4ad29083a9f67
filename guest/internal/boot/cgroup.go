package boot

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// UserGroup is the control group of everything that is not the agent.
const UserGroup = "/sys/fs/cgroup/user"

const (
	mebibyte = 1 << 20
	// minReserveBytes is what the sandbox's processes always leave to the agent and the kernel.
	minReserveBytes = 48 * mebibyte
	// maxTasks bounds a fork bomb; threads count.
	maxTasks = 8192
)

// MakeUserGroup makes the control group and returns a descriptor for processes to be born in it.
func MakeUserGroup() (int, error) {
	const root = "/sys/fs/cgroup"
	available, err := os.ReadFile(root + "/cgroup.controllers")
	if err != nil {
		return -1, err
	}
	for _, controller := range strings.Fields(string(available)) {
		// One at a time: a controller that cannot be had must not cost the others.
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+"+controller), 0)
	}
	if err := os.Mkdir(UserGroup, 0o755); err != nil && !os.IsExist(err) {
		return -1, err
	}
	total := MemoryTotal()
	reserve := max(minReserveBytes, total/20)
	settings := [][2]string{
		{"memory.max", strconv.FormatUint(total-min(reserve, total/2), 10)},
		{"memory.oom.group", "0"},
		{"pids.max", strconv.Itoa(min(maxTasks, taskLimit()*3/4))},
	}
	for _, s := range settings {
		if err := os.WriteFile(UserGroup+"/"+s[0], []byte(s[1]), 0); err != nil {
			return -1, err
		}
	}
	return syscall.Open(UserGroup, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
}

// MemoryTotal returns the bytes of memory that the kernel has.
func MemoryTotal() uint64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(max(1, info.Unit))
}

// taskLimit is how many tasks the kernel allows in all, which depends on its memory.
func taskLimit() int {
	for _, name := range []string{"/proc/sys/kernel/threads-max"} {
		if b, err := os.ReadFile(name); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n > 0 {
				return n
			}
		}
	}
	return maxTasks
}
