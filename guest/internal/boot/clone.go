package boot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

const bootIDPath = "/proc/sys/kernel/random/boot_id"

// Clone is what must differ between machines that were copied from one memory image.
type Clone struct {
	Entropy   []byte
	UnixNs    int64
	Hostname  string
	MachineID string
}

// hideBootID covers the file whose first reader makes the kernel choose the id: before the clones part, nobody may.
func hideBootID() error {
	return syscall.Mount("/dev/null", bootIDPath, "", syscall.MS_BIND, "")
}

// Check refuses values that could not be written where they belong.
func (c *Clone) Check() error {
	if n := len(c.Entropy); n < 32 || n > 256 {
		return errno.New("EINVAL", "entropy must have 32 to 256 bytes, not "+strconv.Itoa(n))
	}
	if id, err := hex.DecodeString(c.MachineID); err != nil || len(id) != 16 || strings.ToLower(c.MachineID) != c.MachineID {
		return errno.New("EINVAL", "machineId must be 32 lower-case hexadecimal digits, not "+strconv.Quote(c.MachineID))
	}
	if !validHostname(c.Hostname) {
		return errno.New("EINVAL", "not a host name: "+strconv.Quote(c.Hostname))
	}
	return nil
}

func validHostname(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// Apply makes this machine itself and returns its boot id. The randomness comes first: all else may use it.
func (c *Clone) Apply() (string, error) {
	if err := addEntropy(c.Entropy); err != nil {
		return "", errno.At(err, "/dev/random")
	}
	if err := sys.SetClock(c.UnixNs); err != nil {
		return "", errno.From(err)
	}
	if err := syscall.Sethostname([]byte(c.Hostname)); err != nil {
		return "", errno.From(err)
	}
	if err := c.writeNames(); err != nil {
		return "", err
	}
	if err := scatterPIDs(); err != nil {
		return "", err
	}
	// It is not covered any more when this machine was made itself before.
	if err := syscall.Unmount(bootIDPath, syscall.MNT_DETACH); err != nil && err != syscall.EINVAL {
		return "", errno.At(err, bootIDPath)
	}
	id, err := os.ReadFile(bootIDPath)
	if err != nil {
		return "", errno.From(err)
	}
	return string(bytes.TrimSpace(id)), nil
}

// addEntropy credits bytes to the kernel's pool and has the generator reseeded, which also voids what it had buffered.
func addEntropy(entropy []byte) error {
	const rndAddEntropy, rndReseedCRNG = 0x40085203, 0x5207
	fd, err := syscall.Open("/dev/random", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// struct rand_pool_info: bits, bytes, data.
	request := make([]byte, 8+256)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(entropy)*8))
	binary.NativeEndian.PutUint32(request[4:], uint32(len(entropy)))
	copy(request[8:], entropy)
	if err := sys.IoctlPointer(fd, rndAddEntropy, unsafe.Pointer(&request[0])); err != nil {
		return err
	}
	return sys.Ioctl(fd, rndReseedCRNG, 0)
}

func (c *Clone) writeNames() error {
	// Images need not have /etc/hosts; then there is nothing to be kept of it.
	hosts, _ := os.ReadFile("/etc/hosts")
	files := []struct {
		path    string
		content []byte
	}{
		{"/etc/hostname", []byte(c.Hostname + "\n")},
		{"/etc/machine-id", []byte(c.MachineID + "\n")},
		{"/etc/hosts", withHost(hosts, c.Hostname)},
	}
	for _, f := range files {
		if err := writeThrough(f.path, f.content); err != nil {
			return err
		}
	}
	return nil
}

// writeThrough replaces the content of a file of the image.
func writeThrough(path string, content []byte) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return errno.At(err, path)
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, content)
	return errno.At(err, path)
}

// withHost returns a hosts file in which 127.0.1.1, Debian's address for the machine itself, has the new name.
func withHost(hosts []byte, name string) []byte {
	var out []byte
	seenLocal := false
	for _, line := range strings.SplitAfter(string(hosts), "\n") {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "127.0.1.1" {
			continue
		}
		seenLocal = seenLocal || len(f) > 1 && f[0] == "127.0.0.1"
		out = append(out, line...)
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	if !seenLocal {
		out = append(out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"...)
	}
	return append(out, "127.0.1.1\t"+name+"\n"...)
}

// scatterPIDs makes the next process ids start at a random number.
func scatterPIDs() error {
	const first = 300 // The kernel starts over here when it has used all.
	highest := 32768
	if b, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n > first {
			highest = n
		}
	}
	var random [8]byte
	if err := sys.Random(random[:]); err != nil {
		return err
	}
	last := first + int(binary.NativeEndian.Uint64(random[:])%uint64(highest-first-1))
	return os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(last)), 0)
}
