package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

const testPages = 1000

// TestMain makes the test binary a machine when a test asks for one: a process that maps a file privately, writes to
// pages of it as it is told, and says what it then has in them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "machine" {
		if err := beMachine(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func beMachine(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, testPages*pageBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	fmt.Println(uintptr(unsafe.Pointer(&memory[0])))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var page, value int
		if n, _ := fmt.Sscanf(lines.Text(), "fill %d %d", &page, &value); n == 2 {
			part := memory[page*pageBytes : (page+1)*pageBytes]
			for i := range part {
				part[i] = byte(value)
			}
		} else if n, _ := fmt.Sscanf(lines.Text(), "forget %d", &page); n == 1 {
			if err := syscall.Madvise(memory[page*pageBytes:(page+1)*pageBytes], syscall.MADV_DONTNEED); err != nil {
				return err
			}
		} else if n, _ := fmt.Sscanf(lines.Text(), "touch %d", &page); n == 1 {
			fmt.Fprintln(os.Stderr, memory[page*pageBytes])
		} else if lines.Text() == "dump" {
			if err := os.WriteFile(file+".dump", memory, 0o600); err != nil {
				return err
			}
		}
		fmt.Println("done")
	}
	return nil
}

type machine struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.Writer
	out     *bufio.Scanner
	address uint64
	base    string
}

// startMachine starts one whose base has data in its even hundreds of pages, and holes elsewhere.
func startMachine(t *testing.T) *machine {
	t.Helper()
	base := filepath.Join(t.TempDir(), "base")
	f, err := os.Create(base)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(testPages * int64(pageBytes)); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewSource(1))
	for page := 0; page < testPages; page++ {
		if page/100%2 == 0 {
			content := make([]byte, pageBytes)
			random.Read(content)
			if _, err := f.WriteAt(content, int64(page*pageBytes)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := &machine{t: t, base: base, cmd: exec.Command(os.Args[0], "machine", base)}
	m.in, _ = m.cmd.StdinPipe()
	out, _ := m.cmd.StdoutPipe()
	m.out = bufio.NewScanner(out)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.cmd.Process.Kill(); _ = m.cmd.Wait() })
	m.out.Scan()
	if m.address, err = strconv.ParseUint(m.out.Text(), 10, 64); err != nil {
		t.Fatalf("the machine says %q", m.out.Text())
	}
	return m
}

func (m *machine) do(format string, args ...any) {
	m.t.Helper()
	fmt.Fprintf(m.in, format+"\n", args...)
	if !m.out.Scan() || m.out.Text() != "done" {
		m.t.Fatalf("the machine did not do it: %s", m.out.Text())
	}
}

// image opens an image of the machine in a new file.
func (m *machine) image() (*image, *os.File) {
	m.t.Helper()
	target, err := os.Create(filepath.Join(m.t.TempDir(), "target"))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { target.Close() })
	if err := target.Truncate(testPages * int64(pageBytes)); err != nil {
		m.t.Fatal(err)
	}
	image, err := openImage(m.open(target), m.cmd.Process.Pid, m.address, testPages*int64(pageBytes))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = syscall.Munmap(image.view) })
	return image, target
}

func (m *machine) open(target *os.File) files {
	m.t.Helper()
	opened := func(path string) int {
		f, err := os.Open(path)
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Cleanup(func() { f.Close() })
		return int(f.Fd())
	}
	proc := fmt.Sprintf("/proc/%d/", m.cmd.Process.Pid)
	return files{mem: opened(proc + "mem"), pagemap: opened(proc + "pagemap"), base: opened(m.base), target: int(target.Fd())}
}

// same fails unless the file is what the machine has in its memory, byte for byte.
func (m *machine) same(target *os.File) {
	m.t.Helper()
	m.do("dump")
	want, err1 := os.ReadFile(m.base + ".dump")
	got, err2 := os.ReadFile(target.Name())
	if err := errors.Join(err1, err2); err != nil {
		m.t.Fatal(err)
	}
	for page := range testPages {
		at := page * pageBytes
		if !bytes.Equal(want[at:at+pageBytes], got[at:at+pageBytes]) {
			m.t.Fatalf("page %d differs", page)
		}
	}
}

func must(t *testing.T, what string, work func() (counts, error)) counts {
	t.Helper()
	count, err := work()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return count
}

func TestTheFileIsTheMemoryAtTheMomentOfTheSecondPass(t *testing.T) {
	for name, refused := range map[string]bool{"by process_vm_readv": false, "by the descriptor": true} {
		t.Run(name, func(t *testing.T) {
			m := startMachine(t)
			for _, page := range []int{0, 1, 63, 64, 65, 150, 151, 199, 200, 640, 999} {
				m.do("fill %d %d", page, 7+page%100)
			}
			m.do("fill 210 0")
			m.do("touch 220")
			image, target := m.image()
			image.source.refused.Store(refused)
			first := must(t, "copy", image.copy)
			if first.private != 12 {
				t.Errorf("12 pages are the machine's own, not %d", first.private)
			}
			m.same(target)
			m.do("fill 1 9")
			m.do("fill 2 9")
			m.do("fill 150 0")
			m.do("fill 300 3")
			m.do("fill 310 0")
			m.do("forget 0")
			m.do("forget 151")
			second := must(t, "finish", image.finish)
			// 310 was and is a hole.
			if second.written != 6 {
				t.Errorf("6 pages have changed, not %d", second.written)
			}
			m.same(target)
			if again := must(t, "finish", image.finish); again.written != 0 {
				t.Errorf("nothing has changed, and %d pages were written", again.written)
			}
		})
	}
}

func TestHolesStayHoles(t *testing.T) {
	m := startMachine(t)
	for page := 300; page < 350; page++ {
		m.do("fill %d 0", page)
	}
	image, target := m.image()
	must(t, "copy", image.copy)
	must(t, "finish", image.finish)
	var st syscall.Stat_t
	if err := syscall.Fstat(int(target.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	const dataPages = 500
	if allocated := st.Blocks * 512; allocated > (dataPages+20)*int64(pageBytes) {
		t.Errorf("%d bytes are allocated for %d pages of data", allocated, dataPages)
	}
	m.same(target)
}

func TestAMachineThatEndsIsAnError(t *testing.T) {
	m := startMachine(t)
	m.do("fill 1 1")
	image, _ := m.image()
	must(t, "copy", image.copy)
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	if _, err := image.finish(); !errors.Is(err, errGone) {
		t.Errorf("the end of the machine is told as %v", err)
	}
}

func TestAFileThatCannotBeWrittenIsAnError(t *testing.T) {
	m := startMachine(t)
	image, target := m.image()
	closed, err := os.Open(target.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	image.target = int(closed.Fd())
	if _, err := image.copy(); err == nil || !strings.Contains(err.Error(), "the file") {
		t.Errorf("a file that takes no bytes is told as %v", err)
	}
}

func TestRunsOfBits(t *testing.T) {
	for set, want := range map[uint64]string{0: "", 1: "0+1 ", ^uint64(0): "0+64 ", 1 << 63: "63+1 ", 0b1101110: "1+3 5+2 "} {
		got := ""
		_ = eachRun(set, func(first, count int) error { got += fmt.Sprintf("%d+%d ", first, count); return nil })
		if got != want {
			t.Errorf("%b has the runs %q, not %q", set, got, want)
		}
	}
}
