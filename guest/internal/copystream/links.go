package copystream

import (
	"syscall"

	"sbx.dev/agent/internal/sys"
)

// makeSymlink makes a symbolic link, in place of a file or link that is there.
func makeSymlink(dir *folder, name string, e *entry) error {
	at := name
	err := sys.Symlinkat(string(e.target), dir.fd, name)
	if err == syscall.EEXIST {
		if at, err = temporaryName(); err == nil {
			err = sys.Symlinkat(string(e.target), dir.fd, at)
		}
	}
	if err != nil {
		return err
	}
	mtime := e.mtime * 1e6
	_ = sys.SetTimes(dir.fd, at, nil, &mtime, sys.AtSymlinkNofollow)
	return takeName(dir.fd, at, name)
}

// takeName moves a new link to the name it is for.
func takeName(dir int, temporary, name string) error {
	if temporary == name {
		return nil
	}
	err := sys.Renameat(dir, temporary, dir, name)
	// Still there after a failure, and after renaming one link of a file to another one.
	_ = sys.Unlinkat(dir, temporary)
	return err
}

// hardLink makes another name for a file that came earlier.
func (r *receiver) hardLink(dir *folder, name string, e *entry) error {
	var earlier tree
	earlier.base, earlier.baseQuick = r.base, r.dirs.baseQuick
	defer earlier.popTo(0)
	old, oldName, err := earlier.parentOf(e.target)
	if err != nil {
		return err
	}
	at := name
	err = sys.Linkat(old.fd, oldName, dir.fd, name, 0)
	if err == syscall.EEXIST {
		if at, err = temporaryName(); err == nil {
			err = sys.Linkat(old.fd, oldName, dir.fd, at, 0)
		}
	}
	if err != nil {
		return err
	}
	return takeName(dir.fd, at, name)
}
