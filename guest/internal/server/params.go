package server

import (
	"math"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
)

// fileParams are the parameters of all calls on files; each call uses its own.
type fileParams struct {
	path, from, to, target    string
	user                      string
	dir, prefix, suffix, data string
	offset                    string
	recursive, directory      bool
	follow, canonicalize      bool
	exclusive, dataOnly       bool
	open                      files.OpenOptions
	// mode is -1 if the host leaves it to the default.
	mode, mask, uid, gid int64
	maxDepth             int64
	length, handle       int64
	whence               int
	stream               uint32
	// Times in nanoseconds since the epoch.
	atime, mtime int64
}

// numberOrNull reads a number, or null as -1.
func numberOrNull(r *jsonlite.Reader, high int64) int64 {
	if r.Null() {
		return -1
	}
	return r.Int(0, high)
}

// timestamp reads milliseconds, with fractions, as nanoseconds.
func timestamp(r *jsonlite.Reader) int64 {
	ms := r.Float()
	if math.Abs(ms) > 9e12 {
		r.Fail(errno.New("EINVAL", "a time is out of range"))
		return 0
	}
	// Separately, as the product would lose what a double has no room for.
	whole := math.Floor(ms)
	return int64(whole)*1e6 + int64(math.Round((ms-whole)*1e6))
}

func readFileParams(r *jsonlite.Reader) (*fileParams, error) {
	p := &fileParams{mode: -1, mask: -1, uid: -1, gid: -1, maxDepth: -1}
	r.Object(func(key string) {
		if !p.readText(r, key) && !p.readFlag(r, key) {
			p.readNumber(r, key)
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	for _, path := range []string{p.path, p.from, p.to, p.dir} {
		if path != "" {
			if err := files.CheckPath(path); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *fileParams) readText(r *jsonlite.Reader, key string) bool {
	var to *string
	switch key {
	case "path":
		to = &p.path
	case "from":
		to = &p.from
	case "to":
		to = &p.to
	case "target":
		to = &p.target
	case "user":
		to = &p.user
	case "dir":
		to = &p.dir
	case "prefix":
		to = &p.prefix
	case "suffix":
		to = &p.suffix
	case "data":
		to = &p.data
	case "offset":
		to = &p.offset
	default:
		return false
	}
	if !r.Null() {
		*to = r.String()
	}
	return true
}

func (p *fileParams) readFlag(r *jsonlite.Reader, key string) bool {
	var to *bool
	switch key {
	case "recursive":
		to = &p.recursive
	case "directory":
		to = &p.directory
	case "follow":
		to = &p.follow
	case "canonicalize":
		to = &p.canonicalize
	case "exclusive":
		to = &p.exclusive
	case "dataOnly":
		to = &p.dataOnly
	case "read":
		to = &p.open.Read
	case "write":
		to = &p.open.Write
	case "append":
		to = &p.open.Append
	case "truncate":
		to = &p.open.Truncate
	case "create":
		to = &p.open.Create
	case "createNew":
		to = &p.open.CreateNew
	default:
		return false
	}
	if !r.Null() {
		*to = r.Bool()
	}
	return true
}

func (p *fileParams) readNumber(r *jsonlite.Reader, key string) {
	const maxFileBytes = 1 << 53
	switch key {
	case "mode":
		// Hosts may send a whole st_mode; the type is of no use here.
		if p.mode = numberOrNull(r, 1<<32-1); p.mode > 0 {
			p.mode &= 0o7777
		}
	case "mask":
		p.mask = numberOrNull(r, 0o777)
	case "uid":
		p.uid = numberOrNull(r, 1<<32-2)
	case "gid":
		p.gid = numberOrNull(r, 1<<32-2)
	case "maxDepth":
		p.maxDepth = numberOrNull(r, maxFileBytes)
	case "length":
		p.length = r.Int(0, maxFileBytes)
	case "handle":
		p.handle = r.Int(0, maxFileBytes)
	case "whence":
		p.whence = int(r.Int(0, 2))
	case "stream":
		p.stream = streamID(r)
	case "atime":
		p.atime = timestamp(r)
	case "mtime":
		p.mtime = timestamp(r)
	}
}

// modeOr returns the mode, or the default if there is none.
func (p *fileParams) modeOr(otherwise uint32) uint32 {
	if p.mode < 0 {
		return otherwise
	}
	return uint32(p.mode)
}
