package boot

import (
	"os"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/sys"
)

// links are what udev would make in /dev.
var links = [][2]string{
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
}

// directories are what a boot makes anew, with modes that no umask may change.
var directories = []struct {
	path string
	mode uint32
}{
	{"/tmp", 0o1777}, {"/var/tmp", 0o1777}, {"/run/lock", 0o1777},
}

// sysctls are set at boot where the kernel knows them; first those that systemd sets on every Debian.
var sysctls = [][2]string{
	{"fs/protected_hardlinks", "1"},
	{"fs/protected_symlinks", "1"},
	{"fs/protected_fifos", "1"},
	{"fs/protected_regular", "2"},
	// An ordinary user may listen on any port and ping, as in a container.
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	// An idle machine stays idle: no compaction ahead of need, and statistics every two minutes instead of every second.
	{"vm/compaction_proactiveness", "0"},
	{"vm/stat_interval", "120"},
	{"vm/max_map_count", "1048576"},
	{"fs/inotify/max_user_instances", "1024"},
	{"fs/inotify/max_user_watches", "524288"},
	// A panic ends the machine instead of leaving it hanging.
	{"kernel/panic", "-1"},
	{"kernel/panic_on_oops", "1"},
	// Only what is wrong goes to the console, which is a log of the host.
	{"kernel/printk", "4 4 1 7"},
}

// rlimitNPROC limits the processes of one account; the syscall package has no name for it.
const rlimitNPROC, infinity = 6, ^uint64(0)

// fileLimits are those of the agent and of every process: soft, hard.
var fileLimits = syscall.Rlimit{Cur: 65536, Max: 1048576}

func populate() error {
	for _, d := range directories {
		if err := os.MkdirAll(d.path, 0o755); err != nil {
			return err
		}
		// chmod is told the sticky bit in the kernel's numbers, not in Go's.
		if err := syscall.Chmod(d.path, d.mode); err != nil {
			return err
		}
	}
	for _, l := range links {
		_ = os.Remove(l[1])
		if err := os.Symlink(l[0], l[1]); err != nil {
			return err
		}
	}
	if err := coverBootID(); err != nil {
		return err
	}
	return syscall.Sethostname([]byte("sandbox"))
}

// tune sets what makes life better; a kernel that does not know one of these is no reason to stop.
func tune() {
	for _, s := range sysctls {
		_ = os.WriteFile("/proc/sys/"+s[0], []byte(s[1]), 0)
	}
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &fileLimits)
	// Control groups bound the number of processes. The kernel's own limit counts by account, so that a user's first
	// runaway would keep all others of that user from starting.
	_ = syscall.Setrlimit(rlimitNPROC, &syscall.Rlimit{Cur: infinity, Max: infinity})
}

// loopbackUp does what `ip link set lo up` does; the kernel adds the addresses itself.
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// struct ifreq: a name of 16 bytes, then a union of 24 of which the flags are the first two.
	var request [40]byte
	copy(request[:], "lo")
	if err := sys.IoctlPointer(fd, syscall.SIOCGIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return err
	}
	request[16] |= syscall.IFF_UP | syscall.IFF_RUNNING
	return sys.IoctlPointer(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&request))
}
