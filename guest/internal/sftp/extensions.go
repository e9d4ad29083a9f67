package sftp

import (
	"strings"
	"syscall"
	"unsafe"
)

// announced are the extensions that the first answer names, as OpenSSH does.
var announced = []struct{ name, version string }{
	{"posix-rename@openssh.com", "1"},
	{"statvfs@openssh.com", "2"},
	{"fstatvfs@openssh.com", "2"},
	{"hardlink@openssh.com", "1"},
	{"fsync@openssh.com", "1"},
	{"lsetstat@openssh.com", "1"},
	{"limits@openssh.com", "1"},
	{"expand-path@openssh.com", "1"},
	{"copy-data", "1"},
	{"home-directory", "1"},
	{"users-groups-by-id@openssh.com", "1"},
}

var extensions = map[string]operation{
	"posix-rename@openssh.com":       {(*Server).posixRename, false},
	"statvfs@openssh.com":            {(*Server).statvfs, true},
	"fstatvfs@openssh.com":           {(*Server).fstatvfs, true},
	"hardlink@openssh.com":           {(*Server).hardlink, false},
	"fsync@openssh.com":              {(*Server).fsync, false},
	"lsetstat@openssh.com":           {(*Server).lsetstat, false},
	"limits@openssh.com":             {(*Server).limits, true},
	"expand-path@openssh.com":        {(*Server).expandPath, true},
	"copy-data":                      {(*Server).copyData, false},
	"home-directory":                 {(*Server).homeDirectory, true},
	"users-groups-by-id@openssh.com": {(*Server).namesByID, true},
}

func (s *Server) statvfs(id uint32, r *request) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	fs := &syscall.Statfs_t{}
	if err := do(syscall.SYS_STATFS, s.one.pointer(), uintptr(unsafe.Pointer(fs)), 0, 0, 0); err != nil {
		return err
	}
	s.fileSystem(id, fs)
	return nil
}

func (s *Server) fstatvfs(id uint32, r *request) error {
	h := r.handle(&s.handles)
	if r.err != nil {
		return r.err
	}
	fs := &syscall.Statfs_t{}
	if err := do(syscall.SYS_FSTATFS, uintptr(h.fd), uintptr(unsafe.Pointer(fs)), 0, 0, 0); err != nil {
		return err
	}
	s.fileSystem(id, fs)
	return nil
}

func (s *Server) fileSystem(id uint32, fs *syscall.Statfs_t) {
	// The kernel's flags for read-only and nosuid are those of the protocol.
	const known = 1 | 2
	fsid := *(*[2]uint32)(unsafe.Pointer(&fs.Fsid))
	s.begin(fxpExtendedReply, id, headerBytes)
	for _, v := range [...]uint64{
		uint64(fs.Bsize), uint64(fs.Frsize), fs.Blocks, fs.Bfree, fs.Bavail, fs.Files, fs.Ffree, fs.Ffree,
		uint64(fsid[1])<<32 | uint64(fsid[0]), uint64(fs.Flags) & known, uint64(fs.Namelen),
	} {
		s.output = order.AppendUint64(s.output, v)
	}
	s.finish()
}

func (s *Server) fsync(_ uint32, r *request) error {
	h := r.handle(&s.handles)
	if r.err != nil {
		return r.err
	}
	return do(syscall.SYS_FSYNC, uintptr(h.fd), 0, 0, 0, 0)
}

func (s *Server) limits(id uint32, _ *request) error {
	s.begin(fxpExtendedReply, id, headerBytes)
	for _, v := range [...]uint64{maxPacketBytes, maxDataBytes, maxDataBytes, maxHandles} {
		s.output = order.AppendUint64(s.output, v)
	}
	s.finish()
	return nil
}

// expandPath is realpath for paths that may begin with ~ or ~user.
func (s *Server) expandPath(id uint32, r *request) error {
	name := string(r.bytes())
	if r.err != nil {
		return r.err
	}
	if strings.HasPrefix(name, "~") {
		user, rest, _ := strings.Cut(name[1:], "/")
		directory, ok := home(user)
		if !ok {
			return syscall.ENOENT
		}
		name = directory + "/" + rest
	}
	if err := s.one.set([]byte(name)); err != nil {
		return err
	}
	return s.answerReal(id)
}

func (s *Server) homeDirectory(id uint32, r *request) error {
	user := string(r.bytes())
	if r.err != nil {
		return r.err
	}
	directory, ok := home(user)
	if !ok || len(directory) >= maxPathBytes {
		return syscall.ENOENT
	}
	s.oneName(id, []byte(directory))
	return nil
}

// namesByID answers with the names of numbers of users, and of groups; those that have none are empty.
func (s *Server) namesByID(id uint32, r *request) error {
	users, groups := r.bytes(), r.bytes()
	if r.err == nil && (len(users)%4 != 0 || len(groups)%4 != 0) {
		r.err = errBadMessage
	}
	if r.err != nil {
		return r.err
	}
	s.names.refresh()
	s.begin(fxpExtendedReply, id, maxPacketBytes)
	for _, list := range []struct {
		numbers []byte
		name    func(uint32) string
	}{{users, s.names.user}, {groups, s.names.group}} {
		at := len(s.output)
		s.output = append(s.output, 0, 0, 0, 0)
		for numbers := list.numbers; len(numbers) > 0; numbers = numbers[4:] {
			name := list.name(order.Uint32(numbers))
			name = name[:min(len(name), maxOwnerBytes)]
			if len(s.output)-s.start+len(name)+8 > maxPacketBytes {
				return errBadMessage
			}
			s.appendString(name)
		}
		order.PutUint32(s.output[at:], uint32(len(s.output)-at-4))
	}
	s.finish()
	return nil
}

// copyData copies between two open files without the client. A length of 0 means up to the end.
func (s *Server) copyData(_ uint32, r *request) error {
	from := r.handle(&s.handles)
	fromAt, length := r.position(), r.position()
	to := r.handle(&s.handles)
	toAt := r.position()
	if r.err != nil {
		return r.err
	}
	if err := s.checkCopy(from.fd, to.fd); err != nil {
		return err
	}
	left := length
	for length == 0 || left > 0 {
		n := int64(copyStepBytes)
		if length > 0 {
			n = min(n, left)
		}
		copied, err := s.copySome(from.fd, &fromAt, to.fd, &toAt, int(n))
		if err != nil || copied == 0 {
			return err
		}
		left -= int64(copied)
	}
	return nil
}

const copyStepBytes = 16 << 20

// checkCopy keeps a file from being copied onto itself, and what has no end from being copied.
func (s *Server) checkCopy(from, to int) error {
	if err := fstat(from, &s.stat); err != nil {
		return err
	}
	dev, ino, kind := s.stat.Dev, s.stat.Ino, s.stat.Mode&syscall.S_IFMT
	if err := fstat(to, &s.stat); err != nil {
		return err
	}
	if kind != syscall.S_IFREG || dev == s.stat.Dev && ino == s.stat.Ino {
		return syscall.EINVAL
	}
	return nil
}

// copySome copies up to n bytes, inside the kernel where it can.
func (s *Server) copySome(from int, fromAt *int64, to int, toAt *int64, n int) (int, error) {
	copied, err := copyRange(from, fromAt, to, toAt, n)
	switch err {
	case syscall.EXDEV, syscall.EINVAL, syscall.EOPNOTSUPP, syscall.ENOSYS:
	case syscall.EINTR:
		return s.copySome(from, fromAt, to, toAt, n)
	default:
		return copied, err
	}
	if s.scratch == nil {
		s.scratch = make([]byte, maxDataBytes)
	}
	n, err = pread(from, s.scratch[:min(n, len(s.scratch))], *fromAt)
	if err != nil {
		return 0, err
	}
	if err := pwrite(to, s.scratch[:n], *toAt); err != nil {
		return 0, err
	}
	*fromAt += int64(n)
	*toAt += int64(n)
	return n, nil
}
