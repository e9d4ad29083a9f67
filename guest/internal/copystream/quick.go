package copystream

import (
	"slices"
	"syscall"
)

// Magic numbers of struct statfs (linux/magic.h).
const (
	ext4Magic  = 0xef53
	tmpfsMagic = 0x01021994
)

// quickTypes are the file systems that the kernel alone answers for.
var quickTypes = []int64{ext4Magic, tmpfsMagic}

// quickBytes is the size up to which a file's content is written by a call that the scheduler is not told of.
const quickBytes = 64 << 10

// isQuick reports whether calls on the files of a directory only ever wait for the machine itself, so that the
// scheduler need not be told of them (sys.OpenatNow). On a file system that a process answers for, such as FUSE, they
// may wait for ever, and with them everything that the agent does.
func isQuick(dir int) bool {
	var st syscall.Statfs_t
	return syscall.Fstatfs(dir, &st) == nil && slices.Contains(quickTypes, int64(st.Type))
}
