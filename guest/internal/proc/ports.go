package proc

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"

	"sbx.dev/agent/internal/errno"
)

// Listening returns the TCP ports on which a process, a descendant of it or a member of its session listens, sorted.
func (m *Manager) Listening(pid int) ([]int, error) {
	if !m.Known(pid) {
		return nil, noProcess(pid)
	}
	sockets := map[string]int{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		if err != nil && !os.IsNotExist(err) {
			return nil, errno.From(err)
		}
		parseListeners(content, sockets)
	}
	if len(sockets) == 0 {
		return nil, nil
	}
	found := map[int]bool{}
	for member := range tree(pid) {
		dir := "/proc/" + strconv.Itoa(member) + "/fd"
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // It has ended, or has become another user's in the development mode.
		}
		for _, entry := range entries {
			text, err := os.Readlink(dir + "/" + entry.Name())
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(text, "socket:[")
			if port, listens := sockets[strings.TrimSuffix(inode, "]")]; ok && listens {
				found[port] = true
			}
		}
	}
	var ports []int
	for port := range found {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	return ports, nil
}

// parseListeners reads a table of the kernel's TCP sockets and maps the inodes of those that listen to their ports.
func parseListeners(table []byte, sockets map[string]int) {
	const listen = "0A"
	for _, line := range bytes.Split(table, []byte{'\n'}) {
		// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode"
		f := bytes.Fields(line)
		if len(f) < 10 || string(f[3]) != listen {
			continue
		}
		colon := bytes.LastIndexByte(f[1], ':')
		port, err := strconv.ParseUint(string(f[1][colon+1:]), 16, 16)
		if err == nil && colon > 0 {
			sockets[string(f[9])] = int(port)
		}
	}
}
