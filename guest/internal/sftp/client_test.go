package sftp

import (
	"encoding/binary"
	"io"
	"os"
	"testing"
)

// client speaks the protocol by the draft, without the code that it is there to test.
type client struct {
	t      *testing.T
	to     *os.File
	from   *os.File
	lastID uint32
	// failure is that of the session, once it has ended.
	failure error
	ended   chan struct{}
}

// start starts a session on two pipes and says INIT.
func start(t *testing.T) *client {
	t.Helper()
	c := startSilent(t)
	c.send(append([]byte{fxpInit}, u32(3)...))
	kind, _, rest := c.receive()
	if kind != fxpVersion || len(rest) == 0 {
		t.Fatalf("the answer to INIT is of type %d", kind)
	}
	return c
}

func startSilent(t *testing.T) *client {
	t.Helper()
	requestsOut, requestsIn, err := os.Pipe()
	must(t, err)
	answersOut, answersIn, err := os.Pipe()
	must(t, err)
	c := &client{t: t, to: requestsIn, from: answersOut, ended: make(chan struct{})}
	in, err := NewDescriptor(int(requestsOut.Fd()))
	must(t, err)
	out, err := NewDescriptor(int(answersIn.Fd()))
	must(t, err)
	go func() {
		c.failure = New(in, out).Serve()
		answersIn.Close()
		requestsOut.Close()
		close(c.ended)
	}()
	t.Cleanup(func() {
		requestsIn.Close()
		answersOut.Close()
		<-c.ended
	})
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func text(s string) []byte { return append(u32(uint32(len(s))), s...) }

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

var noAttributes = u32(0)

// send writes one packet.
func (c *client) send(packet []byte) {
	c.t.Helper()
	_, err := c.to.Write(append(u32(uint32(len(packet))), packet...))
	must(c.t, err)
}

// request sends a request and returns its id.
func (c *client) request(kind byte, fields ...[]byte) uint32 {
	c.t.Helper()
	c.lastID++
	c.send(join([]byte{kind}, u32(c.lastID), join(fields...)))
	return c.lastID
}

// receive reads one packet.
func (c *client) receive() (kind byte, id uint32, rest []byte) {
	c.t.Helper()
	var header [9]byte
	_, err := io.ReadFull(c.from, header[:])
	must(c.t, err)
	length := binary.BigEndian.Uint32(header[:])
	if length < 5 || length > maxPacketBytes {
		c.t.Fatalf("a packet of %d bytes", length)
	}
	rest = make([]byte, length-5)
	_, err = io.ReadFull(c.from, rest)
	must(c.t, err)
	return header[4], binary.BigEndian.Uint32(header[5:]), rest
}

// ask sends a request and returns what is behind the id of its answer, which must be of the type wanted.
func (c *client) ask(wanted, kind byte, fields ...[]byte) []byte {
	c.t.Helper()
	id := c.request(kind, fields...)
	got, answered, rest := c.receive()
	if answered != id {
		c.t.Fatalf("the answer is to %d, not to %d", answered, id)
	}
	if got != wanted {
		c.t.Fatalf("the answer to a request of type %d is of type %d: %q", kind, got, rest)
	}
	return rest
}

// status returns the code that answers a request.
func (c *client) status(kind byte, fields ...[]byte) uint32 {
	c.t.Helper()
	return binary.BigEndian.Uint32(c.ask(fxpStatus, kind, fields...))
}

// succeed does what must succeed.
func (c *client) succeed(kind byte, fields ...[]byte) {
	c.t.Helper()
	rest := c.ask(fxpStatus, kind, fields...)
	if binary.BigEndian.Uint32(rest) != statusOK {
		c.t.Fatalf("a request of type %d: %q", kind, rest)
	}
}

func (c *client) open(path string, flags uint32) []byte {
	c.t.Helper()
	return c.ask(fxpHandle, fxpOpen, text(path), u32(flags), noAttributes)
}

func (c *client) close(handle []byte) {
	c.t.Helper()
	c.succeed(fxpClose, handle)
}

// name returns the one path of an answer.
func (c *client) name(kind byte, fields ...[]byte) string {
	c.t.Helper()
	r := &reader{c.t, c.ask(fxpName, kind, fields...)}
	if r.u32() != 1 {
		c.t.Fatal("not one name")
	}
	return r.text()
}

// reader takes an answer apart.
type reader struct {
	t *testing.T
	b []byte
}

func (r *reader) take(n int) []byte {
	r.t.Helper()
	if n > len(r.b) {
		r.t.Fatal("an answer that is cut")
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u32() uint32  { r.t.Helper(); return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64  { r.t.Helper(); return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) text() string { r.t.Helper(); return string(r.take(int(r.u32()))) }

// seen are attributes as a client reads them.
type seen struct {
	size                         uint64
	uid, gid, mode, atime, mtime uint32
}

func (r *reader) attributes() seen {
	r.t.Helper()
	if flags := r.u32(); flags != 0xf {
		r.t.Fatalf("attributes %x", flags)
	}
	return seen{r.u64(), r.u32(), r.u32(), r.u32(), r.u32(), r.u32()}
}

func (c *client) attributes(kind byte, fields ...[]byte) seen {
	c.t.Helper()
	r := &reader{c.t, c.ask(fxpAttrs, kind, fields...)}
	return r.attributes()
}

// entry is a file of a listing.
type entry struct {
	long string
	seen
}

// list reads a directory to its end.
func (c *client) list(path string) map[string]entry {
	c.t.Helper()
	handle := c.ask(fxpHandle, fxpOpendir, text(path))
	all := map[string]entry{}
	for {
		id := c.request(fxpReaddir, handle)
		kind, answered, rest := c.receive()
		if answered != id {
			c.t.Fatal("an answer to something else")
		}
		r := &reader{c.t, rest}
		if kind == fxpStatus {
			if code := r.u32(); code != statusEOF {
				c.t.Fatalf("the status %d of a listing", code)
			}
			break
		}
		if len(rest) > 128<<10 {
			c.t.Fatalf("a listing of %d bytes", len(rest))
		}
		for count := r.u32(); count > 0; count-- {
			name := r.text()
			if _, twice := all[name]; twice {
				c.t.Fatalf("%q twice", name)
			}
			all[name] = entry{r.text(), r.attributes()}
		}
	}
	c.close(handle)
	return all
}
