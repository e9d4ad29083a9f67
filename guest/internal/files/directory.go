package files

import (
	"context"
	"path"
	"syscall"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/sys"
)

const (
	// MaxEntries is the most that one directory may have to be read in one call.
	MaxEntries = 100_000
	// direntBytes is the buffer for reading directories.
	direntBytes = 32 << 10
	// maxLinks bounds how many symbolic links to directories one path of a walk may lead through.
	maxLinks = 40
)

// Entry is one name in a directory.
type Entry struct{ Name, Type string }

// ReadDir returns the entries of a directory in the order that the file system has them.
func ReadDir(p string, limit int) ([]Entry, error) {
	fd, err := sys.Openat(sys.AtFdcwd, p, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errno.At(err, p)
	}
	defer syscall.Close(fd)
	var out []Entry
	buf := make([]byte, direntBytes)
	for more := true; more; {
		more, err = sys.Entries(fd, buf, func(name []byte, kind byte) error {
			if len(out) >= limit {
				return errno.New("EOVERFLOW", "the directory has more than "+itoa(limit)+" entries")
			}
			e := Entry{Name: string(name), Type: typeOfEntry(kind)}
			if e.Type == "" {
				st, err := sys.StatAt(fd, e.Name, sys.AtSymlinkNofollow)
				if err != nil {
					return nil // Removed meanwhile.
				}
				e.Type = TypeOf(uint32(st.Mode))
			}
			out = append(out, e)
			return nil
		})
		if err != nil {
			return nil, errno.At(err, p)
		}
	}
	return out, nil
}

// EntriesJSON returns a directory in the form in which the host gets it.
func EntriesJSON(entries []Entry) []byte {
	out := append(make([]byte, 0, 64*len(entries)+2), '[')
	for i, e := range entries {
		if i > 0 {
			out = append(out, ',')
		}
		o := jsonlite.NewObject(out)
		o.String("name", e.Name)
		o.String("type", e.Type)
		out = o.Close()
	}
	return append(out, ']')
}

// Walk visits a tree in depth-first order, the root first.
type Walk struct {
	Identity *accounts.Identity
	// MaxDepth is how far below the root it goes; negative for no limit.
	MaxDepth int
	// Follow enters directories behind symbolic links; Canonicalize then reports them by their real paths.
	Follow, Canonicalize bool
	// Emit gets each entry as a line of JSON. The slice is valid during the call.
	Emit func(line []byte) error

	line []byte
}

// level is a directory that the walk is in.
type level struct {
	path    string
	entries []Entry
	// file tells directories apart that are entered through different links.
	file fileID
	// links counts the symbolic links that led here.
	links int
}

type fileID struct{ dev, ino uint64 }

// Run visits root and all below. What disappears meanwhile is left out; a directory that cannot be read is an error.
func (w *Walk) Run(ctx context.Context, root string) error {
	root = path.Clean(root)
	var st Stat
	err := w.Identity.Do(func() (err error) {
		st, err = StatPath(root, true)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.emit(root, path.Base(root), TypeOf(uint32(st.Mode)), 0); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR || w.MaxDepth == 0 {
		return nil
	}
	first, err := w.enter(root, 0)
	if err != nil {
		return err
	}
	stack := []*level{first}
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		top := stack[len(stack)-1]
		if len(top.entries) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		e := top.entries[0]
		top.entries = top.entries[1:]
		below, err := w.visit(stack, e)
		if err != nil {
			return err
		}
		if below != nil {
			stack = append(stack, below)
		}
	}
	return nil
}

// visit reports an entry and returns the directory to go on with, if it is one.
func (w *Walk) visit(stack []*level, e Entry) (*level, error) {
	top := stack[len(stack)-1]
	p := path.Join(top.path, e.Name)
	depth := len(stack)
	links := top.links
	if e.Type == "symlink" && w.Follow {
		if real, ok := w.behind(p); ok && links < maxLinks {
			links++
			e.Type = "dir"
			if w.Canonicalize {
				p = real
				e.Name = path.Base(real)
			}
		}
	}
	if err := w.emit(p, e.Name, e.Type, depth); err != nil {
		return nil, err
	}
	if e.Type != "dir" || w.MaxDepth >= 0 && depth >= w.MaxDepth {
		return nil, nil
	}
	below, err := w.enter(p, links)
	if err != nil {
		if code := errno.From(err).Code; code == "ENOENT" || code == "ENOTDIR" {
			return nil, nil // Removed meanwhile.
		}
		return nil, err
	}
	for _, above := range stack {
		if w.Follow && above.file == below.file {
			return nil, nil // A link back to where the walk has come from.
		}
	}
	return below, nil
}

// behind returns the real path of a directory that a symbolic link leads to.
func (w *Walk) behind(p string) (real string, ok bool) {
	err := w.Identity.Do(func() error {
		st, err := StatPath(p, true)
		if err != nil {
			return err
		}
		if st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			return syscall.ENOTDIR
		}
		real, err = RealPath(p)
		return err
	})
	return real, err == nil
}

func (w *Walk) enter(p string, links int) (*level, error) {
	l := &level{path: p, links: links}
	err := w.Identity.Do(func() (err error) {
		if w.Follow {
			st, err := StatPath(p, true)
			if err != nil {
				return err
			}
			l.file = fileID{device(st.DevMajor, st.DevMinor), st.Ino}
		}
		l.entries, err = ReadDir(p, 1<<30)
		return err
	})
	return l, err
}

func (w *Walk) emit(p, name, kind string, depth int) error {
	o := jsonlite.NewObject(w.line[:0])
	o.String("path", p)
	o.String("name", name)
	o.String("type", kind)
	o.Int("depth", int64(depth))
	w.line = append(o.Close(), '\n')
	return w.Emit(w.line)
}
