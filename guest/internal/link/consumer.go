package link

import (
	"fmt"
	"io"
	"sync"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/wire"
)

const (
	// bulkWindowBytes is the window of a stream that carries more than the initial one: enough to keep the host sending
	// while its credit is on the way.
	bulkWindowBytes = 1 << 20
	// maxBulk is how many streams have such a window at a time; others make do with the initial one.
	maxBulk = 32
)

// Consumer is a stream from the host to this side. What arrives waits in a ring that never holds more than was granted.
// One goroutine at a time may read it.
type Consumer struct {
	session *Session
	id      uint32

	mu      sync.Mutex
	arrived sync.Cond
	ring    []byte
	head    int
	size    int
	// filling means that the reading goroutine has the room behind the data.
	filling bool
	// awaited is how many bytes must be there before the reader is woken.
	awaited int
	// window is what the host may still send.
	window int
	// target is what the window is refilled to.
	target int
	// bulk means that this is one of maxBulk.
	bulk  bool
	total int64
	ended bool
	err   error
	over  bool
}

func newConsumer(s *Session, id uint32) *Consumer {
	c := &Consumer{session: s, id: id, window: wire.InitialWindowBytes, target: wire.InitialWindowBytes}
	c.arrived.L = &c.mu
	return c
}

// announce accounts for a DATA frame.
func (c *Consumer) announce(length int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.ended {
		return nil
	}
	if length > c.window {
		return fmt.Errorf("%w: stream %d sent %d bytes into a window of %d", wire.ErrMalformed, c.id, length, c.window)
	}
	c.window -= length
	return nil
}

// push stores a part of a frame that was announced.
func (c *Consumer) push(part []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.ended {
		return
	}
	c.reserve(len(part))
	tail := (c.head + c.size) % len(c.ring)
	n := copy(c.ring[tail:], part)
	copy(c.ring, part[n:])
	c.size += len(part)
	if c.size >= c.awaited {
		c.arrived.Signal()
	}
}

// room returns where up to n bytes of a frame that was announced go, or nil if nobody wants them. It is the caller's
// until filled.
func (c *Consumer) room(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.ended {
		return nil
	}
	c.reserve(n)
	c.filling = true
	tail := (c.head + c.size) % len(c.ring)
	return c.ring[tail:min(len(c.ring), tail+n)]
}

// filled takes over n bytes that were put into the room.
func (c *Consumer) filled(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filling = false
	if c.over || c.ended {
		return
	}
	c.size += n
	if n > 0 && c.size >= c.awaited {
		c.arrived.Signal()
	}
}

// reserve makes the ring large enough for n more bytes. A slice that Next returned stays valid. c.mu is held.
func (c *Consumer) reserve(n int) {
	if c.size+n <= len(c.ring) {
		return
	}
	capacity := max(4096, len(c.ring))
	for capacity < c.size+n {
		capacity *= 2
	}
	grown := make([]byte, capacity)
	first := copy(grown, c.ring[c.head:min(len(c.ring), c.head+c.size)])
	copy(grown[first:], c.ring[:c.size-first])
	c.ring, c.head = grown, 0
}

// end handles END (nil), FAIL and the end of the session.
func (c *Consumer) end(err *errno.Error) {
	c.mu.Lock()
	if !c.over && !c.ended {
		c.ended = true
		if err != nil {
			c.err = err
		}
	}
	c.arrived.Broadcast()
	c.mu.Unlock()
	c.session.forgetConsumer(c)
}

// Next waits for data and returns what can be had in one piece, valid until Advance. At the end it returns io.EOF; if
// the host failed, its error.
func (c *Consumer) Next() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.size == 0 && !c.ended && !c.over {
		c.arrived.Wait()
	}
	switch {
	case c.over:
		return nil, errno.ErrCanceled
	case c.err != nil:
		return nil, c.err
	case c.size == 0:
		return nil, io.EOF
	}
	return c.ring[c.head:min(len(c.ring), c.head+c.size)], nil
}

// Gather waits until n bytes have arrived, or as many as make a good part of the window: the host may wait for the rest
// of that to be granted. To be used for bytes that the host is known to send.
func (c *Consumer) Gather(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = min(n, c.target/2)
	for c.size < c.awaited && !c.ended && !c.over {
		c.arrived.Wait()
	}
	c.awaited = 0
}

// Advance consumes n bytes of what Next returned and grants the host as many again.
func (c *Consumer) Advance(n int) {
	if grant := c.consume(n); grant > 0 {
		c.session.out.credit(c.id, grant)
	}
}

// consume frees n bytes and returns what the host is to be granted.
func (c *Consumer) consume(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || n == 0 {
		return 0
	}
	c.head = (c.head + n) % len(c.ring)
	c.size -= n
	c.total += int64(n)
	if c.size == 0 && !c.filling {
		c.head = 0
	}
	if c.ended {
		return 0
	}
	if c.total > wire.InitialWindowBytes && !c.bulk && c.session.takeBulk() {
		c.bulk, c.target = true, bulkWindowBytes
	}
	grant := c.target - c.window - c.size
	if grant < c.target/4 {
		return 0
	}
	c.window += grant
	return grant
}

// Read implements io.Reader.
func (c *Consumer) Read(b []byte) (int, error) {
	part, err := c.Next()
	if err != nil {
		return 0, err
	}
	n := copy(b, part)
	c.Advance(n)
	return n, nil
}

// Stop tells the host that this side wants no more, and wakes the reader. It does nothing after the end.
func (c *Consumer) Stop() {
	c.mu.Lock()
	tell := !c.over && !c.ended
	c.over = true
	c.ring, c.size, c.head = nil, 0, 0
	c.arrived.Broadcast()
	c.mu.Unlock()
	if tell {
		c.session.out.control(wire.Stop, c.id, nil)
		c.session.forgetConsumer(c)
	}
}

// Cancel makes Next fail with err, without a word to the host.
func (c *Consumer) Cancel(err *errno.Error) { c.end(err) }
