package link

import (
	"io"
	"sync"

	"sbx.dev/agent/internal/wire"
)

const (
	// ChunkBytes is the most that one DATA frame of this side carries. Half of the initial window, so that one frame
	// can be filled while another one is on its way.
	ChunkBytes = 128 << 10
	// maxChunks bounds the memory of everything that is on its way to the host.
	maxChunks = 64
	// chunksPerStream is how many frames of one stream may wait: what the fairness between streams rests on.
	chunksPerStream = 2
	// batchBytes is about as much as is taken from the streams before control frames get their turn again.
	batchBytes = 256 << 10
	// inlineBytes is the size up to which copying data behind other frames is cheaper than a system call.
	inlineBytes = 8 << 10
	// chunkOffset leaves room for the header and aligns the payload.
	chunkOffset = 16
)

// Chunk is the buffer of one DATA frame.
type Chunk struct {
	n int
	// counted chunks are those of which a session has maxChunks.
	counted bool
	buf     [chunkOffset + ChunkBytes]byte
}

// Payload returns the room for at most n bytes of data.
func (c *Chunk) Payload(n int) []byte { return c.buf[chunkOffset : chunkOffset+min(n, ChunkBytes)] }

var chunkPool = sync.Pool{New: func() any { return new(Chunk) }}

func newChunk() *Chunk {
	c := chunkPool.Get().(*Chunk)
	c.counted = false
	return c
}

// outbox holds what waits to be written: control frames in order, and the streams that have data, in turn.
type outbox struct {
	mu      sync.Mutex
	wake    sync.Cond
	room    sync.Cond
	closed  bool
	ctrl    []byte
	ready   []*Producer
	chunks  int
	waiting []chan struct{}
	idle    []chan struct{}
	busy    bool
}

func (o *outbox) init() {
	o.wake.L, o.room.L = &o.mu, &o.mu
}

// close drops everything and makes next return false.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.ctrl, o.ready = nil, nil
	o.wake.Broadcast()
	o.room.Broadcast()
	for _, w := range o.waiting {
		close(w)
	}
	for _, w := range o.idle {
		close(w)
	}
	o.waiting, o.idle = nil, nil
}

// control queues a frame that is not data.
func (o *outbox) control(t wire.Type, id uint32, payload []byte) {
	o.mu.Lock()
	if !o.closed {
		o.ctrl = wire.AppendFrame(o.ctrl, t, id, payload)
		o.wake.Signal()
	}
	o.mu.Unlock()
}

func (o *outbox) credit(id uint32, bytes int) {
	o.mu.Lock()
	if !o.closed {
		o.ctrl = wire.AppendCredit(o.ctrl, id, uint32(bytes))
		o.wake.Signal()
	}
	o.mu.Unlock()
}

// awaitRoom waits while the host does not read what it asked for.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	for len(o.ctrl) > maxControlBytes && !o.closed {
		o.room.Wait()
	}
	o.mu.Unlock()
}

// flush waits until everything queued before was handed to the transport.
func (o *outbox) flush() {
	o.mu.Lock()
	if o.closed || (len(o.ctrl) == 0 && len(o.ready) == 0 && !o.busy) {
		o.mu.Unlock()
		return
	}
	done := make(chan struct{})
	o.idle = append(o.idle, done)
	o.mu.Unlock()
	<-done
}

// getChunk waits for one of the buffers. It returns nil when the session is over.
func (o *outbox) getChunk() *Chunk {
	o.mu.Lock()
	for o.chunks >= maxChunks && !o.closed {
		turn := make(chan struct{})
		o.waiting = append(o.waiting, turn)
		o.mu.Unlock()
		<-turn
		o.mu.Lock()
	}
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.chunks++
	o.mu.Unlock()
	c := newChunk()
	c.counted = true
	return c
}

func (o *outbox) putChunk(c *Chunk) {
	o.mu.Lock()
	o.release(c)
	o.mu.Unlock()
}

// release gives a buffer back. o.mu is held.
func (o *outbox) release(c *Chunk) {
	if c.counted {
		o.chunks--
		if len(o.waiting) > 0 {
			close(o.waiting[0])
			o.waiting = o.waiting[1:]
		}
	}
	chunkPool.Put(c)
}

// batch is what the writing goroutine takes at a time.
type batch struct {
	head   []byte
	chunks []*Chunk
	over   []func()
}

// next waits for something to write and fills b. It returns false when the outbox was closed.
func (o *outbox) next(b *batch) bool {
	o.mu.Lock()
	for i, c := range b.chunks {
		o.release(c)
		b.chunks[i] = nil
	}
	b.chunks, b.head = b.chunks[:0], b.head[:0]
	if cap(b.head) > 1<<20 {
		b.head = nil
	}
	o.busy = false
	for len(o.ctrl) == 0 && len(o.ready) == 0 && !o.closed {
		for _, w := range o.idle {
			close(w)
		}
		o.idle = nil
		o.wake.Wait()
	}
	if o.closed {
		o.mu.Unlock()
		return false
	}
	o.busy = true
	b.head, o.ctrl = o.ctrl, b.head
	o.room.Signal()
	size := len(b.head)
	for size < batchBytes && len(o.ready) > 0 {
		size += o.takeFrom(o.ready[0], b)
	}
	o.mu.Unlock()
	for _, f := range b.over {
		f()
	}
	b.over = b.over[:0]
	return true
}

// takeFrom moves one frame of the first ready stream into b and returns its size. o.mu is held.
func (o *outbox) takeFrom(p *Producer, b *batch) int {
	o.ready = o.ready[1:]
	c := p.queue[0]
	p.queue[0], p.queue[1] = p.queue[1], nil
	p.queued--
	size := c.n
	wire.PutHeader(c.buf[chunkOffset-wire.HeaderBytes:], wire.Data, p.id, c.n)
	frame := c.buf[chunkOffset-wire.HeaderBytes : chunkOffset+c.n]
	if size <= inlineBytes && len(b.chunks) == 0 {
		b.head = append(b.head, frame...)
		o.release(c)
	} else {
		b.chunks = append(b.chunks, c)
	}
	p.space.Signal()
	if p.queued > 0 {
		o.ready = append(o.ready, p)
	} else if p.last != nil {
		o.ctrl = append(o.ctrl, p.last...)
		b.over = append(b.over, p.finish)
	}
	return size
}

// writeTo writes the batch. Its buffers go back with the next one.
func (b *batch) writeTo(w io.Writer) error {
	var err error
	if len(b.head) > 0 {
		_, err = w.Write(b.head)
	}
	for _, c := range b.chunks {
		if err == nil {
			_, err = w.Write(c.buf[chunkOffset-wire.HeaderBytes : chunkOffset+c.n])
		}
	}
	return err
}
