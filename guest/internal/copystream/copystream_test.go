package copystream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx.dev/agent/internal/errno"
)

// stream is both ends of a copy stream in memory. It hands out what it holds in pieces of a size.
type stream struct {
	data  []byte
	piece int
	space []byte
	// gathered and forEver are what Gather was asked for.
	gathered int
	forEver  bool
}

func (s *stream) Next() ([]byte, error) {
	if len(s.data) == 0 {
		return nil, io.EOF
	}
	n := len(s.data)
	if s.piece > 0 {
		n = min(n, s.piece)
	}
	return s.data[:n], nil
}

func (s *stream) Advance(n int) { s.data = s.data[n:] }

// Gather notes the most that was waited for, and that it was more than there ever comes.
func (s *stream) Gather(n int) {
	s.gathered = max(s.gathered, n)
	s.forEver = s.forEver || n > len(s.data)
}

func (s *stream) Space() ([]byte, error) {
	if len(s.space) == 0 {
		size := s.piece
		if size == 0 {
			size = 128 << 10
		}
		s.space = make([]byte, size)
	}
	return s.space, nil
}

func (s *stream) Commit(n int) {
	s.data = append(s.data, s.space[:n]...)
	s.space = s.space[n:]
}

func (s *stream) Write(b []byte) (int, error) {
	s.data = append(s.data, b...)
	return len(b), nil
}

func (s *stream) Flush() { s.space = nil }

// chain links records and the end.
func chain(records ...[]byte) []byte { return bytes.Join(append(records, record(kindEnd, nil)), nil) }

func record(kind byte, payload []byte) []byte {
	return append(appendRecordHeader(nil, kind, len(payload)), payload...)
}

func dirEntry(p string) []byte {
	return appendEntry(nil, &entry{kind: typeDirectory, mode: 0o755, mtime: 1e12, path: []byte(p)})
}

func fileEntry(p, content string) []byte {
	e := appendEntry(nil, &entry{kind: typeFile, mode: 0o644, mtime: 1e12, size: uint64(len(content)), path: []byte(p)})
	if content != "" {
		e = append(e, record(kindData, []byte(content))...)
	}
	return append(e, record(kindEOF, nil)...)
}

func linkEntry(kind byte, p, target string) []byte {
	return appendEntry(nil, &entry{kind: kind, mode: 0o777, mtime: 1e12, path: []byte(p), target: []byte(target)})
}

func receive(t *testing.T, destination string, directory bool, data []byte) (*Report, error) {
	t.Helper()
	return Receive(context.Background(), destination, directory, 0o022, &stream{data: data})
}

func send(t *testing.T, piece int, paths ...string) ([]byte, *Report) {
	t.Helper()
	s := &stream{piece: piece}
	report, err := Send(context.Background(), paths, s)
	if err != nil {
		t.Fatal(err)
	}
	return s.data, report
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return errno.From(err).Code
}

// describe lists a tree with everything that a copy preserves.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	inodes := map[uint64]string{}
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, p)
		line := info.Mode().String() + " " + info.ModTime().Truncate(time.Millisecond).UTC().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(p)
			line += " -> " + target
		case info.Mode().IsRegular():
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + string(content)
			inode := info.Sys().(*syscall.Stat_t).Ino
			if first, ok := inodes[inode]; ok {
				line += " = " + first
			}
			inodes[inode] = name
		}
		out[name] = line
		return nil
	}))
	return out
}

// plant makes a tree with everything that is hard about copying.
func plant(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	deep := root
	for range 40 {
		deep = filepath.Join(deep, "level")
	}
	must(t, os.MkdirAll(deep, 0o755))
	write(t, filepath.Join(deep, "bottom"), "found")
	write(t, filepath.Join(root, "empty"), "")
	write(t, filepath.Join(root, "\xff\xfe not UTF-8"), "bytes")
	write(t, filepath.Join(root, "new\nline \x1b[31m"), "controls")
	write(t, filepath.Join(root, "large"), strings.Repeat("0123456789", 30_000))
	write(t, filepath.Join(root, "middling"), strings.Repeat("x", 40_000))
	must(t, os.Symlink("nowhere/../at all", filepath.Join(root, "dangling")))
	must(t, os.Symlink(".", filepath.Join(root, "loop")))
	must(t, os.Symlink("\xff", filepath.Join(root, "strange link")))
	must(t, os.Link(filepath.Join(root, "middling"), filepath.Join(root, "level", "same")))
	write(t, filepath.Join(root, "set"), "uid")
	must(t, syscall.Chmod(filepath.Join(root, "set"), 0o4711))
	must(t, os.Mkdir(filepath.Join(root, "closed"), 0o755))
	write(t, filepath.Join(root, "closed", "inside"), "in a directory without write permission")
	must(t, os.Chmod(filepath.Join(root, "closed"), 0o555))
	must(t, os.Chtimes(filepath.Join(root, "empty"), time.UnixMilli(-86400001), time.UnixMilli(-86400001)))
	must(t, os.Chtimes(filepath.Join(root, "level"), time.UnixMilli(5), time.UnixMilli(123456789)))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "closed"), 0o755) })
	return root
}

// The calls that the scheduler is told of are those of file systems that a process may answer for.
func TestATreeArrivesOnAnyFileSystem(t *testing.T) {
	known := quickTypes
	defer func() { quickTypes = known }()
	quickTypes = nil
	TestATreeArrivesAsItWas(t)
	proc, err := os.Open("/proc")
	must(t, err)
	defer proc.Close()
	quickTypes = known
	if isQuick(int(proc.Fd())) {
		t.Fatal("procfs counts as a disk")
	}
}

func TestALongRecordIsWaitedForButNeverForMoreThanItHas(t *testing.T) {
	root := filepath.Join(t.TempDir(), "large")
	write(t, root, strings.Repeat("0123456789abcdef", 20_000))
	data, _ := send(t, 0, root)
	for _, piece := range []int{4096, 70_000, 0} {
		in := &stream{data: data, piece: piece}
		_, err := Receive(context.Background(), filepath.Join(t.TempDir(), "copy"), false, 0o022, in)
		must(t, err)
		if in.forEver || piece > 0 && in.gathered < gatherFrom {
			t.Fatalf("piece %d: waited for %d bytes, for ever: %v", piece, in.gathered, in.forEver)
		}
	}
}

func TestATreeArrivesAsItWas(t *testing.T) {
	root := plant(t)
	want := describe(t, root)
	for _, piece := range []int{0, 1, 7, 4096, 100_000} {
		data, sent := send(t, piece, root)
		target := filepath.Join(t.TempDir(), "copy")
		report, err := Receive(context.Background(), target, false, 0o022, &stream{data: data, piece: piece})
		must(t, err)
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(target, "closed"), 0o755) })
		if got := describe(t, target); !reflect.DeepEqual(got, want) {
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("piece %d: %q is %.200q instead of %.200q", piece, name, got[name], want[name])
				}
			}
		}
		if report.Entries != sent.Entries || report.Bytes != sent.Bytes || len(report.Skips)+len(sent.Skips) != 0 {
			t.Fatalf("sent %+v, received %+v", sent, report)
		}
		if int(report.Entries) != len(want) {
			t.Fatalf("%d entries instead of %d", report.Entries, len(want))
		}
	}
}

func TestCopyingTwiceReplacesFilesAndKeepsDirectories(t *testing.T) {
	root := plant(t)
	data, _ := send(t, 0, root)
	parent := t.TempDir()
	target := filepath.Join(parent, "tree")
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(target, "closed"), 0o755) })
	_, err := receive(t, parent, false, data)
	must(t, err)
	want := describe(t, target)
	must(t, os.Chmod(filepath.Join(target, "closed"), 0o755))
	must(t, os.Remove(filepath.Join(target, "large")))
	must(t, os.Symlink("/etc/hostname", filepath.Join(target, "large")))
	write(t, filepath.Join(target, "extra"), "stays")
	report, err := receive(t, parent, true, data)
	must(t, err)
	if len(report.Skips) != 0 {
		t.Fatal(report.Skips)
	}
	got := describe(t, target)
	if !strings.HasSuffix(got["extra"], "stays") {
		t.Fatal(got["extra"])
	}
	for _, name := range []string{"large", "middling", "level/same", "dangling", "loop", "closed/inside"} {
		if got[name] != want[name] {
			t.Errorf("%q is %.200q instead of %.200q", name, got[name], want[name])
		}
	}
	for name := range got {
		if strings.Contains(name, temporaryPrefix) {
			t.Errorf("%q was left behind", name)
		}
	}
}

func TestHolesStayHoles(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "sparse")
	f, err := os.Create(source)
	must(t, err)
	for _, at := range []int64{1 << 20, 50 << 20, 50<<20 + 8192} {
		_, err := f.WriteAt([]byte("data"), at)
		must(t, err)
	}
	must(t, f.Truncate(200<<20))
	must(t, f.Close())
	data, _ := send(t, 0, source)
	if len(data) > 1<<20 {
		t.Fatalf("%d bytes for a file with little in it", len(data))
	}
	target := filepath.Join(dir, "copy")
	report, err := receive(t, target, false, data)
	must(t, err)
	if report.Bytes != 200<<20 {
		t.Fatal(report.Bytes)
	}
	a, err := os.ReadFile(source)
	must(t, err)
	b, err := os.ReadFile(target)
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Fatal("the content differs")
	}
	var st syscall.Stat_t
	must(t, syscall.Stat(target, &st))
	if st.Blocks*512 > 1<<20 {
		t.Fatalf("%d bytes on disk", st.Blocks*512)
	}
}

func TestWhatIsNeitherFileNorDirectoryNorLinkIsSkippedWithTheReason(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	write(t, filepath.Join(dir, "file"), "x")
	data, report := send(t, 0, dir)
	if report.Entries != 2 || len(report.Skips) != 1 || !strings.HasSuffix(report.Skips[0].Path, "/fifo") {
		t.Fatalf("%+v", report)
	}
	got, err := receive(t, t.TempDir(), true, data)
	must(t, err)
	if !reflect.DeepEqual(got.Skips, report.Skips) {
		t.Fatalf("%+v", got)
	}
}

func TestWhatCannotBeReadIsSkippedBelowASourceAndAnErrorAtIt(t *testing.T) {
	dir := t.TempDir()
	_, err := Send(context.Background(), []string{filepath.Join(dir, "missing")}, &stream{})
	var e *errno.Error
	if !errors.As(err, &e) || e.Code != "ENOENT" || e.Path != filepath.Join(dir, "missing") {
		t.Fatal(err)
	}
	// A file of /proc/self that even root cannot read: opening works, reading does not.
	mem := "/proc/self/task/self"
	if _, err := Send(context.Background(), []string{mem}, &stream{}); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		return // Everything can be read.
	}
	write(t, filepath.Join(dir, "secret"), "x")
	must(t, os.Chmod(filepath.Join(dir, "secret"), 0))
	must(t, os.Mkdir(filepath.Join(dir, "shut"), 0))
	_, report := send(t, 0, dir)
	if report.Entries != 1 || len(report.Skips) != 2 {
		t.Fatalf("%+v", report)
	}
	if _, err := Send(context.Background(), []string{filepath.Join(dir, "secret")}, &stream{}); code(err) != "EACCES" {
		t.Fatal(err)
	}
}

// shrinking is an Output that changes the file as soon as its entry is on its way.
type shrinking struct {
	stream
	change func()
}

func (s *shrinking) Write(b []byte) (int, error) {
	if b[0] == kindEntry {
		s.change()
	}
	return s.stream.Write(b)
}

func TestAFileThatChangesKeepsTheSizeItHad(t *testing.T) {
	const size = 3 << 20
	for name, newSize := range map[string]int64{"shorter": 1<<20 + 5, "longer": 5 << 20, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			source := filepath.Join(t.TempDir(), "file")
			write(t, source, strings.Repeat("a", size))
			out := &shrinking{change: func() { must(t, os.Truncate(source, newSize)) }}
			_, err := Send(context.Background(), []string{source}, out)
			must(t, err)
			target := filepath.Join(t.TempDir(), "copy")
			_, err = receive(t, target, false, out.data)
			must(t, err)
			got, err := os.ReadFile(target)
			must(t, err)
			kept := int(min(newSize, size))
			if want := strings.Repeat("a", kept) + strings.Repeat("\x00", size-kept); string(got) != want {
				t.Fatalf("%d bytes, or others", len(got))
			}
		})
	}
}

func TestSourcesWithSlashFollowLinks(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	for source, want := range map[string]byte{"link": typeSymlink, "link/": typeDirectory, "real/": typeDirectory} {
		data, _ := send(t, 0, dir+"/"+source)
		e, err := parseEntry(data[recordHeaderBytes:][:int(data[1])|int(data[2])<<8])
		if err != nil || e.kind != want || string(e.path) != strings.TrimSuffix(source, "/") {
			t.Fatalf("%s: %+v %v", source, e, err)
		}
	}
}

func TestDestinations(t *testing.T) {
	one := chain(fileEntry("f", "x"))
	two := chain(fileEntry("f", "x"), fileEntry("g", "y"))
	for name, c := range map[string]struct {
		destination string
		directory   bool
		data        []byte
		code        string
		file        string
	}{
		"a new name":                    {"new", false, one, "", "new"},
		"an existing directory":         {"dir", false, one, "", "dir/f"},
		"a directory through a link":    {"link", false, one, "", "link/f"},
		"several into a directory":      {"dir", true, two, "", "dir/g"},
		"a file, replaced":              {"file", false, one, "", "file"},
		"a dangling link, replaced":     {"dangling", false, one, "", "dangling"},
		"a directory that is missing":   {"new", true, one, "ENOENT", ""},
		"a directory that is a file":    {"file", true, one, "ENOTDIR", ""},
		"a parent that is missing":      {"no/where", false, one, "ENOENT", ""},
		"several under one name":        {"new", false, two, "ENOTDIR", "new"},
		"a file over a directory":       {"dir", true, chain(fileEntry("sub", "x")), "EISDIR", "dir/sub"},
		"a directory over a file":       {"dir", true, chain(dirEntry("plain")), "ENOTDIR", "dir/plain"},
		"a tree under a new name":       {"new", false, chain(dirEntry("a"), fileEntry("a/b", "x")), "", "new/b"},
		"nothing at all":                {"new", false, chain(), "", ""},
		"a directory through a symlink": {"dir", true, chain(dirEntry("out"), fileEntry("out/f", "x")), "ENOTDIR", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.MkdirAll(filepath.Join(dir, "dir", "sub"), 0o755))
			must(t, os.Mkdir(filepath.Join(dir, "outside"), 0o755))
			must(t, os.Symlink("../outside", filepath.Join(dir, "dir", "out")))
			must(t, os.Symlink("dir", filepath.Join(dir, "link")))
			must(t, os.Symlink("outside/through", filepath.Join(dir, "dangling")))
			write(t, filepath.Join(dir, "file"), "old")
			write(t, filepath.Join(dir, "dir", "plain"), "old")
			_, err := receive(t, filepath.Join(dir, c.destination), c.directory, c.data)
			if code(err) != c.code {
				t.Fatal(err)
			}
			if c.file != "" {
				if _, err := os.Lstat(filepath.Join(dir, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "outside")); len(left) > 0 {
				t.Fatal("something was written through a symbolic link")
			}
		})
	}
}

func TestBrokenStreamsAreRefused(t *testing.T) {
	data := record(kindData, []byte("x"))
	eof := record(kindEOF, nil)
	open := fileEntry("f", "x")[:len(fileEntry("f", "x"))-len(data)-len(eof)]
	for name, b := range map[string][]byte{
		"nothing":                     {},
		"no end":                      fileEntry("f", "x"),
		"half a header":               {kindEntry, 1},
		"unknown record":              record(99, nil),
		"data without a file":         chain(data),
		"a hole without a file":       chain(record(kindHole, make([]byte, 8))),
		"the end of no file":          chain(eof),
		"a file in a file":            chain(open, dirEntry("d")),
		"the end within a file":       chain(open),
		"more than announced":         chain(open, data, data, eof),
		"a hole beyond the size":      chain(open, record(kindHole, []byte{2, 0, 0, 0, 0, 0, 0, 0}), eof),
		"a hole of impossible length": chain(open, record(kindHole, bytes.Repeat([]byte{255}, 8)), eof),
		"a short hole":                chain(open, record(kindHole, make([]byte, 7)), eof),
		"a huge record":               {kindData, 0, 0, 0x10, 0x01},
		"an entry that is cut":        chain(record(kindEntry, []byte{1, 2, 3})),
		"something after the end":     append(chain(), 0),
		"an end with a payload":       record(kindEnd, []byte{1}),
		"an unknown type":             chain(linkEntry(9, "a", "b")),
		"a file with a target":        chain(linkEntry(typeFile, "a", "b")),
		"an empty symlink":            chain(linkEntry(typeSymlink, "a", "")),
		"a symlink with a NUL":        chain(linkEntry(typeSymlink, "a", "b\x00")),
		"a hard link to ..":           chain(linkEntry(typeHardLink, "a", "../b")),
		"an absolute hard link":       chain(linkEntry(typeHardLink, "a", "/etc/passwd")),
		"a skip that is cut":          chain(record(kindSkipped, []byte{9, 0, 'x'})),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := receive(t, dir, true, b); code(err) != errno.Protocol {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); name != "no end" && len(left) > 0 {
				t.Fatalf("%v was left behind", left)
			}
		})
	}
	for _, p := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../a", "a/../../b", "a\x00", strings.Repeat("a/", 2048) + "a"} {
		if _, err := receive(t, t.TempDir(), true, chain(fileEntry(p, "x"))); code(err) != errno.Protocol {
			t.Errorf("%.40q: %v", p, err)
		}
	}
}

func TestAShortFileIsRefusedAndTheRestArrives(t *testing.T) {
	short := append(appendEntry(nil, &entry{kind: typeFile, mode: 0o644, size: 10, path: []byte("d/short")}), record(kindData, []byte("x"))...)
	short = append(short, record(kindEOF, nil)...)
	dir := t.TempDir()
	report, err := receive(t, dir, true, chain(dirEntry("d"), short, fileEntry("d/good", "x")))
	must(t, err)
	if report.Entries != 2 || len(report.Skips) != 1 || report.Skips[0] != (Skip{"d/short", "short"}) {
		t.Fatalf("%+v", report)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "d")); len(left) != 1 || left[0].Name() != "good" {
		t.Fatal(left)
	}
}

func TestWhatCannotBeWrittenBelowASourceIsSkipped(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d", "taken"), 0o755))
	outside := t.TempDir()
	write(t, filepath.Join(outside, "passwd"), "outside")
	must(t, os.Symlink(outside, filepath.Join(dir, "d", "link")))
	report, err := receive(t, dir, true, chain(
		dirEntry("d"), fileEntry("d/taken", "a file over a directory"), dirEntry("d/link"), fileEntry("d/link/new", "through a link"),
		linkEntry(typeSymlink, "d/taken", "x"), linkEntry(typeHardLink, "d/hard", "d/nowhere"),
		linkEntry(typeHardLink, "d/hard2", "d/link/passwd"), fileEntry("d/"+strings.Repeat("n", 256), "a long name"),
		fileEntry("missing/parent", "x"), fileEntry("d/good", "x"),
	))
	must(t, err)
	if report.Entries != 2 || len(report.Skips) != 8 {
		t.Fatalf("%+v", report)
	}
	if left, _ := os.ReadDir(outside); len(left) != 1 {
		t.Fatal("a symbolic link was followed")
	}
}

func TestAReportFitsIntoAFrame(t *testing.T) {
	var r Report
	for range 100_000 {
		r.skip(strings.Repeat("\x01", 4000), "reason")
	}
	if doc := r.JSON(); len(doc) > 1<<20-16 || !strings.Contains(string(doc), `more"`) {
		t.Fatal(len(doc))
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt", ".hidden.txt", "sub/c.txt", "sub/deep/d.txt", "sub/.git/e.txt", "odd[1].txt", "\xff.txt"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		write(t, filepath.Join(dir, name), "")
	}
	for pattern, want := range map[string][]string{
		"a.txt":         {"a.txt"},
		"missing":       {"missing"},
		"*.txt":         {"a.txt", "b.txt", "odd[1].txt", "\xff.txt"},
		".*.txt":        {".hidden.txt"},
		"?.txt":         {"a.txt", "b.txt", "\xff.txt"},
		"[a-b].txt":     {"a.txt", "b.txt"},
		"*/c.txt":       {"sub/c.txt"},
		"**/*.txt":      {"a.txt", "b.txt", "odd[1].txt", "sub/c.txt", "sub/deep/d.txt", "\xff.txt"},
		"sub/**":        {"sub", "sub/deep"},
		`odd\[1\].txt`:  {"odd[1].txt"},
		"*.none":        nil,
		"[.txt":         nil,
		"*/nothing.txt": nil,
	} {
		got, err := Expand([]string{filepath.Join(dir, pattern)})
		var names []string
		for _, p := range got {
			name, _ := filepath.Rel(dir, p)
			names = append(names, name)
		}
		if !slices.Equal(names, want) || (want == nil) != (err != nil) {
			t.Errorf("%s: %q %v", pattern, names, err)
		}
	}
}

// Whatever arrives, nothing outside of the destination changes and nothing temporary is left behind.
func FuzzCopyReceive(f *testing.F) {
	f.Add(chain(dirEntry("d"), fileEntry("d/f", "x"), linkEntry(typeSymlink, "d/l", "../../outside"), dirEntry("d/l"), fileEntry("d/l/canary", "gone")), true)
	f.Add(chain(linkEntry(typeSymlink, "l", "../outside"), fileEntry("l/canary", "gone"), linkEntry(typeHardLink, "h", "l/canary")), true)
	f.Add(chain(fileEntry("f", "x"), linkEntry(typeHardLink, "g", "f"), fileEntry("g", "yy")), false)
	f.Add(chain(fileEntry("out/canary", "gone"), record(kindSkipped, []byte{1, 0, 'p', 'r'})), true)
	f.Add(chain(fileEntry("a", "x"), appendEntry(nil, &entry{kind: typeFile, size: 5, path: []byte("b")}), record(kindHole, []byte{5, 0, 0, 0, 0, 0, 0, 0}), record(kindEOF, nil)), true)
	f.Fuzz(func(t *testing.T, data []byte, directory bool) {
		root, err := os.MkdirTemp("", "sbx-fuzz")
		must(t, err)
		defer os.RemoveAll(root)
		must(t, os.MkdirAll(filepath.Join(root, "outside"), 0o755))
		write(t, filepath.Join(root, "outside", "canary"), "alive")
		destination := filepath.Join(root, "inside")
		must(t, os.Mkdir(destination, 0o755))
		must(t, os.Symlink("../outside", filepath.Join(destination, "out")))
		before := describe(t, filepath.Join(root, "outside"))
		if !directory {
			destination = filepath.Join(destination, "name")
		}
		report, err := Receive(context.Background(), destination, directory, 0o022, &stream{data: data, piece: 13})
		if err == nil && report.Entries < 0 {
			t.Fatal(report.Entries)
		}
		_ = filepath.WalkDir(filepath.Join(root, "inside"), func(p string, d fs.DirEntry, _ error) error {
			if strings.Contains(p, "/"+temporaryPrefix) && !bytes.Contains(data, []byte(temporaryPrefix)) {
				t.Errorf("%q was left behind", p)
			}
			return nil
		})
		if after := describe(t, filepath.Join(root, "outside")); !reflect.DeepEqual(before, after) {
			t.Fatalf("outside changed: %v", after)
		}
	})
}
