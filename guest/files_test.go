package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx.dev/agent/internal/testhost"
)

// directory returns a directory that the agent may use.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

func with(path string, more testhost.Params) testhost.Params {
	p := testhost.Params{"path": path, "user": "app"}
	for k, v := range more {
		p[k] = v
	}
	return p
}

func writeFile(t *testing.T, h *testhost.Host, content string, params testhost.Params) error {
	t.Helper()
	in := h.Writable()
	params["stream"] = in.ID
	id, err := h.Start("fs.writeFile", params)
	must(t, err)
	if _, err := in.Write([]byte(content)); err == nil {
		must(t, in.End())
	}
	return h.Result(id, nil)
}

func readFile(t *testing.T, h *testhost.Host, path string) (string, error) {
	t.Helper()
	out := h.Readable()
	id, err := h.Start("fs.readFile", with(path, testhost.Params{"stream": out.ID}))
	must(t, err)
	got, streamErr := out.All()
	err = h.Result(id, nil)
	if (err == nil) != (streamErr == nil) {
		t.Fatalf("the call says %v, the stream %v", err, streamErr)
	}
	return string(got), err
}

func TestFileContent(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	p := filepath.Join(dir, "file")
	create := func(more testhost.Params) testhost.Params {
		params := with(p, testhost.Params{"append": false, "create": true, "createNew": false, "mode": nil})
		for k, v := range more {
			params[k] = v
		}
		return params
	}
	large := strings.Repeat("0123456789abcdef", 200_000)
	if err := writeFile(t, h, "x", create(testhost.Params{"create": false})); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	must(t, writeFile(t, h, large, create(nil)))
	expectContent(t, h, p, large)
	expectMode(t, p, 0o644)
	must(t, writeFile(t, h, "short", create(testhost.Params{"create": false})))
	expectContent(t, h, p, "short")
	must(t, writeFile(t, h, " and more", create(testhost.Params{"append": true})))
	expectContent(t, h, p, "short and more")
	if err := writeFile(t, h, "x", create(testhost.Params{"createNew": true})); code(err) != "EEXIST" {
		t.Fatal(err)
	}
	must(t, writeFile(t, h, "", create(testhost.Params{"mode": 0o666})))
	expectContent(t, h, p, "")
	expectMode(t, p, 0o666)
	for path, want := range map[string]string{dir: "EISDIR", filepath.Join(dir, "none"): "ENOENT", p + "/below": "ENOTDIR"} {
		_, err := readFile(t, h, path)
		var e *testhost.Error
		if !errors.As(err, &e) || e.Code != want || e.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, bad := range []string{"relative", "", "/nul\x00"} {
		if err := h.Call("fs.stat", with(bad, nil), nil); code(err) != "EINVAL" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if content, err := readFile(t, h, "/proc/self/comm"); err != nil || content == "" {
		t.Fatal("a file without a size cannot be read: ", err)
	}
}

func expectContent(t *testing.T, h *testhost.Host, path, want string) {
	t.Helper()
	if got, err := readFile(t, h, path); err != nil || got != want {
		t.Fatalf("%.50q, %v", got, err)
	}
}

func expectMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode().Perm() != want {
		t.Fatalf("%s has mode %v", path, info.Mode())
	}
}

func TestWritingIsEndedByTheHostsFailure(t *testing.T) {
	h := startAgent(t)
	in := h.Writable()
	id, err := h.Start("fs.writeFile", with(filepath.Join(directory(t), "f"), testhost.Params{"create": true, "stream": in.ID}))
	must(t, err)
	must(t, in.Fail())
	if err := h.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
}

func TestAFIFOIsWaitedForAndCanBeGivenUp(t *testing.T) {
	h := startAgent(t)
	p := filepath.Join(directory(t), "fifo")
	must(t, syscall.Mkfifo(p, 0o666))
	read := func() (*testhost.Readable, uint32) {
		out := h.Readable()
		id, err := h.Start("fs.readFile", with(p, testhost.Params{"stream": out.ID}))
		must(t, err)
		return out, id
	}
	_, id := read()
	must(t, h.Cancel(id))
	if err := h.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
	out, id := read()
	must(t, out.Stop())
	must(t, h.Result(id, nil))
	out, id = read()
	must(t, writeFile(t, h, "through a fifo", with(p, testhost.Params{"create": false})))
	got, err := out.All()
	must(t, err)
	must(t, h.Result(id, nil))
	if string(got) != "through a fifo" {
		t.Fatalf("%q", got)
	}
	in := h.Writable()
	id, err = h.Start("fs.writeFile", with(p, testhost.Params{"create": false, "stream": in.ID}))
	must(t, err)
	must(t, h.Cancel(id))
	if err := h.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
}

func TestDirectories(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	call := func(method, name string, more testhost.Params) error {
		return h.Call(method, with(filepath.Join(dir, name), more), nil)
	}
	must(t, call("fs.mkdir", "a", testhost.Params{"recursive": false, "mode": 0o700}))
	expectMode(t, filepath.Join(dir, "a"), 0o700)
	must(t, call("fs.mkdir", "b/c/d", testhost.Params{"recursive": true, "mode": nil}))
	expectMode(t, filepath.Join(dir, "b/c"), 0o755)
	must(t, call("fs.mkdir", "b/c/d", testhost.Params{"recursive": true}))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	must(t, os.Symlink("b", filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	for _, c := range []struct {
		method, name string
		recursive    bool
		code         string
	}{
		{"fs.mkdir", "a", false, "EEXIST"}, {"fs.mkdir", "x/y", false, "ENOENT"}, {"fs.mkdir", "file", true, "EEXIST"},
		{"fs.mkdir", "file/x", true, "ENOTDIR"}, {"fs.remove", "b", false, "ENOTEMPTY"}, {"fs.remove", "none", false, "ENOENT"},
		{"fs.remove", "none", true, "ENOENT"}, {"fs.remove", "a", false, ""}, {"fs.remove", "dangling", true, ""},
		{"fs.remove", "link", true, ""}, {"fs.remove", "file", false, ""},
	} {
		if err := call(c.method, c.name, testhost.Params{"recursive": c.recursive}); code(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "b/c/d")); err != nil {
		t.Fatal("removing a link removed what is behind it")
	}
	must(t, call("fs.remove", "b", testhost.Params{"recursive": true}))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatal(left)
	}
	if err := h.Call("fs.remove", with("/", testhost.Params{"recursive": true}), nil); code(err) != "EBUSY" {
		t.Fatal(err)
	}
}

func TestReadDirNamesAllTypes(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "f \"quoted\"\n"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "\xff"), nil, 0o644))
	must(t, os.Symlink("x", filepath.Join(dir, "l")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "p"), 0o644))
	var entries []struct{ Name, Type string }
	must(t, h.Call("fs.readDir", with(dir, nil), &entries))
	var got []string
	for _, e := range entries {
		got = append(got, e.Type+" "+e.Name)
	}
	slices.Sort(got)
	if want := []string{"dir d", "fifo p", "file f \"quoted\"\n", "file \ufffd", "symlink l"}; !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	must(t, h.Call("fs.readDir", with("/dev", nil), &entries))
	if !slices.ContainsFunc(entries, func(e struct{ Name, Type string }) bool { return e.Name == "null" && e.Type == "char" }) {
		t.Fatal(entries)
	}
	if err := h.Call("fs.readDir", with(filepath.Join(dir, "l"), nil), nil); code(err) != "ENOENT" {
		t.Fatal(err)
	}
}

type stat struct {
	Type                                        string
	Size, Mode, Dev, Ino, Nlink, UID, GID, Rdev int64
	Blksize, Blocks                             int64
	Atime, Mtime, Ctime, Birthtime              float64
}

func TestStatAndAttributes(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	p := filepath.Join(dir, "f")
	must(t, os.WriteFile(p, []byte("12345"), 0o640))
	must(t, os.Symlink("f", filepath.Join(dir, "l")))
	must(t, os.Link(p, filepath.Join(dir, "g")))
	must(t, h.Call("fs.utime", with(p, testhost.Params{"atime": 1500.25, "mtime": -86400000.5}), nil))
	must(t, h.Call("fs.chmod", with(p, testhost.Params{"mode": 0o604}), nil))
	must(t, h.Call("fs.chown", with(p, testhost.Params{"uid": nil, "gid": nil}), nil))
	must(t, h.Call("fs.chown", with(p, testhost.Params{"uid": os.Getuid(), "gid": os.Getgid()}), nil))
	var viaLink, link, direct stat
	must(t, h.Call("fs.stat", with(filepath.Join(dir, "l"), nil), &viaLink))
	must(t, h.Call("fs.lstat", with(filepath.Join(dir, "l"), nil), &link))
	must(t, h.Call("fs.lstat", with(p, nil), &direct))
	var st syscall.Stat_t
	must(t, syscall.Lstat(p, &st))
	want := stat{
		Type: "file", Size: 5, Mode: int64(st.Mode), Dev: int64(st.Dev), Ino: int64(st.Ino), Nlink: 2, UID: int64(os.Getuid()),
		GID: int64(os.Getgid()), Rdev: 0, Blksize: int64(st.Blksize), Blocks: st.Blocks, Atime: 1500.25, Mtime: -86400000.5,
		Ctime: viaLink.Ctime, Birthtime: viaLink.Birthtime,
	}
	if viaLink != want || direct != want || link.Type != "symlink" {
		t.Fatalf("%+v\n%+v\n%+v", viaLink, direct, want)
	}
	if now := float64(time.Now().UnixMilli()); want.Ctime > now+1000 || want.Ctime < now-60_000 || want.Birthtime > want.Ctime {
		t.Fatal(want.Ctime, want.Birthtime, now)
	}
	must(t, h.Call("fs.truncate", with(p, testhost.Params{"length": 2}), nil))
	must(t, h.Call("fs.lstat", with(p, nil), &direct))
	if direct.Size != 2 {
		t.Fatal(direct)
	}
	var null stat
	must(t, h.Call("fs.stat", with("/dev/null", nil), &null))
	if null.Type != "char" || null.Rdev != 0x103 {
		t.Fatalf("%+v", null)
	}
	for _, c := range []testhost.Params{{"mode": nil}, {"mode": -1}, {"mode": "x"}, {"mode": 1.5}} {
		if err := h.Call("fs.chmod", with(p, c), nil); code(err) != "EINVAL" {
			t.Error(c, err)
		}
	}
}

func TestNames(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("a"), []byte("content"), 0o751))
	two := func(method, from, to string) error {
		return h.Call(method, testhost.Params{"from": at(from), "to": at(to), "user": "app"}, nil)
	}
	must(t, two("fs.copyFile", "a", "copy"))
	expectContent(t, h, at("copy"), "content")
	expectMode(t, at("copy"), 0o751)
	must(t, os.Link(at("copy"), at("same")))
	must(t, two("fs.copyFile", "copy", "same"))
	expectContent(t, h, at("copy"), "content")
	must(t, os.WriteFile(at("copy"), []byte("something much longer"), 0o600))
	must(t, two("fs.copyFile", "a", "copy"))
	expectContent(t, h, at("copy"), "content")
	must(t, two("fs.rename", "a", "b"))
	must(t, two("fs.rename", "b", "copy"))
	if err := two("fs.rename", "b", "c"); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	if err := two("fs.copyFile", "none", "c"); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	must(t, os.Mkdir(at("dir"), 0o755))
	if err := two("fs.copyFile", "dir", "c"); code(err) != "EISDIR" {
		t.Fatal(err)
	}
	must(t, h.Call("fs.link", with(at("hard"), testhost.Params{"target": at("copy")}), nil))
	must(t, h.Call("fs.symlink", with(at("soft"), testhost.Params{"target": "dir/../copy"}), nil))
	var text string
	must(t, h.Call("fs.readLink", with(at("soft"), nil), &text))
	if text != "dir/../copy" {
		t.Fatal(text)
	}
	must(t, h.Call("fs.realPath", with(at("dir/../soft"), nil), &text))
	if text != at("copy") {
		t.Fatal(text)
	}
	if err := h.Call("fs.readLink", with(at("copy"), nil), nil); code(err) != "EINVAL" {
		t.Fatal(err)
	}
	if err := h.Call("fs.realPath", with(at("none"), nil), nil); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, isDir := range []bool{true, false, false} {
		params := testhost.Params{"dir": dir, "prefix": "pre", "suffix": ".suf", "directory": isDir, "user": "app"}
		must(t, h.Call("fs.makeTemp", params, &text))
		info, err := os.Stat(text)
		if err != nil || info.IsDir() != isDir || info.Mode().Perm()&0o077 != 0 || seen[text] {
			t.Fatal(text, info, err)
		}
		if base := filepath.Base(text); !strings.HasPrefix(base, "pre") || !strings.HasSuffix(base, ".suf") {
			t.Fatal(text)
		}
		seen[text] = true
	}
	if err := h.Call("fs.makeTemp", testhost.Params{"dir": dir, "prefix": "../x", "suffix": "", "directory": true}, nil); code(err) != "EINVAL" {
		t.Fatal(err)
	}
}

func TestUmaskAppliesToFilesDirectoriesAndProcesses(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	var before int
	must(t, h.Call("fs.umask", testhost.Params{"mask": nil}, &before))
	if before != 0o022 {
		t.Fatal(before)
	}
	must(t, h.Call("fs.umask", testhost.Params{"mask": 0o077}, &before))
	must(t, h.Call("fs.umask", testhost.Params{}, &before))
	if before != 0o077 {
		t.Fatal(before)
	}
	must(t, h.Call("fs.mkdir", with(filepath.Join(dir, "d"), testhost.Params{"mode": nil}), nil))
	must(t, writeFile(t, h, "x", with(filepath.Join(dir, "f"), testhost.Params{"create": true})))
	exit, out, _, err := h.Run(testhost.Exec("sh", "-c", "umask; touch "+dir+"/p"), nil)
	if err != nil || exit.Code != 0 || string(out) != "0077\n" {
		t.Fatal(exit, string(out), err)
	}
	expectMode(t, filepath.Join(dir, "d"), 0o700)
	expectMode(t, filepath.Join(dir, "f"), 0o600)
	expectMode(t, filepath.Join(dir, "p"), 0o600)
}

func walk(t *testing.T, h *testhost.Host, root string, more testhost.Params) ([]string, error) {
	t.Helper()
	out := h.Readable()
	params := with(root, testhost.Params{"maxDepth": nil, "follow": false, "canonicalize": true, "stream": out.ID})
	for k, v := range more {
		params[k] = v
	}
	id, err := h.Start("fs.walk", params)
	must(t, err)
	data, _ := out.All()
	var lines []string
	for _, line := range bytes.Split(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\n'}) {
		var e struct {
			Path, Name, Type string
			Depth            int
		}
		if len(line) > 0 {
			must(t, json.Unmarshal(line, &e))
			name, _ := filepath.Rel(root, e.Path)
			lines = append(lines, strings.Repeat(" ", e.Depth)+e.Type+" "+name+" "+e.Name)
		}
	}
	return lines, h.Result(id, nil)
}

func TestWalk(t *testing.T) {
	h := startAgent(t)
	root := filepath.Join(directory(t), "root")
	must(t, os.MkdirAll(filepath.Join(root, "a", "b"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "a", "b", "f"), nil, 0o644))
	for link, target := range map[string]string{"a/up": "..", "a/dangling": "x", "a/b/file": "f"} {
		must(t, os.Symlink(target, filepath.Join(root, link)))
	}
	for name, c := range map[string]struct {
		more testhost.Params
		want []string
	}{
		"all":       {nil, []string{"  dir a/b b", "  symlink a/dangling dangling", "  symlink a/up up", "   file a/b/f f", "   symlink a/b/file file", " dir a a", "dir . root"}},
		"one level": {testhost.Params{"maxDepth": 1}, []string{" dir a a", "dir . root"}},
		"none":      {testhost.Params{"maxDepth": 0}, []string{"dir . root"}},
		"following": {testhost.Params{"follow": true, "canonicalize": false},
			[]string{"  dir a/b b", "  dir a/up up", "  symlink a/dangling dangling", "   file a/b/f f", "   symlink a/b/file file", " dir a a", "dir . root"}},
		"following, canonical": {testhost.Params{"follow": true},
			[]string{"  dir . root", "  dir a/b b", "  symlink a/dangling dangling", "   file a/b/f f", "   symlink a/b/file file", " dir a a", "dir . root"}},
	} {
		got, err := walk(t, h, root, c.more)
		must(t, err)
		if got[0] != "dir . root" {
			t.Errorf("%s: it begins with %q", name, got[0])
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q\n%q", name, got, c.want)
		}
	}
	if _, err := walk(t, h, filepath.Join(root, "none"), nil); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	if got, err := walk(t, h, filepath.Join(root, "a", "b", "f"), nil); err != nil || !slices.Equal(got, []string{"file . f"}) {
		t.Fatal(got, err)
	}
	// In depth-first order a directory is followed by what is in it.
	got, err := walk(t, h, root, nil)
	must(t, err)
	if i := slices.Index(got, "  dir a/b b"); !strings.HasPrefix(got[i+1], "   ") || !strings.HasPrefix(got[i+2], "   ") {
		t.Fatalf("%q", got)
	}
}

func TestAWalkCanBeGivenUp(t *testing.T) {
	h := startAgent(t)
	for _, cancel := range []bool{true, false} {
		out := h.Readable()
		id, err := h.Start("fs.walk", with("/usr", testhost.Params{"stream": out.ID}))
		must(t, err)
		_, err = out.Peek()
		must(t, err)
		if cancel {
			// Until it has used up its window and waits.
			time.Sleep(100 * time.Millisecond)
		}
		if cancel {
			must(t, h.Cancel(id))
			if err := h.Result(id, nil); code(err) != "ECANCELED" {
				t.Fatal(err)
			}
		} else {
			must(t, out.Stop())
			must(t, h.Result(id, nil))
		}
	}
}

func TestHandles(t *testing.T) {
	h := startAgent(t)
	p := filepath.Join(directory(t), "f")
	open := func(options testhost.Params) (int, error) {
		var opened struct{ Handle int }
		err := h.Call("fs.open", with(p, options), &opened)
		return opened.Handle, err
	}
	file := func(method string, handle int, more testhost.Params, value any) error {
		params := testhost.Params{"handle": handle}
		for k, v := range more {
			params[k] = v
		}
		return h.Call("file."+method, params, value)
	}
	if _, err := open(testhost.Params{"read": true}); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	for _, bad := range []testhost.Params{{}, {"read": true, "create": true}, {"read": true, "truncate": true}} {
		if _, err := open(bad); code(err) != "EINVAL" {
			t.Fatal(bad, err)
		}
	}
	f, err := open(testhost.Params{"read": true, "write": true, "createNew": true, "mode": 0o666})
	must(t, err)
	expectMode(t, p, 0o644)
	// Calls that are sent without waiting are done in their order.
	var ids []uint32
	want := ""
	for i := range 50 {
		text := strings.Repeat(string(rune('a'+i%26)), 1000)
		want += text
		id, err := h.Start("file.write", testhost.Params{"handle": f, "data": base64.StdEncoding.EncodeToString([]byte(text))})
		must(t, err)
		ids = append(ids, id)
	}
	for _, id := range ids {
		var written struct{ Written int }
		must(t, h.Result(id, &written))
		if written.Written != 1000 {
			t.Fatal(written)
		}
	}
	expectContent(t, h, p, want)
	var position struct{ Position int64 }
	must(t, file("seek", f, testhost.Params{"offset": "-5", "whence": 2}, &position))
	var data struct{ Data *string }
	must(t, file("read", f, testhost.Params{"length": 100}, &data))
	if position.Position != 49_995 || data.Data == nil || *data.Data != base64.StdEncoding.EncodeToString([]byte(want[49_995:])) {
		t.Fatal(position, data)
	}
	must(t, file("read", f, testhost.Params{"length": 100}, &data))
	if data.Data != nil {
		t.Fatal(*data.Data)
	}
	must(t, file("truncate", f, testhost.Params{"length": 3}, nil))
	must(t, file("utime", f, testhost.Params{"atime": 1, "mtime": 2.5}, nil))
	var st stat
	must(t, file("stat", f, nil, &st))
	if st.Size != 3 || st.Mtime != 2.5 {
		t.Fatalf("%+v", st)
	}
	must(t, file("sync", f, testhost.Params{"dataOnly": true}, nil))
	must(t, file("sync", f, testhost.Params{"dataOnly": false}, nil))
	for _, c := range []struct {
		method string
		more   testhost.Params
	}{{"read", testhost.Params{"length": 1 << 20}}, {"write", testhost.Params{"data": "?"}}, {"seek", testhost.Params{"offset": "x", "whence": 0}}, {"seek", testhost.Params{"offset": "0", "whence": 3}}} {
		if err := file(c.method, f, c.more, nil); code(err) != "EINVAL" {
			t.Error(c, err)
		}
	}
	must(t, file("close", f, nil, nil))
	for _, method := range []string{"read", "close", "stat", "lock"} {
		if err := file(method, f, nil, nil); code(err) != "EBADF" {
			t.Error(method, err)
		}
	}
	r, err := open(testhost.Params{"read": true})
	must(t, err)
	if err := file("write", r, testhost.Params{"data": "eHg="}, nil); code(err) != "EBADF" {
		t.Fatal(err)
	}
}

func TestLocksWaitAndCanBeGivenUp(t *testing.T) {
	h := startAgent(t)
	p := filepath.Join(directory(t), "f")
	var a, b struct{ Handle int }
	options := with(p, testhost.Params{"read": true, "write": true, "create": true})
	must(t, h.Call("fs.open", options, &a))
	must(t, h.Call("fs.open", options, &b))
	lock := func(handle int, exclusive bool) uint32 {
		id, err := h.Start("file.lock", testhost.Params{"handle": handle, "exclusive": exclusive})
		must(t, err)
		return id
	}
	must(t, h.Result(lock(a.Handle, true), nil))
	waiting := lock(b.Handle, true)
	must(t, h.Cancel(waiting))
	if err := h.Result(waiting, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
	waiting = lock(b.Handle, false)
	// A lock that is waited for does not hold up what else is done with the file.
	must(t, h.Call("file.write", testhost.Params{"handle": b.Handle, "data": "eA=="}, nil))
	if h.Answered(waiting) {
		t.Fatal("two have the lock")
	}
	must(t, h.Call("file.unlock", testhost.Params{"handle": a.Handle}, nil))
	must(t, h.Result(waiting, nil))
	// Closing gives it back.
	waiting = lock(a.Handle, true)
	must(t, h.Call("file.close", testhost.Params{"handle": b.Handle}, nil))
	must(t, h.Result(waiting, nil))
}

func TestCopyCalls(t *testing.T) {
	h := startAgent(t)
	dir := directory(t)
	must(t, os.MkdirAll(filepath.Join(dir, "src", "sub"), 0o755))
	large := strings.Repeat("0123456789", 500_000)
	must(t, os.WriteFile(filepath.Join(dir, "src", "sub", "large"), []byte(large), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "src", "small"), []byte("x"), 0o600))
	out, in := h.Readable(), h.Writable()
	sending, err := h.Start("copy.send", testhost.Params{"paths": []string{filepath.Join(dir, "s*")}, "globs": true, "user": "app", "stream": out.ID})
	must(t, err)
	receiving, err := h.Start("copy.receive", testhost.Params{"destination": filepath.Join(dir, "dst"), "directory": false, "user": "app", "stream": in.ID})
	must(t, err)
	for {
		b, err := out.Next()
		if err != nil {
			break
		}
		_, err = in.Write(b)
		must(t, err)
	}
	must(t, in.End())
	type report struct {
		Entries, Bytes int
		Skipped        []any
	}
	var sent, received report
	must(t, h.Result(sending, &sent))
	must(t, h.Result(receiving, &received))
	if sent.Entries != 4 || sent.Bytes != 5_000_001 || received.Entries != 4 || received.Bytes != 5_000_001 || sent.Skipped == nil {
		t.Fatalf("%+v %+v", sent, received)
	}
	expectContent(t, h, filepath.Join(dir, "dst", "sub", "large"), large)
	expectMode(t, filepath.Join(dir, "dst", "small"), 0o600)

	out = h.Readable()
	if err := h.Call("copy.send", testhost.Params{"paths": []string{dir + "/none"}, "globs": false, "user": "app", "stream": out.ID}, nil); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	in = h.Writable()
	id, err := h.Start("copy.receive", testhost.Params{"destination": dir, "directory": true, "user": "app", "stream": in.ID})
	must(t, err)
	_, err = in.Write(appendEntry(nil, 1, 0o644, 100, "partial"))
	must(t, err)
	must(t, h.Cancel(id))
	if err := h.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
	must(t, in.Stopped())
	if _, err := os.Lstat(filepath.Join(dir, "partial")); err == nil {
		t.Fatal("half a file was left behind")
	}
	out = h.Readable()
	id, err = h.Start("copy.send", testhost.Params{"paths": []string{"/usr"}, "globs": false, "user": "app", "stream": out.ID})
	must(t, err)
	_, err = out.Peek()
	must(t, err)
	must(t, h.Cancel(id))
	if err := h.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
}
