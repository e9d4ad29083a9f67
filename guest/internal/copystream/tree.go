package copystream

import (
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// folder is an open directory below the destination.
type folder struct {
	fd    int
	users int
	// made means that the copy made it, and gives it mode and mtime when it is complete.
	made  bool
	mode  uint32
	mtime int64
	owned bool
	// quick means that calls on its files need no scheduler, see isQuick.
	quick bool
}

func (d *folder) keep() { d.users++ }

// release completes the directory when nobody uses it any more.
func (d *folder) release() {
	if d.users--; d.users > 0 || !d.owned {
		return
	}
	if d.made {
		if syscall.Fchmod(d.fd, d.mode) != nil {
			_ = syscall.Fchmod(d.fd, d.mode&0o777)
		}
		mtime := d.mtime * 1e6
		_ = sys.SetTimes(d.fd, "", nil, &mtime, 0)
	}
	syscall.Close(d.fd)
}

// tree is the chain of directories from the destination down to where the stream is. Each was opened relative to the
// one above, never through a symbolic link.
type tree struct {
	base int
	// baseQuick is quick for the destination.
	baseQuick bool
	// path is the path of the last one, ends are the lengths of the paths of all.
	path []byte
	ends []int
	dirs []*folder
}

// popTo leaves all but n directories.
func (t *tree) popTo(n int) {
	for len(t.dirs) > n {
		last := len(t.dirs) - 1
		t.dirs[last].release()
		t.dirs = t.dirs[:last]
		t.ends = t.ends[:last]
	}
	t.path = t.path[:t.end()]
}

// end returns the length of the path of the innermost directory.
func (t *tree) end() int {
	if len(t.ends) == 0 {
		return 0
	}
	return t.ends[len(t.ends)-1]
}

func (t *tree) top() *folder {
	if len(t.dirs) == 0 {
		return &folder{fd: t.base, quick: t.baseQuick}
	}
	return t.dirs[len(t.dirs)-1]
}

// parentOf opens the directory of an entry and returns it with the entry's name.
func (t *tree) parentOf(p []byte) (*folder, string, error) {
	slash := len(p) - 1
	for slash >= 0 && p[slash] != '/' {
		slash--
	}
	name := string(p[slash+1:])
	parent := p[:max(slash, 0)]
	if string(parent) == string(t.path) {
		return t.top(), name, nil
	}
	t.popTo(t.common(parent))
	for rest := parent[len(t.path):]; len(rest) > 0; {
		if rest[0] == '/' {
			rest = rest[1:]
		}
		component, after := cutFirst(rest)
		fd, err := openFolder(t.top().fd, string(component), sys.OPath)
		if err != nil {
			return nil, "", err
		}
		t.add(&folder{fd: fd, owned: true}, component)
		rest = after
	}
	return t.top(), name, nil
}

// common returns how many of the directories are above or equal to a path.
func (t *tree) common(parent []byte) int {
	n := 0
	for _, end := range t.ends {
		if len(parent) < end || string(parent[:end]) != string(t.path[:end]) || len(parent) > end && parent[end] != '/' {
			break
		}
		n++
	}
	return n
}

func (t *tree) add(d *folder, name []byte) {
	d.users = 1
	d.quick = isQuick(d.fd)
	if len(t.path) > 0 {
		t.path = append(t.path, '/')
	}
	t.path = append(t.path, name...)
	t.ends = append(t.ends, len(t.path))
	t.dirs = append(t.dirs, d)
}

// openFolder opens a directory that is one, not a link to one.
func openFolder(dir int, name string, flags int) (int, error) {
	fd, err := sys.Openat(dir, name, flags|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err == syscall.ENOTDIR || err == syscall.ELOOP {
		// Both mean that something else is in the way; the kernel's words for a link would mislead.
		return -1, errno.New("ENOTDIR", "something that is not a directory is in the way")
	}
	return fd, err
}

// push makes a directory, or enters one that is there, and goes on in it.
func (t *tree) push(parent *folder, name string, e *entry) error {
	// Until it is complete the user needs all rights in it.
	err := sys.Mkdirat(parent.fd, name, e.mode&0o777|0o700)
	d := &folder{made: err == nil, mode: e.mode, mtime: e.mtime, owned: true}
	if err != nil && err != syscall.EEXIST {
		return err
	}
	flags := syscall.O_RDONLY
	if !d.made {
		flags = sys.OPath
	}
	if d.fd, err = openFolder(parent.fd, name, flags); err != nil {
		return err
	}
	t.add(d, []byte(name))
	return nil
}
