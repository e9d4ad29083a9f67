package sftp

import (
	"bytes"
	"strconv"
	"syscall"
)

func (s *Server) remove(_ uint32, r *request) error { return s.unlink(r, 0) }

func (s *Server) rmdir(_ uint32, r *request) error {
	const removeDirectory = 0x200
	return s.unlink(r, removeDirectory)
}

func (s *Server) unlink(r *request, flags uintptr) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	return do(syscall.SYS_UNLINKAT, atFdcwd, s.one.pointer(), flags, 0, 0)
}

func (s *Server) mkdir(_ uint32, r *request) error {
	r.into(&s.one)
	a := r.attributes()
	if r.err != nil {
		return r.err
	}
	return do(syscall.SYS_MKDIRAT, atFdcwd, s.one.pointer(), uintptr(a.modeOr(0o777)), 0, 0)
}

// both reads two paths.
func (s *Server) both(r *request) error {
	r.into(&s.one)
	r.into(&s.two)
	return r.err
}

func (s *Server) renameAt(flags uintptr) error {
	return do(sysRenameat2, atFdcwd, s.one.pointer(), atFdcwd, s.two.pointer(), flags)
}

// rename does not replace a file: in version 3 that is an error.
func (s *Server) rename(_ uint32, r *request) error {
	if err := s.both(r); err != nil {
		return err
	}
	err := s.renameAt(renameNoReplace)
	if err != syscall.EINVAL && err != syscall.ENOSYS {
		return err
	}
	// A file system that cannot refuse by itself, or a directory that would go into itself.
	if statAt(atFdcwd, s.two.pointer(), &s.stat, atSymlinkNofollow) == nil {
		return syscall.EEXIST
	}
	return s.renameAt(0)
}

func (s *Server) posixRename(_ uint32, r *request) error {
	if err := s.both(r); err != nil {
		return err
	}
	return s.renameAt(0)
}

func (s *Server) hardlink(_ uint32, r *request) error {
	if err := s.both(r); err != nil {
		return err
	}
	return do(syscall.SYS_LINKAT, atFdcwd, s.one.pointer(), atFdcwd, s.two.pointer(), 0)
}

// symlink takes the link's text first and its path second, the other way round than the draft: OpenSSH does so, and
// thus everybody.
func (s *Server) symlink(_ uint32, r *request) error {
	if err := s.both(r); err != nil {
		return err
	}
	return do(syscall.SYS_SYMLINKAT, s.one.pointer(), atFdcwd, s.two.pointer(), 0, 0)
}

func (s *Server) readlink(id uint32, r *request) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	text, err := s.linkText(s.one.pointer())
	if err != nil {
		return err
	}
	s.oneName(id, text)
	return nil
}

// linkText returns the text of a symbolic link, valid until the second path is used again.
func (s *Server) linkText(name uintptr) ([]byte, error) {
	n, err := readLink(atFdcwd, name, s.two[:])
	if err != nil {
		return nil, err
	}
	return s.two[:n], nil
}

// oneName answers with a path.
func (s *Server) oneName(id uint32, name []byte) {
	s.begin(fxpName, id, headerBytes+2*len(name))
	s.output = order.AppendUint32(s.output, 1)
	for range 2 {
		s.output = order.AppendUint32(s.output, uint32(len(name)))
		s.output = append(s.output, name...)
	}
	s.output = order.AppendUint32(s.output, 0) // No attributes.
	s.finish()
}

func (s *Server) realpath(id uint32, r *request) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	return s.answerReal(id)
}

// answerReal answers with the absolute path that the first path means.
func (s *Server) answerReal(id uint32) error {
	real, err := s.real()
	if err != nil {
		return err
	}
	s.oneName(id, real)
	return nil
}

// magicLink is the name by which the kernel tells, and opens, what a descriptor is.
func magicLink(fd int) *[32]byte {
	var name [32]byte
	copy(name[:], strconv.AppendInt([]byte("/proc/self/fd/"), int64(fd), 10))
	return &name
}

const maxLinks = 40

// real resolves the first path. As in OpenSSH its last part may be missing: clients ask for what they will make.
func (s *Server) real() ([]byte, error) {
	name := bytes.Clone(s.one[:bytes.IndexByte(s.one[:], 0)])
	if len(name) == 0 {
		name = []byte(".")
	}
	for range maxLinks {
		real, err := s.realOf(name)
		if err != syscall.ENOENT {
			return real, err
		}
		// All but the last part must be there.
		dir, base := split(name)
		if base == "" || base == "." || base == ".." {
			return nil, err
		}
		if err := s.one.set(name); err != nil {
			return nil, err
		}
		text, linkErr := s.linkText(s.one.pointer())
		if linkErr == nil && len(text) > 0 {
			// A link to what is not there.
			if text[0] == '/' {
				name = bytes.Clone(text)
			} else {
				name = append(append(bytes.Clone(dir), '/'), text...)
			}
			continue
		}
		parent, err := s.realOf(dir)
		if err != nil {
			return nil, err
		}
		if len(parent) > 1 {
			parent = append(parent, '/')
		}
		return append(parent, base...), nil
	}
	return nil, syscall.ELOOP
}

// realOf returns the canonical path of what exists.
func (s *Server) realOf(name []byte) ([]byte, error) {
	if err := s.one.set(name); err != nil {
		return nil, err
	}
	const oPath = 0x200000
	fd, err := openFile(&s.one, oPath, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = closeFD(fd) }()
	if err := s.one.set(bytes.TrimRight(magicLink(fd)[:], "\x00")); err != nil {
		return nil, err
	}
	text, err := s.linkText(s.one.pointer())
	return bytes.Clone(text), err
}

// split cuts a path into a directory and the last part.
func split(name []byte) (dir []byte, base string) {
	trimmed := bytes.TrimRight(name, "/")
	slash := bytes.LastIndexByte(trimmed, '/')
	switch {
	case slash < 0:
		return []byte("."), string(trimmed)
	case slash == 0:
		return []byte("/"), string(trimmed[1:])
	}
	return trimmed[:slash], string(trimmed[slash+1:])
}
