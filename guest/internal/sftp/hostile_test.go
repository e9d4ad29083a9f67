package sftp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestWhatIsNoPacketEndsTheSession(t *testing.T) {
	begun := append(u32(5), append([]byte{fxpInit}, u32(3)...)...)
	for name, input := range map[string][]byte{
		"nothing in it":         u32(0),
		"longer than allowed":   append(u32(maxPacketBytes+1), bytes.Repeat([]byte{fxpStat}, maxPacketBytes+1)...),
		"as long as can be":     u32(1<<32 - 1),
		"no id":                 append(u32(3), fxpStat, 0, 0),
		"cut":                   append(u32(100), fxpStat),
		"half a length":         {0, 0},
		"a request before INIT": append(u32(5), append([]byte{fxpLstat}, u32(1)...)...),
	} {
		var out bytes.Buffer
		if name != "a request before INIT" {
			input = append(bytes.Clone(begun), input...)
		}
		if err := New(bytes.NewReader(input), &out).Serve(); !errors.Is(err, ErrFraming) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := New(bytes.NewReader(begun), io.Discard).Serve(); err != nil {
		t.Error("an end between packets:", err)
	}
}

func TestARequestWhoseFieldsAreCutIsABadMessageAndNothingElse(t *testing.T) {
	c, dir := start(t), t.TempDir()
	file := dir + "/file"
	must(t, os.WriteFile(file, []byte("content"), 0o644))
	h := c.open(file, openRead|openWrite)
	whole := map[byte][]byte{
		fxpOpen: join(text(dir+"/new"), u32(openWrite|openCreate), noAttributes), fxpRead: join(h, u64(0), u32(10)),
		fxpWrite: join(h, u64(0), text("xxx")), fxpSetstat: join(text(file), u32(attrSize), u64(0)),
		fxpFsetstat: join(h, u32(attrSize), u64(0)), fxpMkdir: join(text(dir+"/new"), u32(attrPermissions), u32(0o755)),
		fxpRename: join(text(file), text(dir+"/new")), fxpSymlink: join(text("x"), text(dir+"/new")),
		fxpRemove: text(file), fxpClose: h,
	}
	for kind, fields := range whole {
		for n := range fields {
			if code := c.status(kind, fields[:n]); code != statusBadMessage && code != statusFailure {
				t.Fatalf("type %d cut to %d bytes: %d", kind, n, code)
			}
		}
	}
	content, err := os.ReadFile(file)
	must(t, err)
	entries, err := os.ReadDir(dir)
	must(t, err)
	if string(content) != "content" || len(entries) != 1 {
		t.Fatalf("%q, %v", content, entries)
	}
	c.close(h)
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	c, dir := start(t), t.TempDir()
	h := c.open(dir+"/file", openRead|openWrite|openCreate)
	for what, code := range map[string][2]uint32{
		"an unknown type":         {c.status(99), statusUnsupported},
		"an unknown extension":    {c.status(fxpExtended, text("nobody@example.com")), statusUnsupported},
		"a NUL in a path":         {c.status(fxpStat, text("/etc\x00/passwd")), statusBadMessage},
		"a path without end":      {c.status(fxpStat, text(strings.Repeat("a/", 4096))), statusBadMessage},
		"a handle of nobody":      {c.status(fxpClose, text("\x00\x07\x00\x01")), statusFailure},
		"a handle too long":       {c.status(fxpClose, text("\x00\x00\x00\x01\x00")), statusFailure},
		"a place behind all":      {c.status(fxpRead, h, u64(1<<63), u32(1)), statusBadMessage},
		"a size behind all":       {c.status(fxpFsetstat, h, u32(attrSize), u64(1<<64-1)), statusBadMessage},
		"a listing of a file":     {c.status(fxpReaddir, h), statusNoSuchFile},
		"attributes without end":  {c.status(fxpMkdir, text(dir+"/d"), u32(attrExtended), u32(1<<32-1)), statusBadMessage},
		"a string without end":    {c.status(fxpStat, u32(1<<32-1), []byte("x")), statusBadMessage},
		"half a number of a user": {c.status(fxpExtended, text("users-groups-by-id@openssh.com"), text("123"), text("")), statusBadMessage},
	} {
		if code[0] != code[1] {
			t.Errorf("%s: %d", what, code[0])
		}
	}
	c.close(h)
}

func TestTheNumberOfOpenFilesIsBounded(t *testing.T) {
	c, dir := start(t), t.TempDir()
	first := c.open(dir+"/file", openWrite|openCreate)
	for range maxHandles - 1 {
		c.open(dir+"/file", openRead)
	}
	for _, code := range []uint32{
		c.status(fxpOpen, text(dir+"/file"), u32(openRead), noAttributes), c.status(fxpOpendir, text(dir)),
	} {
		if code != statusFailure {
			t.Fatal(code)
		}
	}
	c.close(first)
	again := c.open(dir+"/file", openRead)
	if bytes.Equal(again, first) {
		t.Fatal("a handle is used twice")
	}
	if code := c.status(fxpWrite, first, u64(0), text("x")); code != statusFailure {
		t.Fatal("a handle of an earlier file:", code)
	}
}

func TestTheEndOfTheSessionClosesItsFiles(t *testing.T) {
	before := openDescriptors(t)
	c, dir := start(t), t.TempDir()
	c.open(dir+"/file", openWrite|openCreate)
	c.ask(fxpHandle, fxpOpendir, text(dir))
	c.to.Close()
	<-c.ended
	must(t, c.failure)
	c.from.Close()
	if after := openDescriptors(t); after != before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func TestAClientThatDoesNotReadStopsTheServerAndNotItsMemory(t *testing.T) {
	c, dir := start(t), t.TempDir()
	must(t, os.WriteFile(dir+"/file", make([]byte, 200<<10), 0o644))
	h := c.open(dir+"/file", openRead)
	const requests = 500
	sent := make(chan bool)
	go func() {
		for range requests {
			c.request(fxpRead, h, u64(0), u32(200<<10))
		}
		close(sent)
	}()
	<-sent // The requests fit into the pipe and the server's own buffer; the answers, 100 MB, do not.
	for range requests {
		if kind, _, rest := c.receive(); kind != fxpData || len(rest) != 4+200<<10 {
			t.Fatal(kind, len(rest))
		}
	}
}

// FuzzServe feeds a session with anything. Its files are those of an empty directory: it is asked for nothing else as
// long as paths stay short.
func FuzzServe(f *testing.F) {
	begin := append(u32(5), append([]byte{fxpInit}, u32(3)...)...)
	for _, kind := range []byte{0, fxpInit, fxpOpen, fxpClose, fxpRead, fxpWrite, fxpSetstat, fxpOpendir, fxpReaddir, fxpMkdir,
		fxpRealpath, fxpRename, fxpSymlink, fxpStatus, fxpExtended, 255} {
		packet := join([]byte{kind}, u32(7), text("."), u32(3), u32(attrExtended|attrSize|attrTimes), u64(1<<62))
		f.Add(append(bytes.Clone(begin), append(u32(uint32(len(packet))), packet...)...))
	}
	for name := range extensions {
		for _, tail := range [][]byte{nil, text("."), join(text("\x00\x00\x00\x01"), u64(1), u64(2), text("\x00\x00\x00\x01"), u64(3))} {
			packet := join([]byte{fxpExtended}, u32(7), text(name), tail)
			open := join([]byte{fxpOpen}, u32(1), text("f"), u32(openRead|openWrite|openCreate), noAttributes)
			f.Add(join(begin, u32(uint32(len(open))), open, u32(uint32(len(packet))), packet))
		}
	}
	f.Add(join(begin, u32(maxPacketBytes), []byte{fxpStat}))
	here, err := os.Getwd()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.Chdir(here) })
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.Contains(input, []byte("/")) || bytes.Contains(input, []byte("..")) || bytes.Contains(input, []byte("~")) {
			return // It might leave the directory.
		}
		must(t, os.Chdir(t.TempDir()))
		var out bytes.Buffer
		_ = New(bytes.NewReader(input), &out).Serve()
		for rest := out.Bytes(); len(rest) > 0; {
			if len(rest) < 9 || order.Uint32(rest) > maxPacketBytes || int(order.Uint32(rest)) > len(rest)-4 {
				t.Fatalf("an answer that is no packet: % x", rest[:min(len(rest), 32)])
			}
			rest = rest[4+order.Uint32(rest):]
		}
	})
}
