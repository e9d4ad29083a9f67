// Package volumes mounts the disks that the host attaches to the running machine, and makes file systems stand still
// while the host keeps what is on them.
package volumes

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

const (
	// appearWait is how long a disk may take to be noticed, on a host under load.
	appearWait = 20 * time.Second
	pollEvery  = 2 * time.Millisecond
	// options: a damaged file system is no longer written to; inode tables are not zeroed in the background, as checksums
	// say which are in use; what files leave is given back to the host (which was too cheap to measure).
	options = "errors=remount-ro,noinit_itable,discard"
	// readOnlyOptions are those that make sense without writing.
	readOnlyOptions = "errors=remount-ro"
	mountFlags      = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOATIME
	lostAndFound    = "lost+found"
	// rootDisk is the disk that the machine was started with.
	rootDisk = "vda"
)

// Disk is what is to be mounted.
type Disk struct {
	// Serial is the disk's serial number.
	Serial   string
	Path     string
	ReadOnly bool
	// Owner gets the root directory of a file system on which nobody has put anything yet.
	Owner *accounts.Identity
}

// Mounted is a disk that is mounted.
type Mounted struct {
	Device string
	// Bytes is the size of the disk.
	Bytes uint64
}

// Manager knows what is mounted. Its zero value is not of use; see New.
type Manager struct {
	// sysPath and devPath are /sys and /dev.
	sysPath, devPath string
	// ioctl has the kernel freeze and thaw a file system.
	ioctl func(fd int, request uintptr) error

	// changing is held while something is mounted or unmounted.
	changing sync.Mutex

	mu     sync.Mutex
	disks  map[string]mount
	frozen map[string]*stillness
}

// mount is a mounted disk, by its path.
type mount struct {
	// target is path without symbolic links.
	target, device string
	number         uint64
	// flags and options it is mounted with.
	flags   uintptr
	options string
}

// New returns the Manager of this machine.
func New() *Manager {
	return &Manager{
		sysPath: "/sys", devPath: "/dev", disks: map[string]mount{}, frozen: map[string]*stillness{},
		ioctl: func(fd int, request uintptr) error { return sys.Ioctl(fd, request, 0) },
	}
}

// Mount waits for a disk and mounts it; its file system is grown to its size. The mount point is made if it is not there.
func (m *Manager) Mount(ctx context.Context, d Disk) (*Mounted, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	path := filepath.Clean(d.Path)
	if path == "/" || !filepath.IsAbs(path) {
		return nil, errno.At(syscall.EINVAL, d.Path)
	}
	if _, there := m.mounted(path); there {
		return nil, &errno.Error{Code: "EBUSY", Message: "a volume is mounted there already", Path: path}
	}
	name, err := m.find(ctx, d.Serial)
	if err != nil {
		return nil, err
	}
	mounted, err := m.mountDisk(name, path, d)
	if err != nil {
		m.letGo(name)
		return nil, err
	}
	return mounted, nil
}

func (m *Manager) mountDisk(name, path string, d Disk) (*Mounted, error) {
	if err := makeDirectory(path); err != nil {
		return nil, err
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, errno.From(err)
	}
	device := filepath.Join(m.devPath, name)
	flags, data := uintptr(mountFlags), options
	if d.ReadOnly {
		flags, data = flags|syscall.MS_RDONLY, readOnlyOptions
	}
	if err := syscall.Mount(device, target, "ext4", flags, data); err != nil {
		return nil, explainMount(err, path)
	}
	mounted, number, err := settle(device, target, d)
	if err != nil {
		_ = syscall.Unmount(target, 0)
		return nil, err
	}
	m.mu.Lock()
	m.disks[path] = mount{target: target, device: device, number: number, flags: flags, options: data}
	m.mu.Unlock()
	mounted.Device = name
	return mounted, nil
}

// explainMount says what the kernel's code means for a disk.
func explainMount(err error, path string) error {
	switch err {
	case syscall.EROFS, syscall.EUCLEAN:
		return &errno.Error{
			Code: "EUCLEAN", Path: path,
			Message: "its file system is damaged, or was in use when its machine ended",
		}
	case syscall.EINVAL:
		return &errno.Error{Code: "EINVAL", Message: "there is no ext4 file system on it", Path: path}
	}
	return errno.At(err, path)
}

// settle does what a file system needs once it is mounted.
func settle(device, target string, d Disk) (*Mounted, uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(target, &st); err != nil {
		return nil, 0, errno.At(err, target)
	}
	size, err := deviceSize(device)
	if err != nil {
		return nil, 0, err
	}
	if !d.ReadOnly {
		if err := growTo(target, size); err != nil {
			return nil, 0, err
		}
		if err := giveFresh(target, &st, d.Owner); err != nil {
			return nil, 0, err
		}
	}
	return &Mounted{Bytes: size}, st.Dev, nil
}

// giveFresh gives a new file system's root directory to its user.
func giveFresh(target string, root *syscall.Stat_t, owner *accounts.Identity) error {
	if owner == nil || owner.Current || root.Uid != 0 || root.Gid != 0 {
		return nil
	}
	directory, err := os.Open(target)
	if err != nil {
		return errno.From(err)
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(2)
	if len(names) > 1 || len(names) == 1 && names[0] != lostAndFound {
		return nil
	}
	return errno.At(directory.Chown(int(owner.UID), int(owner.GID)), target)
}

// Unmount takes a disk out of use. One that is in use is named with those who use it, and stays.
func (m *Manager) Unmount(path string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	path = filepath.Clean(path)
	disk, there := m.mounted(path)
	if !there {
		return notMounted(path)
	}
	// Whoever is root here may have mounted it elsewhere, or something upon it: what is there is somebody else's then.
	if isOn(disk.target, disk.number) {
		if err := unmountSynced(disk.target); err == syscall.EBUSY {
			return m.busy(path, disk)
		} else if err == nil && !m.isFree(disk.device) {
			// Another mount namespace, or another path, still has it: it must not lose its disk.
			_ = syscall.Mount(disk.device, disk.target, "ext4", disk.flags, disk.options)
		}
	}
	if !m.isFree(disk.device) {
		return m.busy(path, disk)
	}
	m.mu.Lock()
	delete(m.disks, path)
	m.mu.Unlock()
	m.letGo(filepath.Base(disk.device))
	return nil
}

// unmountSynced writes what a file system still holds while everybody may use it, and unmounts it.
func unmountSynced(target string) error {
	if directory, err := os.Open(target); err == nil {
		_ = sys.SyncFS(int(directory.Fd()))
		directory.Close()
	}
	const noFollow = 8 // UMOUNT_NOFOLLOW
	return syscall.Unmount(target, noFollow)
}

// letGo has the kernel forget a disk that the host is about to take away: it writes the disk's cache first, and a disk
// that comes with the same number a moment later is not taken for this one.
func (m *Manager) letGo(name string) {
	// In vain, the kernel notices by itself that the disk has gone.
	_ = os.WriteFile(filepath.Join(m.sysPath, "block", name, "device", "delete"), []byte("1"), 0o200)
}

// UnmountAll is for the end of the machine, when nothing runs any more.
func (m *Manager) UnmountAll() {
	m.mu.Lock()
	disks := m.disks
	m.disks = map[string]mount{}
	m.mu.Unlock()
	for _, disk := range disks {
		_ = syscall.Unmount(disk.target, 0)
	}
}

// isFree reports whether nothing has claimed a device: the kernel gives it to one holder alone.
func (m *Manager) isFree(device string) bool {
	fd, err := syscall.Open(device, syscall.O_RDONLY|syscall.O_EXCL|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err != syscall.EBUSY
	}
	syscall.Close(fd)
	return true
}

func (m *Manager) busy(path string, disk mount) error {
	message := "it is in use"
	users := append(usersOf(disk.number), mountsUpon(ownMounts, disk.target, disk.number)...)
	if users = append(users, mountsElsewhere(ownMounts, disk.target, disk.number)...); len(users) > 0 {
		message += " by " + strings.Join(users, ", ")
	}
	return &errno.Error{Code: "EBUSY", Message: message, Path: path}
}

// Grow makes a file system as large as its disk, which is to have at least so many bytes soon.
func (m *Manager) Grow(ctx context.Context, path string, bytes uint64) (uint64, error) {
	device, target := filepath.Join(m.devPath, rootDisk), "/"
	if path = filepath.Clean(path); path != "/" {
		disk, there := m.mounted(path)
		if !there {
			return 0, notMounted(path)
		}
		device, target = disk.device, disk.target
	}
	var size uint64
	err := await(ctx, func() (bool, error) {
		var err error
		size, err = deviceSize(device)
		return size >= bytes, err
	})
	if err != nil {
		return 0, errno.At(err, device)
	}
	return size, growTo(target, size)
}

func (m *Manager) mounted(path string) (mount, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	disk, there := m.disks[path]
	return disk, there
}

func notMounted(path string) error {
	return &errno.Error{Code: "EINVAL", Message: "no volume is mounted there", Path: path}
}

// find waits until there is a disk of this serial number, and returns its name.
func (m *Manager) find(ctx context.Context, serial string) (string, error) {
	var found string
	err := await(ctx, func() (bool, error) {
		names, err := os.ReadDir(filepath.Join(m.sysPath, "block"))
		if err != nil {
			return false, err
		}
		for _, entry := range names {
			name := entry.Name()
			if !strings.HasPrefix(name, "sd") || m.serialOf(name) != serial {
				continue
			}
			// A disk that is on its way out does not open; it may be the same one's, from before.
			if fd, err := syscall.Open(filepath.Join(m.devPath, name), syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err == nil {
				syscall.Close(fd)
				found = name
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return "", errno.New("ENODEV", "the disk "+serial+" did not appear")
	}
	return found, nil
}

// serialOf reads a SCSI disk's serial number (SPC-4, 7.8.15: vital product data, page 80h), empty if it has none.
func (m *Manager) serialOf(name string) string {
	page, err := os.ReadFile(filepath.Join(m.sysPath, "block", name, "device", "vpd_pg80"))
	const header = 4
	if err != nil || len(page) < header || page[1] != 0x80 {
		return ""
	}
	length := int(page[2])<<8 | int(page[3])
	return strings.TrimSpace(string(page[header:min(len(page), header+length)]))
}

// await asks again and again until the answer is yes, in vain for some time, or an error.
func await(ctx context.Context, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, appearWait)
	defer cancel()
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// makeDirectory makes a mount point. New directories belong to whoever owns the one that they are made in.
func makeDirectory(path string) error {
	var st syscall.Stat_t
	switch err := syscall.Stat(path, &st); {
	case err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR:
		return nil
	case err == nil:
		return errno.At(syscall.ENOTDIR, path)
	case err != syscall.ENOENT:
		return errno.At(err, path)
	}
	parent := filepath.Dir(path)
	if err := makeDirectory(parent); err != nil {
		return err
	}
	if err := syscall.Mkdir(path, 0o755); err != nil && err != syscall.EEXIST {
		return errno.At(err, path)
	}
	if err := syscall.Stat(parent, &st); err != nil {
		return errno.At(err, parent)
	}
	return errno.At(syscall.Lchown(path, int(st.Uid), int(st.Gid)), path)
}

func deviceSize(device string) (uint64, error) {
	const blkGetSize64 = 0x80081272
	fd, err := syscall.Open(device, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, errno.At(err, device)
	}
	defer syscall.Close(fd)
	var size uint64
	return size, errno.At(sys.IoctlPointer(fd, blkGetSize64, unsafe.Pointer(&size)), device)
}

// growTo makes the file system at target so many bytes large; it never shrinks one.
func growTo(target string, bytes uint64) error {
	const ext4ResizeFS = 0x40086610
	fd, err := syscall.Open(target, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return errno.At(err, target)
	}
	defer syscall.Close(fd)
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(fd, &fs); err != nil {
		return errno.At(err, target)
	}
	blocks := bytes / uint64(fs.Bsize)
	if blocks <= fs.Blocks {
		return nil
	}
	return errno.At(sys.IoctlPointer(fd, ext4ResizeFS, unsafe.Pointer(&blocks)), target)
}
