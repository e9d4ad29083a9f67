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

// Apply makes this machine itself and returns its boot id. The randomness comes first: all else may use it. It may be
// done again, in a machine that was copied while it was in use.
func (c *Clone) Apply() (string, error) {
	f, err := identityToWrite()
	if err != nil {
		return "", err
	}
	if err := addEntropy(f.random, c.Entropy); err != nil {
		return "", errno.At(err, randomPath)
	}
	if err := sys.SetClock(c.UnixNs); err != nil {
		return "", errno.From(err)
	}
	if err := syscall.Sethostname([]byte(c.Hostname)); err != nil {
		return "", errno.From(err)
	}
	if err := f.writeNames(c.Hostname, c.MachineID); err != nil {
		return "", err
	}
	if err := f.scatterPIDs(); err != nil {
		return "", err
	}
	id, err := newBootID()
	if err != nil {
		return "", err
	}
	return id, f.bootID.overwrite(id + "\n")
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
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], nil
}

// addEntropy credits bytes to the kernel's pool and has the generator reseeded, which also voids what it had buffered.
func addEntropy(fd int, entropy []byte) error {
	const rndAddEntropy, rndReseedCRNG = 0x40085203, 0x5207
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
