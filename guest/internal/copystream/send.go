package copystream

import (
	"context"
	"encoding/binary"
	"path"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

const (
	direntBytes = 64 << 10
	// maxLinks bounds the memory for recognising hard links; beyond it files are sent once for each name.
	maxLinks = 100_000
	// wholeBytes is the size up to which a file is read before it is announced.
	wholeBytes = 32 << 10
)

// fileID tells files apart.
type fileID struct{ dev, ino uint64 }

// sender produces one stream.
type sender struct {
	ctx    context.Context
	out    Output
	report Report
	links  map[fileID]string
	// record and names are reused for each entry.
	record []byte
	names  []byte
}

// Send sends files and directories, given by absolute paths. One that does not exist, or cannot be read itself, is an
// error; what cannot be read below a directory is skipped, with the reason in the stream and in the report.
func Send(ctx context.Context, paths []string, out Output) (*Report, error) {
	s := &sender{ctx: ctx, out: out, links: map[fileID]string{}, names: make([]byte, direntBytes)}
	for _, source := range paths {
		if err := s.source(source); err != nil {
			return nil, err
		}
	}
	s.record = appendRecordHeader(s.record[:0], kindEnd, 0)
	if _, err := s.out.Write(s.record); err != nil {
		return nil, err
	}
	s.out.Flush()
	return &s.report, nil
}

// source sends one of the sources under its own name. A slash at the end makes it follow a symbolic link.
func (s *sender) source(source string) error {
	name := path.Base(path.Clean(source))
	if name == "/" {
		name = "root"
	}
	target := path.Clean(source)
	flags := sys.AtSymlinkNofollow
	if strings.HasSuffix(source, "/") {
		target += "/."
		flags = 0
	}
	st, err := sys.StatAt(sys.AtFdcwd, target, flags)
	if err != nil {
		return errno.At(err, source)
	}
	dir, leaf := sys.AtFdcwd, append([]byte(target), 0)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		fd, err := sys.Openat(dir, target, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return errno.At(err, source)
		}
		return s.tree(fd, []byte(name))
	case syscall.S_IFREG:
		err = s.file(dir, leaf, []byte(name), false)
	case syscall.S_IFLNK:
		err = s.symlink(dir, target, []byte(name))
	default:
		return s.skip([]byte(name), "not a file, a directory or a symbolic link")
	}
	if _, refused := err.(syscall.Errno); refused {
		return errno.At(err, source)
	}
	return err
}

// directory is one that the sender is in.
type directory struct {
	fd   int
	path []byte
	// below are the directories in it, which follow its files.
	below []string
	// quick means that calls on its files need no scheduler, see isQuick.
	quick bool
}

// tree sends a directory and all below it, and closes fd.
func (s *sender) tree(fd int, name []byte) error {
	stack := make([]*directory, 0, 16)
	defer func() {
		for _, d := range stack {
			syscall.Close(d.fd)
		}
	}()
	first, err := s.enter(fd, name)
	if err != nil {
		return err
	}
	stack = append(stack, first)
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		if len(top.below) == 0 {
			syscall.Close(top.fd)
			stack = stack[:len(stack)-1]
			continue
		}
		child := top.below[0]
		top.below = top.below[1:]
		p := join(top.path, child)
		if len(p) > maxPathBytes {
			if err := s.skip(p, "the path is too long"); err != nil {
				return err
			}
			continue
		}
		fd, err := sys.Openat(top.fd, child, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			if err := s.skipFor(p, err); err != nil {
				return err
			}
			continue
		}
		d, err := s.enter(fd, p)
		if err != nil {
			return err
		}
		stack = append(stack, d)
	}
	return nil
}

func join(dir []byte, name string) []byte {
	p := make([]byte, 0, len(dir)+1+len(name))
	p = append(append(p, dir...), '/')
	return append(p, name...)
}

// enter sends a directory with what is in it, but for the directories, whose names it returns. On an error fd is
// closed.
func (s *sender) enter(fd int, p []byte) (*directory, error) {
	d := &directory{fd: fd, path: p, quick: isQuick(fd)}
	err := s.fill(d)
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return d, nil
}

func (s *sender) fill(d *directory) error {
	if s.ctx.Err() != nil {
		return errno.ErrCanceled
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(d.fd, &st); err != nil {
		return s.skipFor(d.path, err)
	}
	if err := s.entry(&entry{kind: typeDirectory, mode: st.Mode & 0o7777, mtime: mtimeOf(&st), path: d.path}); err != nil {
		return err
	}
	p := append(append(make([]byte, 0, len(d.path)+256), d.path...), '/')
	base := len(p)
	for more := true; more; {
		var err error
		more, err = sys.Entries(d.fd, s.names, func(name []byte, kind byte) error {
			p = append(p[:base], name...)
			if kind == syscall.DT_DIR {
				d.below = append(d.below, string(name))
				return nil
			}
			return s.child(d, name, kind, p)
		})
		if number, ok := err.(syscall.Errno); ok {
			return s.skip(d.path, "the directory cannot be read: "+number.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// child sends one entry of a directory that is no directory, as far as that is known. name is followed by a NUL.
func (s *sender) child(d *directory, name []byte, kind byte, p []byte) error {
	if len(p) > maxPathBytes {
		return s.skip(p, "the path is too long")
	}
	if kind == syscall.DT_UNKNOWN {
		st, err := sys.StatAt(d.fd, string(name), sys.AtSymlinkNofollow)
		if err != nil {
			return s.skipFor(p, err)
		}
		if kind = byte(st.Mode >> 12); kind == syscall.DT_DIR {
			d.below = append(d.below, string(name))
			return nil
		}
	}
	var err error
	switch kind {
	case syscall.DT_REG:
		err = s.file(d.fd, name, p, d.quick)
	case syscall.DT_LNK:
		err = s.symlink(d.fd, string(name), p)
	default:
		return s.skip(p, "not a file, a directory or a symbolic link")
	}
	if number, refused := err.(syscall.Errno); refused {
		return s.skipFor(p, number)
	}
	return err
}

func mtimeOf(st *syscall.Stat_t) int64 {
	sec, nsec := st.Mtim.Unix()
	return sec*1e3 + nsec/1e6
}

// entry sends an entry.
func (s *sender) entry(e *entry) error {
	s.record = appendEntry(s.record[:0], e)
	if _, err := s.out.Write(s.record); err != nil {
		return err
	}
	s.report.Entries++
	return nil
}

// symlink sends a symbolic link. A syscall.Errno means that nothing was sent.
func (s *sender) symlink(dir int, name string, p []byte) error {
	text, err := sys.Readlinkat(dir, name)
	if err != nil {
		return err
	}
	st, err := sys.StatAt(dir, name, sys.AtSymlinkNofollow)
	if err != nil {
		return err
	}
	mtime := st.Mtime.Sec*1e3 + int64(st.Mtime.Nsec)/1e6
	return s.entry(&entry{kind: typeSymlink, mode: 0o777, mtime: mtime, path: p, target: []byte(text)})
}

// file sends a file. A syscall.Errno means that nothing was sent; after that, errors are of another type. name is
// followed by a NUL. quick is that of its directory.
func (s *sender) file(dir int, name, p []byte, quick bool) error {
	const flags = syscall.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_NOCTTY
	open, stat, end := sys.OpenatBytes, syscall.Fstat, syscall.Close
	if quick {
		open, stat, end = sys.OpenatBytesNow, sys.FstatNow, sys.CloseNow
	}
	fd, err := open(dir, &name[0], flags)
	if err != nil {
		return err
	}
	defer end(fd)
	var st syscall.Stat_t
	if err := stat(fd, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return s.skip(p, "it changed while it was copied")
	}
	if st.Nlink > 1 {
		if known, ok := s.links[fileID{st.Dev, st.Ino}]; ok {
			return s.entry(&entry{kind: typeHardLink, mode: st.Mode & 0o7777, mtime: mtimeOf(&st), path: p, target: []byte(known)})
		}
		if len(s.links) < maxLinks {
			s.links[fileID{st.Dev, st.Ino}] = string(p)
		}
	}
	e := &entry{kind: typeFile, mode: st.Mode & 0o7777, mtime: mtimeOf(&st), size: uint64(st.Size), path: p}
	holes := st.Blocks*512 < st.Size
	if sent, err := s.whole(fd, e, quick); sent || err != nil {
		if err != nil {
			delete(s.links, fileID{st.Dev, st.Ino})
		}
		return err
	}
	if err := s.entry(e); err != nil {
		return err
	}
	if holes {
		err = s.sparse(fd, st.Size)
	} else {
		err = s.extent(fd, 0, st.Size)
	}
	if err != nil {
		return errno.At(err, "/"+string(p))
	}
	s.report.Bytes += st.Size
	s.record = appendRecordHeader(s.record[:0], kindEOF, 0)
	_, err = s.out.Write(s.record)
	return err
}

// whole sends a small file, entry and all, if it fits into one frame. It is read before anything is said of it, so that
// its size is right and a file that cannot be read is only skipped.
func (s *sender) whole(fd int, e *entry, quick bool) (sent bool, err error) {
	if e.size > wholeBytes {
		return false, nil
	}
	before := recordHeaderBytes + entryFixedBytes + len(e.path) + recordHeaderBytes
	need := before + int(e.size) + recordHeaderBytes
	space, err := s.out.Space()
	if err == nil && len(space) < need {
		s.out.Flush()
		space, err = s.out.Space()
	}
	if err != nil || len(space) < need {
		return false, err
	}
	n := 0
	for n < int(e.size) {
		part, err := readAt(fd, space[before+n:before+int(e.size)], int64(n), quick)
		if err != nil {
			return false, err
		}
		if part == 0 {
			break
		}
		n += part
	}
	e.size = uint64(n)
	out := appendEntry(space[:0], e)
	if n > 0 {
		out = appendRecordHeader(out, kindData, n)
		out = out[:len(out)+n]
	}
	out = appendRecordHeader(out, kindEOF, 0)
	s.out.Commit(len(out))
	s.report.Entries++
	s.report.Bytes += int64(n)
	return true, nil
}

func readAt(fd int, b []byte, at int64, quick bool) (n int, err error) {
	if quick {
		return sys.PreadNow(fd, b, at)
	}
	err = sys.Again(func() (err error) {
		n, err = syscall.Pread(fd, b, at)
		return err
	})
	return n, err
}

// sparse sends the content of a file with its holes.
func (s *sender) sparse(fd int, size int64) error {
	for at := int64(0); at < size; {
		data, err := syscall.Seek(fd, at, sys.SeekData)
		switch {
		case err == syscall.ENXIO:
			data = size
		case err != nil:
			return s.extent(fd, at, size) // The file system knows nothing of holes.
		}
		data = min(data, size)
		if err := s.hole(data - at); err != nil {
			return err
		}
		if data == size {
			return nil
		}
		end, err := syscall.Seek(fd, data, sys.SeekHole)
		if err != nil {
			end = size
		}
		if at = min(end, size); at <= data {
			at = size
		}
		if err := s.extent(fd, data, at); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) hole(length int64) error {
	if length == 0 {
		return nil
	}
	s.record = appendRecordHeader(s.record[:0], kindHole, 8)
	s.record = binary.LittleEndian.AppendUint64(s.record, uint64(length))
	_, err := s.out.Write(s.record)
	return err
}

// extent sends the content between two positions. Where the file has become shorter, it sends zeros.
func (s *sender) extent(fd int, from, to int64) error {
	for from < to {
		length := min(to-from, maxRecordBytes)
		s.record = appendRecordHeader(s.record[:0], kindData, int(length))
		if _, err := s.out.Write(s.record); err != nil {
			return err
		}
		complete, err := s.content(fd, from, from+length)
		if err != nil {
			return err
		}
		from += length
		if !complete {
			return s.hole(to - from)
		}
	}
	return nil
}

// content sends the bytes of one data record, and reports whether the file had them all.
func (s *sender) content(fd int, from, to int64) (complete bool, err error) {
	complete = true
	for from < to {
		space, err := s.out.Space()
		if err != nil {
			return complete, err
		}
		space = space[:min(int64(len(space)), to-from)]
		n := 0
		if complete {
			err = sys.Again(func() (err error) {
				n, err = syscall.Pread(fd, space, from)
				return err
			})
			if err != nil {
				return false, err
			}
			complete = n > 0
		}
		if !complete {
			clear(space)
			n = len(space)
		}
		s.out.Commit(n)
		from += int64(n)
	}
	return complete, nil
}

func (s *sender) skipFor(p []byte, err error) error {
	if err == syscall.ENOENT {
		return nil // Removed while it was copied: as if it had been earlier.
	}
	return s.skip(p, errno.From(err).Message)
}

func (s *sender) skip(p []byte, reason string) error {
	s.report.skip(string(p), reason)
	p = p[:min(len(p), maxPathBytes)]
	s.record = appendRecordHeader(s.record[:0], kindSkipped, 2+len(p)+len(reason))
	s.record = binary.LittleEndian.AppendUint16(s.record, uint16(len(p)))
	s.record = append(append(s.record, p...), reason...)
	_, err := s.out.Write(s.record)
	return err
}
