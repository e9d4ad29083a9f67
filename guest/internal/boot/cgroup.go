package boot

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"sbx.dev/agent/internal/errno"
)

// UserGroup is the control group of everything that is not the agent. Processes are in groups below it.
const UserGroup = "/sys/fs/cgroup/user"

const (
	mebibyte = 1 << 20
	// minReserveBytes is what the sandbox's processes always leave to the agent and the kernel.
	minReserveBytes = 48 * mebibyte
	// maxTasks bounds a fork bomb; threads count. A machine with less memory has fewer: a bomb of shells, which take a
	// quarter of bytesPerTask, shall not fill it, since a machine that is looking for memory does nothing else.
	maxTasks     = 8192
	minTasks     = 512
	bytesPerTask = 512 << 10
	// spareGroups are for when processes are wanted and the others are full. spareTasks is the bound of each.
	spareGroups = 4
	spareTasks  = 256
)

// Groups are the control groups that processes are born in: one for all, and when a fork bomb has filled that, a few
// small ones, so that whoever wants to stop it gets a process and a share of the processor.
type Groups struct{ fds []int }

// MakeGroups makes the control groups of a sandbox's processes.
func MakeGroups() (*Groups, error) {
	const root = "/sys/fs/cgroup"
	available, err := os.ReadFile(root + "/cgroup.controllers")
	if err != nil {
		return nil, err
	}
	for _, controller := range strings.Fields(string(available)) {
		// One at a time: a controller that cannot be had must not cost the others.
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+"+controller), 0)
	}
	total := MemoryTotal()
	reserve := max(minReserveBytes, total/20)
	err = makeGroup(UserGroup, [][2]string{
		{"memory.max", strconv.FormatUint(total-min(reserve, total/2), 10)},
		{"memory.oom.group", "0"},
		{"cgroup.subtree_control", "+pids +cpu"},
	})
	if err != nil {
		return nil, err
	}
	g := &Groups{}
	// All now: a new group has to wait until nothing forks, which under a fork bomb takes minutes.
	for index := range 1 + spareGroups {
		tasks := spareTasks
		if index == 0 {
			tasks = min(maxTasks, taskLimit()/2, max(minTasks, int(total/bytesPerTask)))
		}
		if err := g.add(tasks); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// FD returns a descriptor of one of the groups, the one for all first. There are no more when it is not ok.
func (g *Groups) FD(index int) (fd int, ok bool) {
	if index >= len(g.fds) {
		return -1, false
	}
	return g.fds[index], true
}

func (g *Groups) add(tasks int) error {
	path := UserGroup + "/" + strconv.Itoa(len(g.fds))
	if err := makeGroup(path, [][2]string{{"pids.max", strconv.Itoa(tasks)}}); err != nil {
		return err
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err == nil {
		g.fds = append(g.fds, fd)
	}
	return err
}

func makeGroup(path string, settings [][2]string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	for _, s := range settings {
		if err := os.WriteFile(path+"/"+s[0], []byte(s[1]), 0); err != nil {
			return err
		}
	}
	return nil
}

// holdLimit is how long processes are waited for that are in the middle of something. They come no further than to its
// end, so that there is no need to wait for all.
const holdLimit = 100 * time.Millisecond

// held reports whether the processes were told to stand still: to let them go costs a call otherwise, and nearly every
// clone has none.
var held atomic.Bool

// HoldProcesses tells everything in the groups to stand still; wait waits until it does.
func HoldProcesses() (wait func(), err error) {
	held.Store(true)
	if err := os.WriteFile(UserGroup+"/cgroup.freeze", []byte("1"), 0); err != nil {
		return nil, errno.At(err, UserGroup)
	}
	return untilHeld, nil
}

func untilHeld() {
	for deadline := time.Now().Add(holdLimit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		events, err := os.ReadFile(UserGroup + "/cgroup.events")
		if err != nil || bytes.Contains(events, []byte("frozen 1")) {
			return
		}
	}
}

// LetProcessesGo undoes HoldProcesses.
func LetProcessesGo() error {
	if !held.Swap(false) {
		return nil
	}
	return errno.At(os.WriteFile(UserGroup+"/cgroup.freeze", []byte("0"), 0), UserGroup)
}

// Processes returns how many processes are in the groups.
func Processes() int {
	count := 0
	for index := range spareGroups + 1 {
		procs, err := os.ReadFile(UserGroup + "/" + strconv.Itoa(index) + "/cgroup.procs")
		if err != nil {
			break
		}
		count += bytes.Count(procs, []byte{'\n'})
	}
	return count
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
