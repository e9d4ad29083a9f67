package sftp

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAFileIsWrittenAndReadAnywhere(t *testing.T) {
	c, dir := start(t), t.TempDir()
	file := filepath.Join(dir, "file")
	h := c.open(file, openWrite|openRead|openCreate|openExclude)
	c.succeed(fxpWrite, h, u64(5), text("world"))
	c.succeed(fxpWrite, h, u64(0), text("hello"))
	got := c.ask(fxpData, fxpRead, h, u64(3), u32(100))
	if string(got) != string(text("loworld")) {
		t.Fatalf("%q", got)
	}
	if code := c.status(fxpRead, h, u64(10), u32(1)); code != statusEOF {
		t.Fatal("behind the end:", code)
	}
	c.close(h)
	if code := c.status(fxpRead, h, u64(0), u32(1)); code != statusFailure {
		t.Fatal("a closed handle:", code)
	}
	content, err := os.ReadFile(file)
	must(t, err)
	if string(content) != "helloworld" {
		t.Fatalf("%q", content)
	}
}

func TestFlagsOfOpen(t *testing.T) {
	c, dir := start(t), t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("0123456789"), 0o644))
	h := c.open(file, openWrite|openAppend)
	c.succeed(fxpWrite, h, u64(0), text("+"))
	c.close(h)
	if content, _ := os.ReadFile(file); string(content) != "0123456789+" {
		t.Fatalf("appended: %q", content)
	}
	if code := c.status(fxpOpen, text(file), u32(openWrite|openCreate|openExclude), noAttributes); code != statusFailure {
		t.Fatal("exclusive:", code)
	}
	h = c.open(file, openRead)
	if code := c.status(fxpWrite, h, u64(0), text("x")); code == statusOK {
		t.Fatal("written to what was opened for reading")
	}
	c.close(h)
	c.close(c.open(file, openWrite|openTruncate))
	if st, _ := os.Stat(file); st.Size() != 0 {
		t.Fatal("not truncated")
	}
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	c.close(c.ask(fxpHandle, fxpOpen, text(dir+"/made"), u32(openWrite|openCreate), u32(attrPermissions), u32(0o100666)))
	c.close(c.open(dir+"/usual", openWrite|openCreate))
	c.succeed(fxpMkdir, text(dir+"/sub"), u32(attrPermissions), u32(0o777))
	for name, mode := range map[string]uint32{"made": 0o640, "usual": 0o640, "sub": 0o750} {
		if got := c.attributes(fxpStat, text(dir+"/"+name)).mode & 0o7777; got != mode {
			t.Errorf("%s has the mode %o", name, got)
		}
	}
}

func TestAFIFOWithoutAnotherEndHoldsNothingUp(t *testing.T) {
	c, dir := start(t), t.TempDir()
	must(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	c.close(c.open(dir+"/fifo", openRead))
	if code := c.status(fxpOpen, text(dir+"/fifo"), u32(openWrite), noAttributes); code != statusFailure {
		t.Fatal(code)
	}
}

func TestPipelinedRequestsAreAnsweredInTheirOrder(t *testing.T) {
	c, dir := start(t), t.TempDir()
	content := make([]byte, 20<<20)
	_, _ = rand.Read(content)
	h := c.open(dir+"/file", openWrite|openRead|openCreate)
	const part = 32 << 10
	go func() {
		for at := 0; at < len(content); at += part {
			c.request(fxpWrite, h, u64(uint64(at)), text(string(content[at:at+part])))
		}
		for at := 0; at < len(content); at += part {
			c.request(fxpRead, h, u64(uint64(at)), u32(part))
		}
	}()
	// The ids count on from that of open.
	next := uint32(2)
	for range len(content) / part {
		kind, id, rest := c.receive()
		if kind != fxpStatus || id != next || !bytes.HasPrefix(rest, u32(statusOK)) {
			t.Fatalf("type %d, id %d instead of %d: %q", kind, id, next, rest)
		}
		next++
	}
	for at := 0; at < len(content); at += part {
		kind, id, rest := c.receive()
		if kind != fxpData || id != next || !bytes.Equal(rest[4:], content[at:at+part]) {
			t.Fatalf("type %d, id %d instead of %d", kind, id, next)
		}
		next++
	}
}

func TestAReadIsNeverLongerThanThePacketThatIsAllowed(t *testing.T) {
	c, dir := start(t), t.TempDir()
	must(t, os.WriteFile(dir+"/file", make([]byte, 1<<20), 0o644))
	h := c.open(dir+"/file", openRead)
	if got := len(c.ask(fxpData, fxpRead, h, u64(0), u32(1<<32-1))) - 4; got != maxDataBytes {
		t.Fatal(got)
	}
	r := &reader{t, c.ask(fxpExtendedReply, fxpExtended, text("limits@openssh.com"))}
	if got := [4]uint64{r.u64(), r.u64(), r.u64(), r.u64()}; got != [4]uint64{maxPacketBytes, maxDataBytes, maxDataBytes, maxHandles} {
		t.Fatal(got)
	}
}

func TestAttributesAreReadAndSet(t *testing.T) {
	c, dir := start(t), t.TempDir()
	file, link := dir+"/file", dir+"/link"
	must(t, os.WriteFile(file, []byte("0123456789"), 0o644))
	must(t, os.Symlink("file", link))
	if a := c.attributes(fxpLstat, text(link)); a.mode&syscall.S_IFMT != syscall.S_IFLNK {
		t.Fatalf("%+v", a)
	}
	all := join(u32(attrSize|attrPermissions|attrTimes), u64(4), u32(0o102755), u32(1_000_000), u32(2_000_000))
	c.succeed(fxpSetstat, text(link), all)
	want := seen{4, uint32(os.Getuid()), uint32(os.Getgid()), 0o102755, 1_000_000, 2_000_000}
	if a := c.attributes(fxpStat, text(link)); a != want {
		t.Fatalf("%+v", a)
	}
	h := c.open(file, openRead|openWrite)
	c.succeed(fxpFsetstat, h, u32(attrSize|attrTimes), u64(6), u32(3), u32(4))
	if a := c.attributes(fxpFstat, h); a.size != 6 || a.atime != 3 || a.mtime != 4 {
		t.Fatalf("%+v", a)
	}
	c.succeed(fxpFsetstat, h, u32(attrPermissions), u32(0o600))
	c.close(h)
	c.succeed(fxpExtended, text("lsetstat@openssh.com"), text(link), u32(attrTimes), u32(7), u32(8))
	if a, b := c.attributes(fxpLstat, text(link)), c.attributes(fxpLstat, text(file)); a.mtime != 8 || b.mtime != 4 {
		t.Fatalf("%+v, %+v", a, b)
	}
	c.succeed(fxpExtended, text("lsetstat@openssh.com"), text(file), u32(attrPermissions), u32(0o640))
	if got := c.attributes(fxpStat, text(file)).mode & 0o7777; got != 0o640 {
		t.Fatalf("%o", got)
	}
	if code := c.status(fxpExtended, text("lsetstat@openssh.com"), text(link), u32(attrPermissions), u32(0)); code != statusUnsupported {
		t.Fatal("the permissions of a link:", code)
	}
}

func TestANewOwnerDoesNotTakeTheSetIDBitsThatComeWithIt(t *testing.T) {
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	if uid == 0 {
		uid, gid = 1234, 2345 // Only root can give files away; others set what they have.
	}
	c, dir := start(t), t.TempDir()
	must(t, os.WriteFile(dir+"/file", nil, 0o644))
	c.succeed(fxpSetstat, text(dir+"/file"), u32(attrOwner|attrPermissions), u32(uid), u32(gid), u32(0o4755))
	if a := c.attributes(fxpStat, text(dir+"/file")); a.uid != uid || a.gid != gid || a.mode&0o7777 != 0o4755 {
		t.Fatalf("%+v", a)
	}
	must(t, os.Symlink("file", dir+"/link"))
	c.succeed(fxpExtended, text("lsetstat@openssh.com"), text(dir+"/link"), u32(attrOwner), u32(uid), u32(gid))
	if a := c.attributes(fxpLstat, text(dir+"/link")); a.uid != uid || a.gid != gid {
		t.Fatalf("%+v", a)
	}
}

func TestADirectoryIsListedAsLsDoes(t *testing.T) {
	c, dir := start(t), t.TempDir()
	odd := []string{"plain", "a b", "-rf", "new\nline", "\xff\xfe", "ünïcode", strings.Repeat("x", 255), "q'uo\"te"}
	for _, name := range odd {
		must(t, os.WriteFile(dir+"/"+name, []byte("12345"), 0o644))
	}
	must(t, os.Symlink("nowhere", dir+"/link"))
	must(t, os.Mkdir(dir+"/sticky", 0o755))
	must(t, os.Chmod(dir+"/sticky", 0o777|os.ModeSticky))
	must(t, os.Chmod(dir+"/plain", 0o640|os.ModeSetuid))
	stamp := time.Date(2019, 3, 4, 5, 6, 7, 0, time.Local)
	must(t, os.Chtimes(dir+"/a b", stamp, stamp))
	listed := c.list(dir)
	for _, name := range append(odd, ".", "..", "link", "sticky") {
		if _, ok := listed[name]; !ok {
			t.Errorf("%q is missing", name)
		}
	}
	owner := "root     root    "
	if os.Getuid() != 0 {
		owner = fmt.Sprintf("%-8.32s %-8.32s", new(names).user(uint32(os.Getuid())), new(names).group(uint32(os.Getgid())))
	}
	for name, form := range map[string]string{
		"plain":  `^-rwSr-----    1 ` + owner + `        5 [A-Z][a-z]{2} [ 123]\d \d\d:\d\d plain$`,
		"a b":    `^-rw-r--r--    1 ` + owner + `        5 Mar  4  2019 a b$`,
		"link":   `^lrwxrwxrwx    1 ` + owner + `        7 [A-Z][a-z]{2} [ 123]\d \d\d:\d\d link$`,
		"sticky": `^drwxrwxrwt    2 ` + owner + ` +\d+ [A-Z][a-z]{2} [ 123]\d \d\d:\d\d sticky$`,
	} {
		if !regexp.MustCompile(form).MatchString(listed[name].long) {
			t.Errorf("%q is listed as %q", name, listed[name].long)
		}
	}
	if a := listed["a b"]; a.size != 5 || int64(a.mtime) != stamp.Unix() {
		t.Errorf("%+v", a)
	}
}

func TestALargeDirectoryIsListedCompletely(t *testing.T) {
	c, dir := start(t), t.TempDir()
	const files = 2000
	for i := range files {
		must(t, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600))
	}
	if got := len(c.list(dir)); got != files+2 {
		t.Fatal(got)
	}
}

func TestNamesAreMadeMovedAndRemoved(t *testing.T) {
	c, dir := start(t), t.TempDir()
	a, b := dir+"/a", dir+"/b"
	must(t, os.WriteFile(a, []byte("a"), 0o644))
	must(t, os.WriteFile(b, []byte("b"), 0o644))
	if code := c.status(fxpRename, text(a), text(b)); code != statusFailure {
		t.Fatal("a rename that would replace a file:", code)
	}
	c.succeed(fxpRename, text(a), text(dir+"/c"))
	c.succeed(fxpExtended, text("posix-rename@openssh.com"), text(dir+"/c"), text(b))
	if content, _ := os.ReadFile(b); string(content) != "a" {
		t.Fatalf("%q", content)
	}
	c.succeed(fxpExtended, text("hardlink@openssh.com"), text(b), text(a))
	if st, err := os.Stat(a); err != nil || st.Sys().(*syscall.Stat_t).Nlink != 2 {
		t.Fatal("not a hard link", err)
	}
	// The text first, as OpenSSH has it.
	c.succeed(fxpSymlink, text("the text"), text(dir+"/link"))
	if got := c.name(fxpReadlink, text(dir+"/link")); got != "the text" {
		t.Fatalf("%q", got)
	}
	if code := c.status(fxpReadlink, text(a)); code != statusBadMessage {
		t.Fatal("the text of a file:", code)
	}
	c.succeed(fxpRemove, text(dir+"/link"))
	c.succeed(fxpMkdir, text(dir+"/sub"), noAttributes)
	if code := c.status(fxpRemove, text(dir+"/sub")); code != statusFailure {
		t.Fatal("remove of a directory:", code)
	}
	c.succeed(fxpRmdir, text(dir+"/sub"))
	if code := c.status(fxpRmdir, text(a)); code != statusNoSuchFile { // ENOTDIR, as OpenSSH tells it.
		t.Fatal("rmdir of a file:", code)
	}
	for kind, wanted := range map[byte]uint32{fxpRemove: 2, fxpRmdir: 2, fxpStat: 2, fxpLstat: 2, fxpOpendir: 2} {
		if code := c.status(kind, text(dir+"/none")); code != wanted {
			t.Errorf("type %d of what is not there: %d", kind, code)
		}
	}
}

func TestPathsAreMadeAbsolute(t *testing.T) {
	c, dir := start(t), t.TempDir()
	dir, err := filepath.EvalSymlinks(dir)
	must(t, err)
	here, err := os.Getwd()
	must(t, err)
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.Symlink("a/b", dir+"/link"))
	must(t, os.Symlink("a/none", dir+"/dangling"))
	must(t, os.Symlink("loop", dir+"/loop"))
	for name, want := range map[string]string{
		".": here, "": here, "/": "/", "/..": "/", dir + "/link/..": dir + "/a", dir + "/a//b/.": dir + "/a/b",
		dir + "/none": dir + "/none", dir + "/dangling": dir + "/a/none", "/none": "/none", "none": here + "/none",
	} {
		if got := c.name(fxpRealpath, text(name)); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
	for name, want := range map[string]uint32{dir + "/none/none": 2, dir + "/loop": 2, dir + "/none/..": 2} {
		if code := c.status(fxpRealpath, text(name)); code != want {
			t.Errorf("%q: %d", name, code)
		}
	}
	self, ok := home("")
	if !ok {
		t.Fatal("whoever runs this has no home")
	}
	expand := func(name string) string { return c.name(fxpExtended, text("expand-path@openssh.com"), text(name)) }
	rooted, err := filepath.EvalSymlinks(self)
	must(t, err)
	for name, want := range map[string]string{"~": rooted, "~/": rooted, "~root/none": "/root/none", dir + "/link": dir + "/a/b"} {
		if got := expand(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
	if got := c.name(fxpExtended, text("home-directory"), text("root")); got != "/root" {
		t.Errorf("%q", got)
	}
	if code := c.status(fxpExtended, text("home-directory"), text("no such user")); code != statusNoSuchFile {
		t.Error(code)
	}
}

func TestFileSystemsAreDescribed(t *testing.T) {
	c, dir := start(t), t.TempDir()
	h := c.open(dir+"/file", openWrite|openCreate)
	var fs syscall.Statfs_t
	must(t, syscall.Statfs(dir, &fs))
	for _, rest := range [][]byte{
		c.ask(fxpExtendedReply, fxpExtended, text("statvfs@openssh.com"), text(dir)),
		c.ask(fxpExtendedReply, fxpExtended, text("fstatvfs@openssh.com"), h),
	} {
		r := &reader{t, rest}
		if bsize, frsize, blocks := r.u64(), r.u64(), r.u64(); bsize != uint64(fs.Bsize) || frsize == 0 || blocks != fs.Blocks {
			t.Error(bsize, frsize, blocks)
		}
		if r.take(7 * 8); r.u64() != uint64(fs.Namelen) || len(r.b) != 0 {
			t.Error("the length of names")
		}
	}
	c.succeed(fxpExtended, text("fsync@openssh.com"), h)
}

func TestDataIsCopiedWithoutTheClient(t *testing.T) {
	c, dir := start(t), t.TempDir()
	content := make([]byte, 1<<20+17)
	_, _ = rand.Read(content)
	must(t, os.WriteFile(dir+"/from", content, 0o644))
	from, to := c.open(dir+"/from", openRead), c.open(dir+"/to", openWrite|openCreate)
	c.succeed(fxpExtended, text("copy-data"), from, u64(0), u64(0), to, u64(0))
	if got, _ := os.ReadFile(dir + "/to"); !bytes.Equal(got, content) {
		t.Fatal("another content")
	}
	c.succeed(fxpExtended, text("copy-data"), from, u64(10), u64(5), to, u64(3))
	got, _ := os.ReadFile(dir + "/to")
	if want := append(bytes.Clone(content[:3]), content[10:15]...); !bytes.Equal(got[:8], want) || !bytes.Equal(got[8:], content[8:]) {
		t.Fatal("a part in another place")
	}
	again := c.open(dir+"/from", openWrite)
	if code := c.status(fxpExtended, text("copy-data"), from, u64(0), u64(0), again, u64(100)); code != statusBadMessage {
		t.Fatal("a file onto itself:", code)
	}
	endless := c.open("/dev/zero", openRead)
	if code := c.status(fxpExtended, text("copy-data"), endless, u64(0), u64(0), to, u64(0)); code != statusBadMessage {
		t.Fatal("what has no end:", code)
	}
}

func TestNumbersHaveNames(t *testing.T) {
	c := start(t)
	const nobody = 3_999_999_999
	rest := c.ask(fxpExtendedReply, fxpExtended, text("users-groups-by-id@openssh.com"),
		text(string(join(u32(0), u32(nobody)))), text(string(u32(0))))
	r := &reader{t, rest}
	users, groups := &reader{t, []byte(r.text())}, &reader{t, []byte(r.text())}
	if a, b, c := users.text(), users.text(), groups.text(); a != "root" || b != "" || c != "root" {
		t.Fatalf("%q %q %q", a, b, c)
	}
}
