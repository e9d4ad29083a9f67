package sftp

import (
	"bytes"
	"syscall"
	"time"
	"unsafe"
)

const (
	// entryBytes is how much of a directory is read at a time. What comes of it fits into the smallest packet that a
	// client may insist on, of 128 KiB, whatever the names: in the answer a file takes less than ten times its entry.
	entryBytes = 8 << 10
	// maxOwnerBytes cuts the name of an owner, who may call himself anything.
	maxOwnerBytes = 32
)

func (s *Server) opendir(id uint32, r *request) error {
	r.into(&s.one)
	if r.err != nil {
		return r.err
	}
	if s.handles.full() {
		return errHandles
	}
	fd, err := openFile(&s.one, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	s.names.refresh()
	s.opened(id, fd)
	return nil
}

func (s *Server) readdir(id uint32, r *request) error {
	h := r.handle(&s.handles)
	if r.err != nil {
		return r.err
	}
	if h.entries == nil {
		h.entries = make([]byte, entryBytes)
	}
	for {
		n, err := readEntries(h.fd, h.entries)
		if err != nil {
			return err
		}
		if n == 0 {
			return errEOF
		}
		if s.list(id, h, h.entries[:n]) > 0 {
			return nil
		}
	}
}

// list answers with the files of directory entries and returns their number. Without any it answers nothing.
func (s *Server) list(id uint32, h *handle, entries []byte) uint32 {
	s.begin(fxpName, id, maxPacketBytes)
	at, count := len(s.output), uint32(0)
	s.output = order.AppendUint32(s.output, 0)
	now := time.Now()
	for len(entries) > 0 {
		// struct linux_dirent64: inode, offset, u16 length in the machine's order, u8 type, name with a NUL.
		length := int(entries[16]) | int(entries[17])<<8
		name := entries[19:length]
		entries = entries[length:]
		if statAt(uintptr(h.fd), uintptr(unsafe.Pointer(&name[0])), &s.stat, atSymlinkNofollow) != nil {
			continue // It has gone meanwhile.
		}
		name = name[:bytes.IndexByte(name, 0)]
		s.output = order.AppendUint32(s.output, uint32(len(name)))
		s.output = append(s.output, name...)
		long := len(s.output)
		s.output = s.appendLong(append(s.output, 0, 0, 0, 0), name, now)
		order.PutUint32(s.output[long:], uint32(len(s.output)-long-4))
		s.appendAttributes(&s.stat)
		count++
	}
	if count == 0 {
		s.output = s.output[:s.start]
		return 0
	}
	order.PutUint32(s.output[at:], count)
	s.finish()
	return count
}

// appendLong writes what `ls -l` says of a file.
func (s *Server) appendLong(b, name []byte, now time.Time) []byte {
	b = appendMode(b, s.stat.Mode)
	b = append(b, ' ')
	b = appendNumber(b, uint64(s.stat.Nlink), 4)
	b = append(b, ' ')
	b = appendOwner(b, s.names.user(s.stat.Uid), s.stat.Uid)
	b = append(b, ' ')
	b = appendOwner(b, s.names.group(s.stat.Gid), s.stat.Gid)
	b = append(b, ' ')
	b = appendNumber(b, uint64(s.stat.Size), 8)
	b = append(b, ' ')
	b = appendTime(b, time.Unix(s.stat.Mtim.Sec, 0), now)
	b = append(b, ' ')
	return append(b, name...)
}

// appendMode writes the type and the permissions as ls does.
func appendMode(b []byte, mode uint32) []byte {
	kind := byte('?')
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		kind = '-'
	case syscall.S_IFDIR:
		kind = 'd'
	case syscall.S_IFLNK:
		kind = 'l'
	case syscall.S_IFBLK:
		kind = 'b'
	case syscall.S_IFCHR:
		kind = 'c'
	case syscall.S_IFIFO:
		kind = 'p'
	case syscall.S_IFSOCK:
		kind = 's'
	}
	b = append(b, kind)
	for i, c := range []byte("rwxrwxrwx") {
		if mode&(0o400>>i) == 0 {
			c = '-'
		}
		b = append(b, c)
	}
	permissions := b[len(b)-9:]
	for i, special := range []struct {
		bit         uint32
		with, alone byte
	}{{syscall.S_ISUID, 's', 'S'}, {syscall.S_ISGID, 's', 'S'}, {syscall.S_ISVTX, 't', 'T'}} {
		if mode&special.bit == 0 {
			continue
		}
		if x := &permissions[3*i+2]; *x == 'x' {
			*x = special.with
		} else {
			*x = special.alone
		}
	}
	return b
}

// appendNumber writes a number, behind blanks if it is short.
func appendNumber(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	at := len(digits)
	for ok := true; ok; ok = n > 0 {
		at--
		digits[at] = byte('0' + n%10)
		n /= 10
	}
	for blanks := width - (len(digits) - at); blanks > 0; blanks-- {
		b = append(b, ' ')
	}
	return append(b, digits[at:]...)
}

// appendOwner writes a name, or the number where there is none, and blanks behind it if it is short.
func appendOwner(b []byte, name string, id uint32) []byte {
	start := len(b)
	if name == "" {
		b = appendNumber(b, uint64(id), 0)
	} else {
		b = append(b, name[:min(len(name), maxOwnerBytes)]...)
	}
	for len(b)-start < 8 {
		b = append(b, ' ')
	}
	return b
}

// halfYear is how old a file is whose year is told instead of its hour.
const halfYear = 365 * 24 * time.Hour / 2

func appendTime(b []byte, t, now time.Time) []byte {
	if age := now.Sub(t); age > halfYear || age < 0 {
		return t.AppendFormat(b, "Jan _2  2006")
	}
	return t.AppendFormat(b, "Jan _2 15:04")
}
