// Package link is the agent's end of the link to the host: it turns frames into calls and streams and back.
//
// One goroutine reads, one writes, and neither ever waits for a call or for the consumer of a stream: what arrives is
// bounded by the windows this side granted, what leaves by the windows of the host and a fixed number of buffers. The
// host is obeyed but not trusted to keep to the protocol; a violation ends the session.
package link

import (
	"fmt"
	"io"
	"sync"

	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/wire"
)

// Limits of one session.
const (
	maxCalls     = 4096
	maxConsumers = 1024
	maxProducers = 4096
	// maxControlBytes is how much may wait for a host that does not read before this side stops reading too.
	maxControlBytes = 4 << 20
	readBufferBytes = 64 << 10
	// directBytes is what must be missing of a DATA frame for it to be read to where it is wanted, without a copy.
	directBytes = 8 << 10
	// peekBytes is what is read for the next header after such a frame: what the transport has in one piece.
	peekBytes = 4 << 10
)

// Handler starts a call. It runs on the reading goroutine and must not block: it reads params, opens the streams that
// they name and goes on elsewhere. An error answers the call.
type Handler func(c *Call, method string, params *jsonlite.Reader) error

// Link serves one transport.
type Link struct {
	transport Transport
	hello     []byte
	handle    Handler
	// onClose is told of every session that ends.
	onClose func(*Session)

	// port is held by whoever writes to the transport.
	port sync.Mutex

	mu      sync.Mutex
	changed sync.Cond
	current *Session
	// done makes the writing goroutine return.
	done bool
}

// New makes a Link. hello is the payload of this side's HELLO. Read of the transport returns io.EOF when the host went
// away; it is called again after that if Run is.
func New(transport Transport, hello []byte, handle Handler, onClose func(*Session)) *Link {
	l := &Link{transport: transport, hello: hello, handle: handle, onClose: onClose}
	l.changed.L = &l.mu
	go l.write()
	return l
}

// Run serves one connection until the host goes away (nil), breaks the protocol or the transport fails.
func (l *Link) Run() error {
	defer l.replaceSession(nil)
	buffer := make([]byte, readBufferBytes)
	var decoder wire.Decoder
	next := buffer
	for {
		isDirect, err := l.readDirect(&decoder)
		if isDirect {
			next = buffer[:peekBytes]
		} else {
			n := 0
			if n, err = l.transport.Read(next); n > 0 {
				if err := decoder.Write(next[:n], (*sink)(l)); err != nil {
					return err
				}
			}
			next = buffer
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s := l.session(); s != nil {
			s.out.awaitRoom()
		}
	}
}

// readDirect reads more of a large DATA frame to where its consumer takes it from. Under emulation each copy of a page
// takes as long as reading it.
func (l *Link) readDirect(decoder *wire.Decoder) (isDirect bool, err error) {
	id, left := decoder.Pending()
	if left < directBytes {
		return false, nil
	}
	s := l.session()
	if s == nil {
		return false, nil
	}
	c := s.consumer(id)
	if c == nil {
		return false, nil
	}
	room := c.room(left)
	if room == nil {
		return false, nil
	}
	n, err := l.transport.Read(room)
	c.filled(n)
	decoder.Took(n)
	return true, err
}

// Close ends the session and the writing goroutine. The transport is the caller's to close.
func (l *Link) Close() {
	l.mu.Lock()
	l.done = true
	l.changed.Broadcast()
	l.mu.Unlock()
	l.replaceSession(nil)
}

// Event sends an event if a host is there to hear it.
func (l *Link) Event(payload []byte) {
	if s := l.session(); s != nil {
		s.out.control(wire.Event, 0, payload)
	}
}

func (l *Link) session() *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

func (l *Link) replaceSession(next *Session) {
	l.mu.Lock()
	old := l.current
	l.current = next
	l.changed.Broadcast()
	l.mu.Unlock()
	if old != nil {
		old.close()
		if l.onClose != nil {
			l.onClose(old)
		}
	}
}

// awaitSession returns the current session, or nil when the link is closed.
func (l *Link) awaitSession() *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.current == nil && !l.done {
		l.changed.Wait()
	}
	if l.done {
		return nil
	}
	return l.current
}

// write is the goroutine that writes what nobody wrote in passing.
func (l *Link) write() {
	for {
		s := l.awaitSession()
		if s == nil {
			return
		}
		if s.out.serve() != nil {
			// The reading goroutine learns of it as well and replaces the session.
			s.close()
		}
		l.mu.Lock()
		for l.current == s && !l.done {
			l.changed.Wait()
		}
		l.mu.Unlock()
	}
}

// sink is what the decoder of Run writes into.
type sink Link

func (k *sink) Frame(h wire.Header, payload []byte) error {
	l := (*Link)(k)
	if h.Type == wire.Hello {
		s := newSession(l.transport, &l.port)
		s.out.control(wire.Hello, 0, l.hello)
		l.replaceSession(s)
		return nil
	}
	s := l.session()
	if s == nil {
		return io.ErrClosedPipe
	}
	switch h.Type {
	case wire.Call:
		return s.call(h.ID, payload, l.handle)
	case wire.Cancel:
		s.cancel(h.ID)
	case wire.End:
		if c := s.consumer(h.ID); c != nil {
			c.end(nil)
		}
	case wire.Fail:
		if c := s.consumer(h.ID); c != nil {
			c.end(parseFailure(payload))
		}
	case wire.Stop:
		if p := s.producer(h.ID); p != nil {
			p.stopped()
		}
	case wire.Credit:
		if p := s.producer(h.ID); p != nil {
			return p.grant(wire.CreditBytes(payload))
		}
	default:
		return fmt.Errorf("%w: type %d", wire.ErrMalformed, h.Type)
	}
	return nil
}

func (k *sink) DataStart(id uint32, length int) error {
	if s := (*Link)(k).session(); s != nil {
		if c := s.consumer(id); c != nil {
			return c.announce(length)
		}
	}
	return nil
}

func (k *sink) DataPart(id uint32, part []byte) error {
	if s := (*Link)(k).session(); s != nil {
		if c := s.consumer(id); c != nil {
			c.push(part)
		}
	}
	return nil
}
