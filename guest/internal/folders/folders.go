// Package folders puts directories of the host into the sandbox's file system: it mounts the kernel's FUSE client and
// carries its requests to the host and the answers back. It understands neither; the host is the server.
package folders

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/sys"
)

const (
	device = "/dev/fuse"
	// maxData is the longest read and write in one request; the host says the same in its answer to INIT.
	maxData = 512 << 10
	// maxPacket is the longest request or answer. The kernel reads requests into nothing smaller.
	maxPacket = maxData + 4096
	// headerBytes is the length of an answer without a payload; every packet begins with its length.
	headerBytes = 16
	// readAhead is what the kernel reads of a file before it is asked for, KiB.
	readAhead  = "1024"
	mountFlags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOATIME
)

// Folder is a directory of the host that is mounted.
type Folder struct {
	file   *os.File
	target string
}

// MakePlace makes the directory at path, and those above it that are missing, which become the owner's.
func MakePlace(path string, owner *accounts.Identity) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return nil
		}
		return errno.At(syscall.ENOTDIR, path)
	}
	if path == "/" {
		return errno.At(syscall.ENOENT, path)
	}
	if err := MakePlace(filepath.Dir(path), owner); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, syscall.EEXIST) {
		return errno.At(err, path)
	}
	if owner.Same() {
		return nil
	}
	return errno.At(os.Lchown(path, int(owner.UID), int(owner.GID)), path)
}

// Mount mounts a folder that nobody serves yet: whoever looks at it waits. The kernel checks modes for everybody but
// root; what is allowed in the end is the host's to say.
func Mount(path string, readOnly bool, owner *accounts.Identity) (*Folder, error) {
	if err := MakePlace(path, owner); err != nil {
		return nil, err
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, errno.At(err, path)
	}
	if target == "/" {
		return nil, errno.At(syscall.EBUSY, path)
	}
	fd, err := syscall.Open(device, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, errno.At(err, device)
	}
	options := "fd=" + strconv.Itoa(fd) + ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=" +
		strconv.Itoa(maxData)
	flags := uintptr(mountFlags)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("sbx", target, "fuse.sbx", flags, options); err != nil {
		syscall.Close(fd)
		return nil, errno.At(err, path)
	}
	setReadAhead(target)
	// Without blocking, and so waited for by the runtime's poller: closing the file ends the wait.
	return &Folder{file: os.NewFile(uintptr(fd), device), target: target}, nil
}

// Sync writes what programs changed in mapped files of the folder at path: other writes are with the host when they
// return.
func Sync(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return errno.At(err, path)
	}
	defer syscall.Close(fd)
	return errno.At(sys.SyncFS(fd), path)
}

// setReadAhead has the kernel read larger pieces of files than its default. It is of no consequence if it cannot be set.
func setReadAhead(target string) {
	if number := deviceAt(target); number != "" {
		_ = os.WriteFile("/sys/class/bdi/"+number+"/read_ahead_kb", []byte(readAhead), 0)
	}
}

// deviceAt returns major:minor of what is mounted at a path, without asking that file system itself.
func deviceAt(target string) string {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	number := ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// The last one is on top.
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == target {
			number = fields[2]
		}
	}
	return number
}

// Carry carries requests to the host and answers to the kernel until either wants no more. The folder is gone then:
// who is in it gets errors.
func (f *Folder) Carry(out *link.Producer, in *link.Consumer) {
	defer f.detach()
	go func() {
		f.carryAnswers(in)
		// No answer will come any more: requests that wait for one fail.
		f.file.Close()
	}()
	err := f.carryRequests(out)
	f.file.Close()
	in.Stop()
	if err != nil {
		out.Fail(err)
		return
	}
	out.End()
}

func (f *Folder) detach() { _ = syscall.Unmount(f.target, syscall.MNT_DETACH) }

// carryRequests returns nil when the folder was unmounted.
func (f *Folder) carryRequests(out *link.Producer) error {
	packet := make([]byte, maxPacket)
	for {
		// One request with each call, whole.
		n, err := f.file.Read(packet)
		switch {
		case err == nil:
		case errors.Is(err, syscall.ENOENT):
			continue // Whoever asked has been interrupted.
		case errors.Is(err, syscall.ENODEV):
			return nil
		default:
			return errno.From(err)
		}
		if _, err := out.Write(packet[:n]); err != nil {
			return err
		}
	}
}

func (f *Folder) carryAnswers(in *link.Consumer) {
	packet := make([]byte, maxPacket)
	for {
		if !fill(in, packet[:headerBytes]) {
			return
		}
		length := binary.LittleEndian.Uint32(packet)
		if length < headerBytes || length > maxPacket {
			return
		}
		if !fill(in, packet[headerBytes:length]) {
			return
		}
		// One answer with each call, whole. The kernel refuses those that nobody waits for any more.
		if _, err := f.file.Write(packet[:length]); err != nil && !isHarmless(err) {
			return
		}
	}
}

func isHarmless(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINVAL)
}

// fill reads all of b. It returns false when the stream is over.
func fill(in *link.Consumer, b []byte) bool {
	for len(b) > 0 {
		in.Gather(len(b))
		part, err := in.Next()
		if err != nil {
			return false
		}
		n := copy(b, part)
		in.Advance(n)
		b = b[n:]
	}
	return true
}
