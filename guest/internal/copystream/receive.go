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

// receiver writes one stream below a destination.
type receiver struct {
	ctx    context.Context
	src    source
	mask   uint32
	report Report

	// base is the directory that everything lands in, baseName its path for messages.
	base     int
	basePath string
	// rename is the name that the single source gets, empty if sources keep theirs; only its first component is known
	// to the host.
	rename string
	first  string

	dirs tree
	file incoming
}

// Receive writes what a stream holds. If destination is a directory, or directory is set, sources land in it under
// their own names; otherwise the only source gets the name destination. What cannot be written below a source is
// skipped; that a source cannot be written at all, or that the disk is full, is an error.
func Receive(ctx context.Context, destination string, directory bool, mask uint32, in Input) (*Report, error) {
	r := &receiver{ctx: ctx, src: source{in: in}, mask: mask}
	if err := r.open(destination, directory); err != nil {
		return nil, err
	}
	defer syscall.Close(r.base)
	r.dirs.base, r.dirs.baseQuick = r.base, isQuick(r.base)
	err := r.run()
	if err != nil {
		r.file.abandon()
	}
	r.dirs.popTo(0)
	if err != nil {
		return nil, err
	}
	return &r.report, nil
}

// open opens the directory that everything lands in.
func (r *receiver) open(destination string, directory bool) (err error) {
	clean := path.Clean(destination)
	st, statErr := sys.StatAt(sys.AtFdcwd, clean, 0)
	isDirectory := statErr == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR
	r.basePath = clean
	if !isDirectory {
		if directory {
			if statErr == nil {
				statErr = syscall.ENOTDIR
			}
			return errno.At(statErr, destination)
		}
		r.basePath, r.rename = path.Dir(clean), path.Base(clean)
	}
	r.base, err = sys.Openat(sys.AtFdcwd, r.basePath, sys.OPath|syscall.O_DIRECTORY, 0)
	return errno.At(err, r.basePath)
}

func (r *receiver) run() error {
	for {
		kind, length, err := r.src.next()
		if err != nil {
			return err
		}
		if r.file.active && kind != kindData && kind != kindHole && kind != kindEOF {
			return violation("a file without an end")
		}
		switch kind {
		case kindEntry:
			err = r.entry(length)
		case kindData:
			err = r.data(length)
		case kindHole:
			err = r.hole()
		case kindEOF:
			err = r.endOfFile()
		case kindSkipped:
			err = r.skipped(length)
		case kindEnd:
			return r.src.end()
		}
		if err != nil {
			return err
		}
	}
}

func (r *receiver) skipped(length int) error {
	b, err := r.src.exactly(length)
	if err != nil {
		return err
	}
	p, reason, err := cutText(b)
	if err != nil {
		return err
	}
	r.report.skip(string(p), strings.ToValidUTF8(string(reason), "\ufffd"))
	return nil
}

// entry makes what an entry describes.
func (r *receiver) entry(length int) error {
	if r.ctx.Err() != nil {
		return errno.ErrCanceled
	}
	b, err := r.src.exactly(length)
	if err != nil {
		return err
	}
	e, err := parseEntry(b)
	if err != nil {
		return err
	}
	if err := r.place(&e); err != nil {
		return err
	}
	dir, name, err := r.dirs.parentOf(e.path)
	if err == nil {
		switch e.kind {
		case typeFile:
			err = r.file.begin(dir, name, &e, r.mask)
		case typeDirectory:
			err = r.dirs.push(dir, name, &e)
		case typeSymlink:
			err = makeSymlink(dir, name, &e)
		case typeHardLink:
			err = r.hardLink(dir, name, &e)
		}
	}
	if err == nil {
		r.report.Entries++
		return nil
	}
	if e.kind == typeFile {
		r.file.refuse(&e)
	}
	return r.refused(&e, err)
}

// place gives the single source its new name.
func (r *receiver) place(e *entry) error {
	if r.rename == "" {
		return nil
	}
	first, rest := cutFirst(e.path)
	if r.first == "" {
		r.first = string(first)
	}
	if string(first) != r.first {
		return &errno.Error{Code: "ENOTDIR", Message: "several sources need a directory", Path: path.Join(r.basePath, r.rename)}
	}
	e.path = append([]byte(r.rename), rest...)
	if e.kind == typeHardLink {
		if first, rest = cutFirst(e.target); string(first) == r.first {
			e.target = append([]byte(r.rename), rest...)
		}
	}
	return nil
}

// cutFirst splits a path after its first component.
func cutFirst(p []byte) (first, rest []byte) {
	for i, c := range p {
		if c == '/' {
			return p[:i], p[i:]
		}
	}
	return p, nil
}

// refused decides whether the failure of one entry is the failure of all.
func (r *receiver) refused(e *entry, err error) error {
	known := errno.From(err)
	full := path.Join(r.basePath, string(e.path))
	_, rest := cutFirst(e.path)
	switch known.Code {
	case "ENOSPC", "EDQUOT", "EIO", "EROFS", errno.Protocol:
		return &errno.Error{Code: known.Code, Message: known.Message, Path: full}
	}
	if len(rest) == 0 {
		return &errno.Error{Code: known.Code, Message: known.Message, Path: full}
	}
	r.report.skip(string(e.path), known.Message)
	return nil
}

func (r *receiver) data(length int) error {
	if !r.file.active {
		return violation("data without a file")
	}
	r.src.gather(length)
	for length > 0 {
		b, err := r.src.some(length)
		if err != nil {
			return err
		}
		length -= len(b)
		if err := r.file.write(b); err != nil {
			if err := r.fileFailed(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *receiver) hole() error {
	b, err := r.src.exactly(8)
	if err != nil {
		return err
	}
	if !r.file.active {
		return violation("a hole without a file")
	}
	if err := r.file.hole(binary.LittleEndian.Uint64(b)); err != nil {
		return r.fileFailed(err)
	}
	return nil
}

func (r *receiver) endOfFile() error {
	if !r.file.active {
		return violation("the end of no file")
	}
	size, refused := r.file.size, r.file.refused
	if err := r.file.finish(); err != nil {
		return r.fileFailed(err)
	}
	if !refused {
		r.report.Bytes += int64(size)
	}
	return nil
}

// fileFailed gives up the current file. What is still to come of it is read and dropped.
func (r *receiver) fileFailed(err error) error {
	if errno.From(err).Code == errno.Protocol {
		return err
	}
	active := r.file.active
	r.file.abandon()
	r.file.refused, r.file.active = true, active
	r.report.Entries--
	return r.refused(&entry{path: r.file.path}, err)
}
