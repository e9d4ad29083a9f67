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
	// ownMounts lists the mounts that this process sees.
	ownMounts = "/proc/self/mountinfo"
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
	for _, m := range mountsIn(filepath.Join(directory, "mountinfo")) {
		if m.device == deviceName(number) {
			return true
		}
	}
	return false
}

// listed is a line of a list of mounts (proc(5)): a device's major and minor number, and a path.
type listed struct{ device, path string }

func mountsIn(list string) []listed {
	content, err := os.ReadFile(list)
	if err != nil {
		return nil
	}
	var found []listed
	for _, line := range strings.Split(string(content), "\n") {
		const device, point = 2, 4
		if fields := strings.Fields(line); len(fields) > point {
			found = append(found, listed{fields[device], fields[point]})
		}
	}
	return found
}

// deviceName is a device's number as lists have it. It is split as makedev(3) says.
func deviceName(number uint64) string {
	major := number>>8&0xfff | number>>32&^0xfff
	minor := number&0xff | number>>12&^0xff
	return strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
}

// mountsUpon names what else is mounted at a directory or below it.
func mountsUpon(list, directory string, number uint64) []string {
	var upon []string
	for _, m := range mountsIn(list) {
		isThere := m.path == directory && m.device != deviceName(number)
		if (isThere || strings.HasPrefix(m.path, directory+"/")) && len(upon) < maxUsers {
			upon = append(upon, "what is mounted at "+m.path)
		}
	}
	return upon
}

// mountsElsewhere names other paths that a file system is mounted at.
func mountsElsewhere(list, directory string, number uint64) []string {
	var elsewhere []string
	for _, m := range mountsIn(list) {
		if m.device == deviceName(number) && m.path != directory && len(elsewhere) < maxUsers {
			elsewhere = append(elsewhere, "its mount at "+m.path)
		}
	}
	return elsewhere
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
