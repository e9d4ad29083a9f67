package boot

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

const (
	randomPath  = "/dev/random"
	lastPIDPath = "/proc/sys/kernel/ns_last_pid"
	pidMaxPath  = "/proc/sys/kernel/pid_max"
	// firstPID is where the kernel starts over when it has used all process ids.
	firstPID = 300
	// defaultPIDMax is used where the kernel does not say.
	defaultPIDMax = 32768
)

// identity is what a clone writes its own into. Opening files is most of that work for a machine that has just been
// restored, so a template holds them open.
type identity struct {
	random, lastPID int
	hostname        nameFile
	machineID       nameFile
	hosts           nameFile
	bootID          nameFile
	// otherHosts is the hosts file but for the machine's own name, which comes behind it.
	otherHosts string
	highestPID int
	// isWritten means that a clone has written its own there.
	isWritten bool
}

// settled is the identity of a machine that was prepared: what its clones overwrite, with no more in it than any of
// them has.
var settled *identity

// openIdentity opens what a clone overwrites.
func openIdentity() (*identity, error) {
	f := &identity{highestPID: defaultPIDMax}
	var err error
	if f.random, err = syscall.Open(randomPath, syscall.O_RDWR|syscall.O_CLOEXEC, 0); err != nil {
		return nil, errno.At(err, randomPath)
	}
	if f.lastPID, err = syscall.Open(lastPIDPath, syscall.O_WRONLY|syscall.O_CLOEXEC, 0); err != nil {
		return nil, errno.At(err, lastPIDPath)
	}
	if b, err := os.ReadFile(pidMaxPath); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n > firstPID {
			f.highestPID = n
		}
	}
	if err := f.openNames(); err != nil {
		return nil, err
	}
	return f, f.bootID.open(ownBootIDPath)
}

// openNames opens the files with names that are on the root file system.
func (f *identity) openNames() error {
	// Images need not have /etc/hosts; then there is nothing to be kept of it.
	hosts, _ := os.ReadFile("/etc/hosts")
	f.otherHosts = withoutOwnName(string(hosts))
	for _, file := range []struct {
		name *nameFile
		path string
	}{
		{&f.hostname, "/etc/hostname"},
		{&f.machineID, "/etc/machine-id"},
		{&f.hosts, "/etc/hosts"},
	} {
		if err := file.name.open(file.path); err != nil {
			return err
		}
	}
	return nil
}

// settleIdentity leaves in a template what its clones only need to write over: open files with a block on the disk and
// no more content than any clone has. Opening files, and freeing and allocating blocks, is most of the work otherwise.
func settleIdentity() error {
	f, err := openIdentity()
	if err != nil {
		return err
	}
	if err := f.writeNames("x", strings.Repeat("0", 32)); err != nil {
		return err
	}
	if err := f.bootID.overwrite(strings.Repeat("0", 36) + "\n"); err != nil {
		return err
	}
	settled = f
	return nil
}

// identityToWrite returns where the next clone writes its own. A machine that has been in use may have other files of
// these names by now, and more in them: those are opened anew, and what the former clone trusted is forgotten.
func identityToWrite() (*identity, error) {
	f := settled
	if f == nil {
		var err error
		if f, err = openIdentity(); err != nil {
			return nil, err
		}
		settled = f
	}
	if !f.isWritten {
		f.isWritten = true
		return f, nil
	}
	f.closeNames()
	if err := f.openNames(); err != nil {
		return nil, err
	}
	return f, forgetRoots()
}

// closeIdentity lets go of the root file system.
func closeIdentity() {
	if settled == nil {
		return
	}
	settled.closeNames()
	settled = nil
}

func (f *identity) closeNames() {
	for _, file := range []*nameFile{&f.hostname, &f.machineID, &f.hosts} {
		_ = syscall.Close(file.fd)
		file.fd = -1
	}
}

func (f *identity) writeNames(hostname, machineID string) error {
	if err := f.hostname.overwrite(hostname + "\n"); err != nil {
		return err
	}
	if err := f.machineID.overwrite(machineID + "\n"); err != nil {
		return err
	}
	return f.hosts.overwrite(f.otherHosts + ownAddress + hostname + "\n")
}

// scatterPIDs makes the next process ids start at a random number.
func (f *identity) scatterPIDs() error {
	var random [8]byte
	if err := sys.Random(random[:]); err != nil {
		return err
	}
	last := firstPID + int(binary.NativeEndian.Uint64(random[:])%uint64(f.highestPID-firstPID-1))
	// At the beginning: the kernel ignores a number that is written anywhere else.
	_, err := syscall.Pwrite(f.lastPID, []byte(strconv.Itoa(last)), 0)
	return errno.At(err, lastPIDPath)
}

// nameFile is a small file that is overwritten in place.
type nameFile struct {
	fd   int
	path string
	size int
}

func (n *nameFile) open(path string) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return errno.At(err, path)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return errno.At(err, path)
	}
	*n = nameFile{fd: fd, path: path, size: int(st.Size)}
	return nil
}

func (n *nameFile) overwrite(content string) error {
	if _, err := syscall.Pwrite(n.fd, []byte(content), 0); err != nil {
		return errno.At(err, n.path)
	}
	shorter := len(content) < n.size
	n.size = len(content)
	if !shorter {
		return nil
	}
	return errno.At(syscall.Ftruncate(n.fd, int64(len(content))), n.path)
}

// ownAddress begins the line of the hosts file with the machine's own name: Debian's address for it.
const ownAddress = "127.0.1.1\t"

// withoutOwnName returns a hosts file that knows localhost, and no other line for the machine's own address.
func withoutOwnName(hosts string) string {
	var out strings.Builder
	seenLocal := false
	for _, line := range strings.SplitAfter(hosts, "\n") {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == strings.TrimSpace(ownAddress) {
			continue
		}
		seenLocal = seenLocal || len(f) > 1 && f[0] == "127.0.0.1"
		out.WriteString(line)
	}
	if text := out.String(); text != "" && !strings.HasSuffix(text, "\n") {
		out.WriteByte('\n')
	}
	if !seenLocal {
		out.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	}
	return out.String()
}
