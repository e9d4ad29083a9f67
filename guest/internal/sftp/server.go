// Package sftp serves the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02) with the extensions of
// OpenSSH, on a pair of descriptors. It is a process of its own with the rights of whoever logged in, so the kernel
// says what is allowed; all that is decided here is how much of anything there may be.
//
// Requests are done one after another, in the order in which they came, and what is answered to one batch of input is
// written in one piece. Nothing is allocated for a read or a write: this runs in machines whose processor is emulated.
package sftp

import (
	"errors"
	"io"
)

const (
	// inputBytes holds a packet and what a full pipe has besides.
	inputBytes = 1 << 20
	// outputBytes holds the longest answer and many short ones.
	outputBytes = 2 * (maxPacketBytes + 4)
)

// none is no place in the output.
const none = -1

// ErrFraming means that what came is not the protocol: there is no telling where the next packet begins.
var ErrFraming = errors.New("not a packet of the SSH File Transfer Protocol")

// Server is one session.
type Server struct {
	in  io.Reader
	out io.Writer

	input      []byte
	head, tail int

	output []byte
	// start is where the packet begins that is being written, or none.
	start    int
	writeErr error

	request request
	begun   bool
	handles handles
	names   names
	// one and two are the paths of the request that is being served.
	one, two path
	stat     stat
	scratch  []byte
}

// New makes a Server that reads requests from in and writes answers to out.
func New(in io.Reader, out io.Writer) *Server {
	return &Server{in: in, out: out, input: make([]byte, inputBytes), output: make([]byte, 0, outputBytes)}
}

// Serve serves until the input ends, and closes all files. Input that ends within a packet is ErrFraming.
func (s *Server) Serve() error {
	defer s.handles.closeAll()
	for {
		packet, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.answer(packet); err != nil {
			s.flush()
			return err
		}
		if s.writeErr != nil {
			return s.writeErr
		}
	}
}

// next returns the next packet without its length, valid until it is called again. Before it waits for one it sends
// what there is to be sent.
func (s *Server) next() ([]byte, error) {
	for {
		have := s.input[s.head:s.tail]
		need := 4
		if len(have) >= 4 {
			length := order.Uint32(have)
			if length == 0 || length > maxPacketBytes {
				s.flush()
				return nil, ErrFraming
			}
			need = 4 + int(length)
			if len(have) >= need {
				s.head += need
				return have[4:need], nil
			}
		}
		s.flush()
		if s.writeErr != nil {
			return nil, s.writeErr
		}
		if len(have) == 0 {
			s.head, s.tail = 0, 0
		} else if s.head+need > len(s.input) {
			s.head, s.tail = 0, copy(s.input, have)
		}
		n, err := s.in.Read(s.input[s.tail:])
		s.tail += n
		if n == 0 && err != nil {
			if err == io.EOF && len(have) > 0 {
				return nil, ErrFraming
			}
			return nil, err
		}
	}
}

// flush sends the answers so far. A failure shows at the next packet.
func (s *Server) flush() {
	if len(s.output) > 0 && s.writeErr == nil {
		_, s.writeErr = s.out.Write(s.output)
	}
	s.output = s.output[:0]
}

// operation does what a kind of request asks for. One that answers has done so itself when it returns nil; to the
// others, and to every error, a status is the answer.
type operation struct {
	do      func(s *Server, id uint32, r *request) error
	answers bool
}

var operations = [...]operation{
	fxpOpen:     {(*Server).open, true},
	fxpClose:    {(*Server).close, false},
	fxpRead:     {(*Server).read, true},
	fxpWrite:    {(*Server).write, false},
	fxpLstat:    {(*Server).lstat, true},
	fxpFstat:    {(*Server).fstat, true},
	fxpSetstat:  {(*Server).setstat, false},
	fxpFsetstat: {(*Server).fsetstat, false},
	fxpOpendir:  {(*Server).opendir, true},
	fxpReaddir:  {(*Server).readdir, true},
	fxpRemove:   {(*Server).remove, false},
	fxpMkdir:    {(*Server).mkdir, false},
	fxpRmdir:    {(*Server).rmdir, false},
	fxpRealpath: {(*Server).realpath, true},
	fxpStat:     {(*Server).followStat, true},
	fxpRename:   {(*Server).rename, false},
	fxpReadlink: {(*Server).readlink, true},
	fxpSymlink:  {(*Server).symlink, false},
}

// answer serves one packet. An error ends the session.
func (s *Server) answer(packet []byte) error {
	kind := packet[0]
	r := &s.request
	*r = request{rest: packet[1:]}
	id := r.u32() // The version, in the first packet.
	if r.err != nil {
		return ErrFraming
	}
	if kind == fxpInit {
		s.begun = true
		s.hello()
		return nil
	}
	if !s.begun {
		return ErrFraming
	}
	var op operation
	if kind == fxpExtended {
		op = extensions[string(r.bytes())]
	} else if int(kind) < len(operations) {
		op = operations[kind]
	}
	if op.do == nil {
		s.status(id, errUnsupported)
		return nil
	}
	s.start = none
	err := op.do(s, id, r)
	if err != nil && s.start != none {
		s.output = s.output[:s.start] // What was begun of another answer.
	}
	if err != nil || !op.answers {
		s.status(id, err)
	}
	return nil
}

// hello answers INIT.
func (s *Server) hello() {
	s.begin(fxpVersion, version, 1024)
	for _, e := range announced {
		s.appendString(e.name)
		s.appendString(e.version)
	}
	s.finish()
}
