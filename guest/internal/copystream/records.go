// Package copystream sends and receives trees of files as the copy stream of docs/protocol-agent.md.
//
// Both directions run with the rights of one user of the sandbox, see package accounts. What is received is checked
// as if an enemy had sent it: no path leaves the destination, no symbolic link is followed.
package copystream

import (
	"encoding/binary"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
)

// Kinds of records.
const (
	kindEntry   = 1
	kindData    = 2
	kindHole    = 3
	kindEOF     = 4
	kindSkipped = 5
	kindEnd     = 6
)

// Types of entries.
const (
	typeFile      = 1
	typeDirectory = 2
	typeSymlink   = 3
	typeHardLink  = 4
)

// Sizes in bytes.
const (
	recordHeaderBytes = 5
	// entryFixedBytes is an entry without its path and target, but with their lengths.
	entryFixedBytes = 1 + 4 + 8 + 8 + 2 + 2
	maxPathBytes    = 4096
	maxRecordBytes  = 1 << 20
)

// entry is one file, directory or link.
type entry struct {
	kind  byte
	mode  uint32
	mtime int64 // Milliseconds since the epoch.
	size  uint64
	// path and target are valid until the next record is read.
	path, target []byte
}

func appendRecordHeader(out []byte, kind byte, length int) []byte {
	out = append(out, kind)
	return binary.LittleEndian.AppendUint32(out, uint32(length))
}

func appendEntry(out []byte, e *entry) []byte {
	out = appendRecordHeader(out, kindEntry, entryFixedBytes+len(e.path)+len(e.target))
	out = append(out, e.kind)
	out = binary.LittleEndian.AppendUint32(out, e.mode)
	out = binary.LittleEndian.AppendUint64(out, uint64(e.mtime))
	out = binary.LittleEndian.AppendUint64(out, e.size)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(e.path)))
	out = append(out, e.path...)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(e.target)))
	return append(out, e.target...)
}

func violation(what string) error {
	return errno.New(errno.Protocol, "the copy stream is broken: "+what)
}

// parseEntry reads the payload of an entry record and checks all that can be checked without a file system.
func parseEntry(b []byte) (e entry, err error) {
	if len(b) < entryFixedBytes {
		return e, violation("a short entry")
	}
	e.kind = b[0]
	e.mode = binary.LittleEndian.Uint32(b[1:]) & 0o7777
	e.mtime = int64(binary.LittleEndian.Uint64(b[5:]))
	e.size = binary.LittleEndian.Uint64(b[13:])
	rest := b[21:]
	if e.path, rest, err = cutText(rest); err != nil {
		return e, err
	}
	if e.target, rest, err = cutText(rest); err != nil {
		return e, err
	}
	if len(rest) > 0 {
		return e, violation("an entry that is too long")
	}
	const maxSize, maxMtime = 1 << 62, 1 << 53
	if e.size > maxSize || e.mtime > maxMtime || e.mtime < -maxMtime {
		return e, violation("a size or time out of range")
	}
	if !validPath(e.path) {
		return e, violation("a path that is not allowed")
	}
	switch e.kind {
	case typeFile, typeDirectory:
		if len(e.target) != 0 {
			return e, violation("a file with a link target")
		}
	case typeSymlink:
		if len(e.target) == 0 || len(e.target) > maxPathBytes || hasNUL(e.target) {
			return e, violation("a bad symbolic link")
		}
	case typeHardLink:
		if !validPath(e.target) {
			return e, violation("a bad hard link")
		}
	default:
		return e, violation("an entry of unknown type")
	}
	return e, nil
}

// cutText takes a text with its length in front.
func cutText(b []byte) (text, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, violation("a short text")
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, violation("a short text")
	}
	return b[2 : 2+n], b[2+n:], nil
}

func hasNUL(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return true
		}
	}
	return false
}

// validPath checks the form that all paths of a stream have: relative, and nothing in it but names.
func validPath(p []byte) bool {
	if len(p) == 0 || len(p) > maxPathBytes || hasNUL(p) {
		return false
	}
	start := 0
	for i := 0; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		switch name := p[start:i]; {
		case len(name) == 0, string(name) == ".", string(name) == "..":
			return false
		}
		start = i + 1
	}
	return true
}

// Skip is an entry that was left out.
type Skip struct{ Path, Reason string }

// Bounds of a report, which must fit into a frame though a byte may take six in JSON. The stream itself names all that
// was skipped.
const (
	maxSkips     = 1000
	maxSkipBytes = 128 << 10
)

// Report says what was copied.
type Report struct {
	Entries, Bytes int64
	Skips          []Skip
	skipBytes      int
	more           int
}

func (r *Report) skip(path, reason string) {
	if len(r.Skips) >= maxSkips || r.skipBytes > maxSkipBytes {
		r.more++
		return
	}
	r.skipBytes += len(path) + len(reason)
	r.Skips = append(r.Skips, Skip{path, reason})
}

// JSON returns the form in which the host gets it.
func (r *Report) JSON() []byte {
	o := jsonlite.NewObject(nil)
	o.Int("entries", r.Entries)
	o.Int("bytes", r.Bytes)
	o.Key("skipped")
	skips := r.Skips
	if r.more > 0 {
		skips = append(skips[:len(skips):len(skips)], Skip{"...", "and " + string(jsonlite.AppendInt(nil, int64(r.more))) + " more"})
	}
	o.Out = append(o.Out, '[')
	for i, s := range skips {
		if i > 0 {
			o.Out = append(o.Out, ',')
		}
		item := jsonlite.NewObject(o.Out)
		item.String("path", s.Path)
		item.String("reason", s.Reason)
		o.Out = item.Close()
	}
	o.Out = append(o.Out, ']')
	return o.Close()
}
