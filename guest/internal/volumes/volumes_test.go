package volumes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// kernel counts what would be frozen and thawed.
type kernel struct {
	mu      sync.Mutex
	frozen  int
	refuse  bool
	changes chan string
}

func (k *kernel) ioctl(_ int, request uintptr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse {
		return syscall.EOPNOTSUPP
	}
	if request == fiFreeze {
		k.frozen++
		k.changes <- "freeze"
	} else {
		k.frozen--
		k.changes <- "thaw"
	}
	return nil
}

func newManager(t *testing.T) (*Manager, *kernel, string) {
	t.Helper()
	k := &kernel{changes: make(chan string, 16)}
	m := New()
	m.ioctl = k.ioctl
	path := t.TempDir()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	m.disks[path] = mount{target: path, number: st.Dev}
	return m, k, path
}

func code(t *testing.T, err error) string {
	t.Helper()
	var e *errno.Error
	if !errors.As(err, &e) {
		t.Fatalf("an error of the protocol was expected, not %v", err)
	}
	return e.Code
}

// canWrite reports whether calls that the scheduler is not told of may write.
func canWrite() bool {
	if !sys.Writing.TryRLock() {
		return false
	}
	sys.Writing.RUnlock()
	return true
}

func TestFrozenFileSystemGoesOnWhenItIsThawed(t *testing.T) {
	m, k, path := newManager(t)
	if err := m.Freeze(path, time.Hour); err != nil {
		t.Fatal(err)
	}
	if k.frozen != 1 || canWrite() {
		t.Fatal("nobody may write while it stands still")
	}
	if got := code(t, m.Freeze(path+"/", time.Hour)); got != "EBUSY" {
		t.Fatalf("a second time is refused as EBUSY, not %s", got)
	}
	if err := m.Thaw(path); err != nil {
		t.Fatal(err)
	}
	if k.frozen != 0 || !canWrite() {
		t.Fatal("it goes on")
	}
	if got := code(t, m.Thaw(path)); got != "EINVAL" {
		t.Fatalf("what goes on already is EINVAL, not %s", got)
	}
}

func TestFrozenFileSystemGoesOnByItselfAndTheHostIsTold(t *testing.T) {
	m, k, path := newManager(t)
	if err := m.Freeze(path, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if first, second := <-k.changes, <-k.changes; first != "freeze" || second != "thaw" {
		t.Fatalf("%s, then %s", first, second)
	}
	for !canWrite() {
		time.Sleep(time.Millisecond)
	}
	if got := code(t, m.Thaw(path)); got != "EINVAL" {
		t.Fatalf("the host has to hear that it went on by itself, not %s", got)
	}
	// And it can be done again.
	if err := m.Freeze(path, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := m.Thaw(path); err != nil {
		t.Fatal(err)
	}
}

func TestWritersWaitUntilTheLastOfSeveralGoesOn(t *testing.T) {
	m, _, path := newManager(t)
	for _, p := range []string{path, "/"} {
		if err := m.Freeze(p, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Thaw(path); err != nil || canWrite() {
		t.Fatal("one of two still stands still", err)
	}
	if err := m.Thaw("/"); err != nil || !canWrite() {
		t.Fatal("none does any more", err)
	}
}

func TestFailedFreezeHoldsNobodyBack(t *testing.T) {
	m, k, path := newManager(t)
	k.refuse = true
	if got := code(t, m.Freeze(path, time.Hour)); got != "ENOTSUP" || !canWrite() {
		t.Fatal(got)
	}
	k.refuse = false
	if err := m.Freeze(path, time.Hour); err != nil {
		t.Fatal(err)
	}
	_ = m.Thaw(path)
	if got := code(t, m.Freeze("/elsewhere", time.Hour)); got != "EINVAL" || !canWrite() {
		t.Fatal("only what is mounted here, or /, can stand still", got)
	}
}

func TestWhatIsMountedUponAVolumeIsNotFrozenInItsPlace(t *testing.T) {
	m, k, path := newManager(t)
	const nowhere = 1 << 40
	m.disks[path] = mount{target: path, number: nowhere}
	if got := code(t, m.Freeze(path, time.Hour)); got != "EINVAL" || k.frozen != 0 {
		t.Fatal(got)
	}
}

// disk makes a SCSI disk appear in a sysfs of the test's own.
func disk(t *testing.T, m *Manager, name string, page []byte) {
	t.Helper()
	directory := filepath.Join(m.sysPath, "block", name, "device")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "vpd_pg80"), page, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.devPath, name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func serialPage(serial string) []byte {
	return append([]byte{0, 0x80, byte(len(serial) >> 8), byte(len(serial))}, serial...)
}

func TestDiskIsFoundByItsSerialNumberAlone(t *testing.T) {
	m := New()
	m.sysPath, m.devPath = t.TempDir(), t.TempDir()
	disk(t, m, "sda", serialPage("vol_1"))
	disk(t, m, "sdb", serialPage("vol_10 "))
	disk(t, m, "sdc", nil)
	disk(t, m, "sdd", []byte{0, 0x83, 0, 5, 'v', 'o', 'l', '_', '2'})
	disk(t, m, "sde", append(serialPage("vol_3"), "trailing"...))
	disk(t, m, "vda", serialPage("vol_9"))
	for serial, name := range map[string]string{"vol_1": "sda", "vol_10": "sdb", "vol_3": "sde"} {
		if found, err := m.find(context.Background(), serial); err != nil || found != name {
			t.Errorf("%s is %s, not %q (%v)", serial, name, found, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for _, serial := range []string{"vol_2", "vol_9", "vol_"} {
		if found, err := m.find(ctx, serial); err == nil {
			t.Errorf("%s is no disk, and not %q", serial, found)
		}
	}
}

func TestDiskThatAppearsLaterIsFound(t *testing.T) {
	m := New()
	m.sysPath, m.devPath = t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(m.sysPath, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	found := make(chan string)
	go func() {
		name, _ := m.find(context.Background(), "vol_1")
		found <- name
	}()
	disk(t, m, "sda", serialPage("vol_1"))
	if name := <-found; name != "sda" {
		t.Fatalf("found %q", name)
	}
}

func TestMountPointIsMadeAndBelongsToWhomItIsMadeFor(t *testing.T) {
	base := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 5678
		if err := os.Chown(base, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(base, "a", "b")
	if err := makeDirectory(path); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		var st syscall.Stat_t
		if err := syscall.Stat(p, &st); err != nil || int(st.Uid) != uid || int(st.Gid) != gid {
			t.Errorf("%s belongs to %d:%d (%v)", p, st.Uid, st.Gid, err)
		}
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := code(t, makeDirectory(file)); got != "ENOTDIR" {
		t.Error(got)
	}
}

func TestProcessThatUsesAFileSystemIsNamed(t *testing.T) {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc", &st); err != nil {
		t.Fatal(err)
	}
	// A child of ours that is in /proc, which is a file system like another.
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{Dir: "/proc"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	for !uses(filepath.Join("/proc", strconv.Itoa(child.Pid)), st.Dev) {
		time.Sleep(time.Millisecond)
	}
	users := strings.Join(usersOf(st.Dev), ", ")
	if !strings.Contains(users, "("+strconv.Itoa(child.Pid)+")") && !strings.HasSuffix(users, "others") {
		t.Errorf("%s", users)
	}
}

func TestDiskOnItsWayOutIsNotTakenForTheOneThatFollows(t *testing.T) {
	m := New()
	m.sysPath, m.devPath = t.TempDir(), t.TempDir()
	disk(t, m, "sda", serialPage("vol_1"))
	if err := os.Remove(filepath.Join(m.devPath, "sda")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gone", filepath.Join(m.devPath, "sda")); err != nil {
		t.Fatal(err)
	}
	disk(t, m, "sdb", serialPage("vol_1"))
	if found, err := m.find(context.Background(), "vol_1"); err != nil || found != "sdb" {
		t.Fatalf("found %q (%v)", found, err)
	}
}

func TestDiskThatCannotBeMountedIsForgotten(t *testing.T) {
	m := New()
	m.sysPath, m.devPath = t.TempDir(), t.TempDir()
	disk(t, m, "sda", serialPage("vol_1"))
	if _, err := m.Mount(context.Background(), Disk{Serial: "vol_1", Path: filepath.Join(t.TempDir(), "data")}); err == nil {
		t.Fatal("a plain file was mounted")
	}
	said, err := os.ReadFile(filepath.Join(m.sysPath, "block", "sda", "device", "delete"))
	if err != nil || string(said) != "1" {
		t.Fatalf("the kernel was told %q (%v)", said, err)
	}
}

func TestWhatIsMountedBelowAndElsewhereIsNamed(t *testing.T) {
	list := filepath.Join(t.TempDir(), "mountinfo")
	content := "22 1 254:0 / / rw,noatime - ext4 /dev/root rw\n30 22 8:0 / /data rw - ext4 /dev/sda rw\n" +
		"31 30 8:16 / /data/more rw - ext4 /dev/sdb rw\n32 22 8:32 / /database rw - ext4 /dev/sdc rw\n\nshort\n" +
		"33 22 8:0 / /other rw - ext4 /dev/sda rw\n34 30 0:40 / /data rw - tmpfs mine rw\n"
	if err := os.WriteFile(list, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	const sda = 8 << 8
	if got := strings.Join(mountsUpon(list, "/data", sda), "; "); got != "what is mounted at /data/more; what is mounted at /data" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(mountsElsewhere(list, "/data", sda), "; "); got != "its mount at /other" {
		t.Errorf("%q", got)
	}
	if got := mountsUpon(list+"-gone", "/data", sda); got != nil {
		t.Errorf("%q", got)
	}
}
