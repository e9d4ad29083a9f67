package sftp

import (
	"syscall"
	"unsafe"
)

// Which attributes there are.
const (
	attrSize        = 0x1
	attrOwner       = 0x2
	attrPermissions = 0x4
	attrTimes       = 0x8
	attrExtended    = 0x80000000
)

// attributes are what a client wants of a file.
type attributes struct {
	flags        uint32
	size         int64
	uid, gid     uint32
	mode         uint32
	atime, mtime uint32
}

func (r *request) attributes() (a attributes) {
	a.flags = r.u32()
	if a.flags&attrSize != 0 {
		a.size = r.position()
	}
	if a.flags&attrOwner != 0 {
		a.uid, a.gid = r.u32(), r.u32()
	}
	if a.flags&attrPermissions != 0 {
		a.mode = r.u32() & 0o7777
	}
	if a.flags&attrTimes != 0 {
		a.atime, a.mtime = r.u32(), r.u32()
	}
	if a.flags&attrExtended != 0 {
		// Nobody knows any; each takes eight bytes at least, which bounds the loop.
		for count := r.u32(); count > 0 && r.err == nil; count-- {
			r.bytes()
			r.bytes()
		}
	}
	return a
}

// modeOr returns the permissions, or those that a new file has anyway.
func (a *attributes) modeOr(otherwise uint32) uint32 {
	if a.flags&attrPermissions != 0 {
		return a.mode
	}
	return otherwise
}

const attributeBytes = 4 + 8 + 4 + 4 + 4 + 4 + 4

// seconds32 fits a time into what version 3 has for it.
func seconds32(sec int64) uint32 { return uint32(min(max(sec, 0), 1<<32-1)) }

func (s *Server) appendAttributes(st *stat) {
	s.output = order.AppendUint32(s.output, attrSize|attrOwner|attrPermissions|attrTimes)
	s.output = order.AppendUint64(s.output, uint64(st.Size))
	s.output = order.AppendUint32(s.output, st.Uid)
	s.output = order.AppendUint32(s.output, st.Gid)
	s.output = order.AppendUint32(s.output, st.Mode)
	s.output = order.AppendUint32(s.output, seconds32(st.Atim.Sec))
	s.output = order.AppendUint32(s.output, seconds32(st.Mtim.Sec))
}

func (s *Server) attributes(id uint32) {
	s.begin(fxpAttrs, id, headerBytes)
	s.appendAttributes(&s.stat)
	s.finish()
}

func (s *Server) statPath(id uint32, r *request, flags uintptr) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	if err := statAt(atFdcwd, s.one.pointer(), &s.stat, flags); err != nil {
		return err
	}
	s.attributes(id)
	return nil
}

func (s *Server) followStat(id uint32, r *request) error { return s.statPath(id, r, 0) }

func (s *Server) lstat(id uint32, r *request) error { return s.statPath(id, r, atSymlinkNofollow) }

func (s *Server) fstat(id uint32, r *request) error {
	h := r.handle(&s.handles)
	if r.err != nil {
		return r.err
	}
	if err := fstat(h.fd, &s.stat); err != nil {
		return err
	}
	s.attributes(id)
	return nil
}

// change changes what a asks for by the calls that the kernel has for a path, a link or a descriptor. It goes on after
// a failure, as OpenSSH does, and returns the first. The owner comes before the permissions, since a new owner takes
// set-id bits away, and the times after everything that sets them.
func change(a *attributes, size, owner, mode, times func() error) (first error) {
	for _, part := range []struct {
		flag uint32
		set  func() error
	}{{attrSize, size}, {attrOwner, owner}, {attrPermissions, mode}, {attrTimes, times}} {
		if a.flags&part.flag == 0 {
			continue
		}
		if err := part.set(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (s *Server) setstat(_ uint32, r *request) error {
	r.into(&s.one)
	a := r.attributes()
	if r.err != nil {
		return r.err
	}
	p := s.one.pointer()
	return change(&a,
		func() error { return do(syscall.SYS_TRUNCATE, p, uintptr(a.size), 0, 0, 0) },
		func() error { return do(syscall.SYS_FCHOWNAT, atFdcwd, p, uintptr(a.uid), uintptr(a.gid), 0) },
		func() error { return do(syscall.SYS_FCHMODAT, atFdcwd, p, uintptr(a.mode), 0, 0) },
		func() error { return setTimes(atFdcwd, p, a.atime, a.mtime, 0) })
}

func (s *Server) fsetstat(_ uint32, r *request) error {
	h := r.handle(&s.handles)
	a := r.attributes()
	if r.err != nil {
		return r.err
	}
	fd := uintptr(h.fd)
	return change(&a,
		func() error { return do(syscall.SYS_FTRUNCATE, fd, uintptr(a.size), 0, 0, 0) },
		func() error { return do(syscall.SYS_FCHOWN, fd, uintptr(a.uid), uintptr(a.gid), 0, 0) },
		func() error { return do(syscall.SYS_FCHMOD, fd, uintptr(a.mode), 0, 0, 0) },
		func() error { return setTimes(fd, 0, a.atime, a.mtime, 0) })
}

// lsetstat changes a symbolic link itself where the kernel can.
func (s *Server) lsetstat(_ uint32, r *request) error {
	r.into(&s.one)
	a := r.attributes()
	if r.err != nil {
		return r.err
	}
	if a.flags&attrSize != 0 {
		return errBadMessage // What would the size of a link be?
	}
	p := s.one.pointer()
	return change(&a, nil,
		func() error {
			return do(syscall.SYS_FCHOWNAT, atFdcwd, p, uintptr(a.uid), uintptr(a.gid), atSymlinkNofollow)
		},
		func() error { return s.chmodItself(a.mode) },
		func() error { return setTimes(atFdcwd, p, a.atime, a.mtime, atSymlinkNofollow) })
}

// chmodItself sets the permissions of the file at the first path unless it is a symbolic link, which has none.
func (s *Server) chmodItself(mode uint32) error {
	const oPath = 0x200000
	fd, err := openFile(&s.one, oPath|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = closeFD(fd) }()
	if err := fstat(fd, &s.stat); err != nil {
		return err
	}
	if s.stat.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		return errUnsupported
	}
	self := magicLink(fd)
	return do(syscall.SYS_FCHMODAT, atFdcwd, uintptr(unsafe.Pointer(&self[0])), uintptr(mode), 0, 0)
}
