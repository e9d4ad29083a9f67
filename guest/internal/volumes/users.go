package volumes

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// maxUsers is how many processes are named; more would not be read.
	maxUsers = 8
	// maxComm bounds a name: the kernel's have up to 15 bytes.
	maxComm = 32
)

// usersOf names the processes that use a file system: that have a file of it open, are in it, or run or map a file of it.
func usersOf(number uint64) []string {
	var users []string
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		directory := filepath.Join("/proc", entry.Name())
		if !uses(directory, number) {
			continue
		}
		if len(users) == maxUsers {
			return append(users, "others")
		}
		users = append(users, nameOf(directory)+" ("+entry.Name()+")")
	}
	return users
}

func uses(directory string, number uint64) bool {
	for _, link := range []string{"cwd", "root", "exe"} {
		if isOn(filepath.Join(directory, link), number) {
			return true
		}
	}
	for _, list := range []string{"fd", "map_files"} {
		path := filepath.Join(directory, list)
		entries, _ := os.ReadDir(path)
		for _, entry := range entries {
			if isOn(filepath.Join(path, entry.Name()), number) {
				return true
			}
		}
	}
	return hasMounted(directory, number)
}

func isOn(path string, number uint64) bool {
	var st syscall.Stat_t
	return syscall.Stat(path, &st) == nil && st.Dev == number
}

// hasMounted reports whether a process has the file system in a mount namespace of its own.
func hasMounted(directory string, number uint64) bool {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	if other, err := os.Readlink(filepath.Join(directory, "ns", "mnt")); err != nil || other == own {
		return false
	}
	mounts, err := os.ReadFile(filepath.Join(directory, "mountinfo"))
	if err != nil {
		return false
	}
	// Device numbers as makedev(3) splits them.
	major := number>>8&0xfff | number>>32&^0xfff
	minor := number&0xff | number>>12&^0xff
	device := strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == device {
			return true
		}
	}
	return false
}

// mountsBelow names what is mounted below a directory, from a list as proc(5) describes it.
func mountsBelow(list, directory string) []string {
	content, err := os.ReadFile(list)
	if err != nil {
		return nil
	}
	var below []string
	for _, line := range strings.Split(string(content), "\n") {
		const point = 4
		fields := strings.Fields(line)
		if len(fields) <= point || !strings.HasPrefix(fields[point], directory+"/") {
			continue
		}
		if len(below) == maxUsers {
			break
		}
		below = append(below, "what is mounted at "+fields[point])
	}
	return below
}

// nameOf is what a process calls itself, without what would not print.
func nameOf(directory string) string {
	comm, _ := os.ReadFile(filepath.Join(directory, "comm"))
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, string(comm[:min(len(comm), maxComm)]))
	return name
}
