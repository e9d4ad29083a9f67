package accounts

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func newDatabase(t *testing.T) (*Database, string, string) {
	t.Helper()
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	write(t, passwd, strings.Join([]string{
		"root:x:0:0:root:/root:/bin/bash", "nonsense", "bad:x:abc:1::/:/bin/sh", "huge:x:4294967295:1::/:/bin/sh",
		"app:x:1000:1001::/home/app:/bin/bash", "twin:x:1000:7::/:/bin/sh", ":x:5:5::/:/bin/sh",
	}, "\n"))
	write(t, group, "root:x:0:\napp:x:1001:\nsudo:x:27:other,app\ndocker:x:999:app,app\nbad:x:y:app\nempty:x:3:\n")
	return Open(passwd, group), passwd, group
}

func TestLookup(t *testing.T) {
	d, _, _ := newDatabase(t)
	for user, want := range map[string]*Identity{
		"root":     {UID: 0, GID: 0, Groups: []uint32{0}},
		"app":      {UID: 1000, GID: 1001, Groups: []uint32{1001, 27, 999}},
		"1000":     {UID: 1000, GID: 1001, Groups: []uint32{1001, 27, 999}},
		"twin":     {UID: 1000, GID: 7, Groups: []uint32{7}},
		"4711":     {UID: 4711, GID: 4711, Groups: []uint32{4711}},
		"app:sudo": {UID: 1000, GID: 27, Groups: []uint32{27}},
		"app:12":   {UID: 1000, GID: 12, Groups: []uint32{12}},
		"0:3":      {UID: 0, GID: 3, Groups: []uint32{3}},
	} {
		if got, err := d.Lookup(user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", user, got, err)
		}
	}
	for _, user := range []string{"", "nobody", "bad", "huge", "4294967295", "-1", "app:", "app:nogroup", ":sudo", "a b"} {
		if got, err := d.Lookup(user); err == nil {
			t.Errorf("%q: %+v", user, got)
		}
	}
}

func TestLookupSeesWhatWasChanged(t *testing.T) {
	d, passwd, group := newDatabase(t)
	first, err := d.Lookup("app")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := d.Lookup("app"); again != first {
		t.Fatal("nothing changed, and it was read again")
	}
	write(t, group, "app:x:1001:\nnew:x:50:app\n")
	if got, err := d.Lookup("app"); err != nil || !reflect.DeepEqual(got.Groups, []uint32{1001, 50}) {
		t.Fatal(got, err)
	}
	write(t, passwd, "app:x:1234:1001::/:/bin/sh\n")
	if got, err := d.Lookup("app"); err != nil || got.UID != 1234 {
		t.Fatal(got, err)
	}
}

func TestRootIsThereWithoutAnyFile(t *testing.T) {
	d := Open("/nonexistent/passwd", "/nonexistent/group")
	if got, err := d.Lookup("root"); err != nil || got.UID != 0 || got.GID != 0 {
		t.Fatal(got, err)
	}
	if _, err := d.Lookup("app"); err == nil {
		t.Fatal("somebody was found in no file")
	}
}

// As root, Do must give the thread exactly the user's rights and give them back; as anybody else, it must refuse
// rather than run something with the wrong rights.
func TestDoHasTheRightsOfTheUserAndNoOther(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := &Identity{UID: 4711, GID: 4712, Groups: []uint32{4712, 4713}}
	if os.Getuid() != 0 {
		ran := false
		if err := id.Do(func() error { ran = true; return nil }); err != syscall.EPERM || ran {
			t.Fatal(err, ran)
		}
		return
	}
	// Only the file itself is to be what keeps others out.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 32 {
		all.Add(2)
		go func() {
			defer all.Done()
			_ = id.Do(func() error {
				time.Sleep(time.Millisecond) // Lets others run on other threads meanwhile.
				if _, err := os.ReadFile(secret); !os.IsPermission(err) {
					t.Errorf("a file of root was opened: %v", err)
				}
				if err := os.WriteFile("/proc/sys/kernel/hostname", []byte("x"), 0); !os.IsPermission(err) {
					t.Errorf("a setting of root was opened: %v", err)
				}
				if groups, _ := syscall.Getgroups(); !reflect.DeepEqual(groups, []int{4712, 4713}) {
					t.Errorf("groups %v", groups)
				}
				return nil
			})
			if _, err := os.ReadFile(secret); err != nil {
				t.Errorf("root's rights did not come back: %v", err)
			}
		}()
		go func() {
			defer all.Done()
			for range 20 {
				if _, err := os.ReadFile(secret); err != nil {
					t.Errorf("another thread lost its rights: %v", err)
				}
				runtime.Gosched()
			}
		}()
	}
	all.Wait()
}

func TestRightsComeBackAfterAPanic(t *testing.T) {
	id := &Identity{UID: 4711, GID: 4711}
	if os.Getuid() != 0 {
		id.Current = true
	}
	done := make(chan int)
	go func() {
		defer func() {
			_ = recover()
			done <- syscall.Geteuid()
		}()
		_ = id.Do(func() error { panic("in the middle") })
	}()
	if uid := <-done; uid != os.Getuid() {
		t.Fatal(uid)
	}
}
