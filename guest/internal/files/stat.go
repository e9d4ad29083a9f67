package files

import (
	"strconv"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/sys"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Stat is what is known of a file.
type Stat struct{ sys.Statx }

// StatPath asks for a file, following a symbolic link if follow is set.
func StatPath(p string, follow bool) (Stat, error) {
	flags := 0
	if !follow {
		flags = sys.AtSymlinkNofollow
	}
	st, err := sys.StatAt(sys.AtFdcwd, p, flags)
	return Stat{st}, errno.At(err, p)
}

// StatFD asks for an open file.
func StatFD(fd int) (Stat, error) {
	st, err := sys.StatAt(fd, "", sys.AtEmptyPath)
	if err != nil {
		return Stat{}, errno.From(err)
	}
	return Stat{st}, nil
}

// TypeOf names the type in a mode.
func TypeOf(mode uint32) string {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return "dir"
	case syscall.S_IFLNK:
		return "symlink"
	case syscall.S_IFBLK:
		return "block"
	case syscall.S_IFCHR:
		return "char"
	case syscall.S_IFIFO:
		return "fifo"
	case syscall.S_IFSOCK:
		return "socket"
	}
	return "file"
}

// typeOfEntry names the type in a directory entry, empty if the file system does not tell.
func typeOfEntry(kind byte) string {
	// The DT_* numbers are those of S_IF*, shifted.
	if kind == 0 {
		return ""
	}
	return TypeOf(uint32(kind) << 12)
}

// JSON returns the form in which the host gets it.
func (s *Stat) JSON() []byte {
	o := jsonlite.NewObject(make([]byte, 0, 320))
	o.String("type", TypeOf(uint32(s.Mode)))
	o.Int("size", int64(s.Size))
	o.Int("mode", int64(s.Mode))
	o.Int("dev", int64(device(s.DevMajor, s.DevMinor)))
	o.Int("ino", int64(s.Ino))
	o.Int("nlink", int64(s.Nlink))
	o.Int("uid", int64(s.UID))
	o.Int("gid", int64(s.GID))
	o.Int("rdev", int64(device(s.RdevMajor, s.RdevMinor)))
	o.Int("blksize", int64(s.Blksize))
	o.Int("blocks", int64(s.Blocks))
	birth := s.Btime
	if s.Mask&sys.StatxBtime == 0 {
		birth = s.Ctime
	}
	o.Float("atime", milliseconds(s.Atime))
	o.Float("mtime", milliseconds(s.Mtime))
	o.Float("ctime", milliseconds(s.Ctime))
	o.Float("birthtime", milliseconds(birth))
	return o.Close()
}

func milliseconds(t sys.StatxTime) float64 {
	// Divided as whole microseconds, the finest that a double still holds for times of this century.
	return float64(t.Sec)*1e3 + float64(t.Nsec/1e3)/1e3
}

// device joins a device number as makedev(3) does.
func device(major, minor uint32) uint64 {
	a, i := uint64(major), uint64(minor)
	return i&0xff | a&0xfff<<8 | i&^0xff<<12 | a&^0xfff<<32
}
