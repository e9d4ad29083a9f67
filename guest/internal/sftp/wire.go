package sftp

import (
	"encoding/binary"
	"syscall"
)

// Types of packets.
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpClose         = 4
	fxpRead          = 5
	fxpWrite         = 6
	fxpLstat         = 7
	fxpFstat         = 8
	fxpSetstat       = 9
	fxpFsetstat      = 10
	fxpOpendir       = 11
	fxpReaddir       = 12
	fxpRemove        = 13
	fxpMkdir         = 14
	fxpRmdir         = 15
	fxpRealpath      = 16
	fxpStat          = 17
	fxpRename        = 18
	fxpReadlink      = 19
	fxpSymlink       = 20
	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpName          = 104
	fxpAttrs         = 105
	fxpExtended      = 200
	fxpExtendedReply = 201
)

const (
	version = 3
	// maxPacketBytes is the longest packet behind its length, as OpenSSH has it.
	maxPacketBytes = 256 << 10
	// maxDataBytes is the most that one request reads or writes; the rest of the packet is room for the other fields.
	maxDataBytes = maxPacketBytes - 1024
	// maxPathBytes is a path with its NUL, as the kernel takes it.
	maxPathBytes = 4096
)

var order = binary.BigEndian

// request reads the fields of one packet. After a field that is not there, or cannot be, err is set and what is read
// means nothing. Further bytes behind the last field are nobody's concern, as in OpenSSH.
type request struct {
	rest []byte
	err  error
}

func (r *request) take(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = errBadMessage
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *request) u32() uint32 {
	if b := r.take(4); b != nil {
		return order.Uint32(b)
	}
	return 0
}

func (r *request) u64() uint64 {
	if b := r.take(8); b != nil {
		return order.Uint64(b)
	}
	return 0
}

// position is a u64 that is a place in a file, or a length of one.
func (r *request) position() int64 {
	v := r.u64()
	if v > 1<<63-1 {
		r.fail(syscall.EINVAL)
		return 0
	}
	return int64(v)
}

func (r *request) bytes() []byte {
	n := r.u32()
	if n > maxPacketBytes {
		r.fail(errBadMessage)
	}
	return r.take(int(n))
}

func (r *request) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// path is a file's name with a NUL behind it, in memory that does not move.
type path [maxPathBytes]byte

func (p *path) set(name []byte) error {
	if len(name) >= maxPathBytes {
		return syscall.ENAMETOOLONG
	}
	for _, c := range name {
		if c == 0 {
			return errBadMessage
		}
	}
	copy(p[:], name)
	p[len(name)] = 0
	return nil
}

// into reads a path into p.
func (r *request) into(p *path) {
	name := r.bytes()
	if r.err == nil {
		r.err = p.set(name)
	}
}

// begin makes room for a packet of up to n bytes behind its length, and starts it. finish writes its length.
func (s *Server) begin(kind byte, id uint32, n int) {
	if len(s.output)+4+n > cap(s.output) {
		s.flush()
	}
	s.start = len(s.output)
	s.output = append(s.output, 0, 0, 0, 0, kind)
	s.output = order.AppendUint32(s.output, id)
}

func (s *Server) finish() {
	order.PutUint32(s.output[s.start:], uint32(len(s.output)-s.start-4))
}

func (s *Server) appendString(text string) {
	s.output = order.AppendUint32(s.output, uint32(len(text)))
	s.output = append(s.output, text...)
}

// headerBytes are those of a status beside its text, and of all other short answers.
const headerBytes = 128
