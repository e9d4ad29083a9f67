package boot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sbx.dev/agent/internal/sys"
)

const (
	rootDevice = "/dev/vda"
	newRoot    = "/newroot"
	// rootOptions keep the kernel from zeroing inode tables in the background: checksums say which are in use.
	rootOptions = "noinit_itable"
	// deviceWait is how long the root disk may take to appear after its driver was loaded.
	deviceWait = 20 * time.Second
)

// mount is a file system that every boot mounts.
type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

const quiet = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// kernelMounts are made in the initramfs and moved to the root file system.
var kernelMounts = []mount{
	{"proc", "/proc", "proc", quiet, ""},
	{"sysfs", "/sys", "sysfs", quiet, ""},
	{"devtmpfs", "/dev", "devtmpfs", syscall.MS_NOSUID, "mode=0755"},
}

// rootMounts are made on the root file system.
var rootMounts = []mount{
	{"devpts", "/dev/pts", "devpts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=0755,size=20%"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, ""},
}

// Init brings the machine up as far as the sandbox's own file system with all that programs expect around it. An
// error names its stage; the machine is of no use after one.
func Init() error {
	for _, m := range kernelMounts {
		if err := mountAt("", m); err != nil {
			return at("mount "+m.target, err)
		}
	}
	if err := loadModules("/modules"); err != nil {
		return at("load modules", err)
	}
	if err := waitFor(rootDevice); err != nil {
		return at("wait for "+rootDevice, err)
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return at("make "+newRoot, err)
	}
	if err := syscall.Mount(rootDevice, newRoot, "ext4", syscall.MS_NOATIME, rootOptions); err != nil {
		return at("mount "+rootDevice, err)
	}
	if err := switchRoot(); err != nil {
		return at("switch root", err)
	}
	for _, m := range rootMounts {
		if err := mountAt("", m); err != nil {
			return at("mount "+m.target, err)
		}
	}
	if err := populate(); err != nil {
		return at("prepare the file system", err)
	}
	if err := loopbackUp(); err != nil {
		return at("bring up lo", err)
	}
	if err := networkUp(); err != nil {
		return at("bring up the network", err)
	}
	tune()
	return nil
}

// Stage splits an error of Init into its stage and its cause.
func Stage(err error) (string, error) {
	var e *stageError
	if errors.As(err, &e) {
		return e.stage, e.err
	}
	return "init", err
}

func mountAt(root string, m mount) error {
	if err := os.MkdirAll(root+m.target, 0o755); err != nil {
		return err
	}
	err := syscall.Mount(m.source, root+m.target, m.kind, m.flags, m.data)
	if err == syscall.EBUSY {
		return nil // The kernel has mounted it already (CONFIG_DEVTMPFS_MOUNT).
	}
	return err
}

// loadModules loads the modules that dir/order lists, in that order.
func loadModules(dir string) error {
	order, err := os.ReadFile(dir + "/order")
	if os.IsNotExist(err) {
		return nil // A kernel with everything built in.
	}
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(filepath.Join(dir, filepath.Base(name))); err != nil {
			return at(name, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := sys.FinitModule(int(f.Fd())); err != nil && err != syscall.EEXIST {
		return err
	}
	return nil
}

// waitFor waits for a device to appear.
func waitFor(device string) error {
	for deadline := time.Now().Add(deviceWait); ; time.Sleep(2 * time.Millisecond) {
		_, err := os.Stat(device)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// switchRoot makes newRoot the root and frees the memory of the initramfs.
func switchRoot() error {
	for _, m := range kernelMounts {
		if err := os.MkdirAll(newRoot+m.target, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.target, newRoot+m.target, "", syscall.MS_MOVE, ""); err != nil {
			return at("move "+m.target, err)
		}
	}
	initramfs, err := os.Open("/")
	if err != nil {
		return err
	}
	defer initramfs.Close()
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return err
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	clear(int(initramfs.Fd()), 0)
	return nil
}

// clear deletes what is in a directory of the initramfs, without leaving its file system. What cannot be deleted is
// only memory lost.
func clear(dir int, depth int) {
	if depth > 16 {
		return
	}
	var self syscall.Stat_t
	if syscall.Fstat(dir, &self) != nil {
		return
	}
	list := os.NewFile(uintptr(dupFD(dir)), "initramfs")
	names, _ := list.Readdirnames(-1)
	list.Close()
	for _, name := range names {
		fd, err := syscall.Openat(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
		if err != nil {
			_ = sys.Unlinkat(dir, name)
			continue
		}
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil && st.Dev == self.Dev {
			clear(fd, depth+1)
		}
		syscall.Close(fd)
		_ = sys.Rmdirat(dir, name)
	}
}

func dupFD(fd int) int {
	n, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	return int(n)
}
