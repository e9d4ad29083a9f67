package proc

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// entry is one line of the process table.
type entry struct {
	pid, parent, session int
}

// readEntry parses /proc/<pid>/stat: "pid (comm) state ppid pgrp session ...". The name may hold anything.
func readEntry(pid int) (entry, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return entry{}, false
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 4 {
		return entry{}, false
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	session, err2 := strconv.Atoi(string(f[3]))
	return entry{pid: pid, parent: parent, session: session}, err1 == nil && err2 == nil
}

func sessionOf(pid int) int {
	e, _ := readEntry(pid)
	return e.session
}

// entries reads the whole process table.
func entries() []entry {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []entry
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if e, ok := readEntry(pid); ok {
				all = append(all, e)
			}
		}
	}
	return all
}

// tree returns a process, its descendants and all that are in its session.
func tree(root int) map[int]bool {
	all := entries()
	in := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, e := range all {
			if !in[e.pid] && (in[e.parent] || e.session == root) {
				in[e.pid], grown = true, true
			}
		}
	}
	return in
}

// killSession signals what is left of the session of a leader that is gone, and reports whether anything was.
func killSession(leader int, signal syscall.Signal) bool {
	found := false
	for _, e := range entries() {
		if e.session == leader && e.pid != leader && syscall.Kill(e.pid, signal) == nil {
			found = true
		}
	}
	return found
}
