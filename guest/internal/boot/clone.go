package boot

import (
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

const (
	bootIDPath = "/proc/sys/kernel/random/boot_id"
	// ownBootIDPath is what programs see instead of bootIDPath.
	ownBootIDPath = "/run/sbx-boot-id"
)

// Clone is what must differ between machines that were copied from one memory image.
type Clone struct {
	Entropy   []byte
	UnixNs    int64
	Hostname  string
	MachineID string
}

// coverBootID puts an empty file over the kernel's boot id, which is chosen by its first reader and would be the same in
// all clones if that came before they part. Each clone writes an id of its own there: uncovering the kernel's would take
// a grace period and ten times the work.
func coverBootID() error {
	if err := os.WriteFile(ownBootIDPath, nil, 0o444); err != nil {
		return err
	}
	return syscall.Mount(ownBootIDPath, bootIDPath, "", syscall.MS_BIND, "")
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
	return newBootID()
}

// newBootID chooses this machine's boot id, a random UUID (RFC 9562, version 4) as the kernel's own is.
func newBootID() (string, error) {
	var random [16]byte
	if err := sys.Random(random[:]); err != nil {
		return "", err
	}
	random[6] = random[6]&0x0f | 0x40
	random[8] = random[8]&0x3f | 0x80
	digits := hex.EncodeToString(random[:])
	id := digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
	return id, overwrite(ownBootIDPath, []byte(id+"\n"))
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
		if err := overwrite(f.path, f.content); err != nil {
			return err
		}
	}
	return nil
}

// blankNames leaves in the template what a clone's own names only need to be written over: files with a block on the
// disk and no more content than any clone has. Freeing and allocating blocks is most of the work of a rewrite.
func blankNames() error {
	blank := Clone{Hostname: "x", MachineID: strings.Repeat("0", 32)}
	return blank.writeNames()
}

// overwrite replaces the content of a file of the image in place.
func overwrite(path string, content []byte) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return errno.At(err, path)
	}
	defer syscall.Close(fd)
	if _, err := syscall.Write(fd, content); err != nil {
		return errno.At(err, path)
	}
	var now syscall.Stat_t
	if err := syscall.Fstat(fd, &now); err != nil || now.Size <= int64(len(content)) {
		return errno.At(err, path)
	}
	return errno.At(syscall.Ftruncate(fd, int64(len(content))), path)
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
