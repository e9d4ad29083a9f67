// Package usage measures what the machine's processors, disk and processes are doing, from /proc. Its answers are
// bounded, whatever runs.
package usage

import (
	"bytes"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// MaxProcesses is how many processes one answer has at most, maxScanned how many are looked at.
	MaxProcesses = 64
	maxScanned   = 8192
	// window is between the two looks that tell which processes are busy.
	window = 250 * time.Millisecond
	// tick is the unit of processor times in /proc (USER_HZ, which is 100 on all architectures that sbx knows).
	tick = 10 * time.Millisecond
)

// Machine is what can be said of the whole machine.
type Machine struct {
	// CPUMs is the time that its processors have worked since the boot, in milliseconds.
	CPUMs int64
	// DiskTotal and DiskUsed are of the root file system, in bytes.
	DiskTotal, DiskUsed int64
}

// Process is one of the busiest.
type Process struct {
	PID, UID int
	// Name is what the kernel calls it: at most 15 bytes, which it chose itself.
	Name  string
	State byte
	// CPUMs is the processor time it used between the two looks, WindowMs is what lay between them.
	CPUMs, WindowMs int64
	RSS             int64
}

// Measure reads the whole machine's figures. What cannot be read is 0.
func Measure() Machine {
	m := Machine{}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		m.CPUMs = parseBusy(stat)
	}
	var fs syscall.Statfs_t
	if syscall.Statfs("/", &fs) == nil {
		m.DiskTotal = int64(fs.Blocks) * fs.Bsize
		m.DiskUsed = int64(fs.Blocks-fs.Bfree) * fs.Bsize
	}
	return m
}

// parseBusy adds up what the first line of /proc/stat counts as work, in milliseconds: all but idle, iowait and steal.
func parseBusy(stat []byte) int64 {
	line, _, _ := bytes.Cut(stat, []byte{'\n'})
	f := strings.Fields(string(line))
	if len(f) < 8 || f[0] != "cpu" {
		return 0
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return ticks * int64(tick/time.Millisecond)
}

// Busiest returns up to n processes: those that used most processor time in a quarter of a second, then the largest.
func Busiest(n int) []Process {
	before, began := map[int]sample{}, time.Now()
	scan(func(s sample) { before[s.pid] = s })
	time.Sleep(window)
	elapsed := time.Since(began).Milliseconds()
	var found []Process
	scan(func(s sample) {
		used := s.ticks
		if old, ok := before[s.pid]; ok && old.start == s.start {
			used -= old.ticks
		}
		found = append(found, Process{
			PID: s.pid, Name: s.name, State: s.state, RSS: s.rss,
			CPUMs: used * int64(tick/time.Millisecond), WindowMs: elapsed,
		})
	})
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i], found[j]
		if a.CPUMs != b.CPUMs {
			return a.CPUMs > b.CPUMs
		}
		if a.RSS != b.RSS {
			return a.RSS > b.RSS
		}
		return a.PID < b.PID
	})
	if n > MaxProcesses {
		n = MaxProcesses
	}
	if len(found) > n {
		found = found[:n]
	}
	for i := range found {
		found[i].UID = ownerOf(found[i].PID)
	}
	return found
}

// sample is one process at one moment.
type sample struct {
	pid   int
	name  string
	state byte
	ticks int64
	start string
	rss   int64
}

func scan(each func(sample)) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	seen := 0
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 0 {
			continue
		}
		if seen++; seen > maxScanned {
			return
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // It has ended.
		}
		if s, ok := parseStat(pid, stat); ok {
			each(s)
		}
	}
}

// parseStat reads /proc/PID/stat. Threads of the kernel are none of the user's.
func parseStat(pid int, stat []byte) (sample, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return sample{}, false
	}
	f := strings.Fields(string(stat[end+1:]))
	const kernelThread = 0x00200000 // PF_KTHREAD
	if len(f) < 22 {
		return sample{}, false
	}
	flags, _ := strconv.ParseUint(f[6], 10, 64)
	if flags&kernelThread != 0 {
		return sample{}, false
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	return sample{
		pid: pid, name: string(stat[open+1 : end]), state: f[0][0],
		ticks: user + system, start: f[19], rss: pages * int64(os.Getpagesize()),
	}, true
}

func ownerOf(pid int) int {
	var st syscall.Stat_t
	if syscall.Stat("/proc/"+strconv.Itoa(pid), &st) != nil {
		return 0
	}
	return int(st.Uid)
}
