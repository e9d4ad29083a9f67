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
	// maxRounds is how many batches one goroutine writes in passing before it leaves the rest to the writing one.
	maxRounds = 2
)

// Transport carries the link.
type Transport interface {
	// Read waits for input. It returns io.EOF when the host went away.
	Read(b []byte) (int, error)
	// Write waits until all is written.
	Write(b []byte) (int, error)
	// TryWrite writes what can be written without waiting.
	TryWrite(b []byte) (int, error)
}

// Chunk is the buffer of one DATA frame.
type Chunk struct {
	n int
	// counted chunks are those of which a session has maxChunks.
	counted bool
	buf     [chunkOffset + ChunkBytes]byte
}

// Payload returns the room for at most n bytes of data.
func (c *Chunk) Payload(n int) []byte { return c.buf[chunkOffset : chunkOffset+min(n, ChunkBytes)] }

// frame returns the whole frame.
func (c *Chunk) frame() []byte { return c.buf[chunkOffset-wire.HeaderBytes : chunkOffset+c.n] }

var chunkPool = sync.Pool{New: func() any { return new(Chunk) }}

func newChunk() *Chunk {
	c := chunkPool.Get().(*Chunk)
	c.counted = false
	return c
}

// outbox holds what waits to be written: control frames in order, and the streams that have data, in turn.
//
// Whoever queues a frame while nobody writes does so at once, as far as that goes without waiting: under emulation,
// waking a goroutine on another processor costs more than writing. The rest is left to the link's writing goroutine.
type outbox struct {
	// transport may be used by one goroutine at a time, which holds port.
	transport Transport
	port      *sync.Mutex

	mu     sync.Mutex
	wake   sync.Cond
	room   sync.Cond
	closed bool
	// writing means that some goroutine has the batch.
	writing bool
	batch   batch
	ctrl    []byte
	ready   []*Producer
	chunks  int
	waiting []chan struct{}
	idle    []chan struct{}
}

func (o *outbox) init(transport Transport, port *sync.Mutex) {
	o.transport, o.port = transport, port
	o.wake.L, o.room.L = &o.mu, &o.mu
}

// close drops everything and ends serve.
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
	o.waiting = nil
	o.nowIdle()
}

// nowIdle tells those in flush. o.mu is held.
func (o *outbox) nowIdle() {
	for _, w := range o.idle {
		close(w)
	}
	o.idle = nil
}

// control queues a frame that is not data.
func (o *outbox) control(t wire.Type, id uint32, payload []byte) {
	o.mu.Lock()
	if !o.closed {
		o.ctrl = wire.AppendFrame(o.ctrl, t, id, payload)
	}
	o.pushAndUnlock()
}

func (o *outbox) credit(id uint32, bytes int) {
	o.mu.Lock()
	if !o.closed {
		o.ctrl = wire.AppendCredit(o.ctrl, id, uint32(bytes))
	}
	o.pushAndUnlock()
}

// awaitRoom waits while the host does not read what it asked for.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	for len(o.ctrl) > maxControlBytes && !o.closed {
		o.room.Wait()
	}
	o.mu.Unlock()
}

// empty reports whether there is nothing to write. o.mu is held.
func (o *outbox) empty() bool { return len(o.ctrl) == 0 && len(o.ready) == 0 && o.batch.done() }

// flush waits until everything queued before was handed to the transport.
func (o *outbox) flush() {
	o.mu.Lock()
	if o.closed || o.empty() && !o.writing {
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

// pushAndUnlock writes what was queued, or leaves it to whoever writes already. o.mu is held and released.
func (o *outbox) pushAndUnlock() {
	defer o.mu.Unlock()
	if o.writing || o.closed || o.empty() {
		return
	}
	if !o.batch.done() || !o.port.TryLock() {
		o.wake.Signal()
		return
	}
	defer o.port.Unlock()
	o.writing = true
	for range maxRounds {
		o.fill()
		o.mu.Unlock()
		o.batch.tellOver()
		o.batch.try(o.transport)
		o.mu.Lock()
		if !o.batch.done() || o.empty() {
			break
		}
	}
	o.stopWriting()
}

// stopWriting leaves what is left to the writing goroutine. o.mu is held.
func (o *outbox) stopWriting() {
	o.writing = false
	o.recycle()
	if o.closed || o.empty() {
		o.nowIdle()
	} else {
		o.wake.Signal()
	}
}

// serve writes, waiting for the host as needed, until the outbox is closed or the transport fails.
func (o *outbox) serve() error {
	for {
		o.mu.Lock()
		for !o.closed && (o.writing || o.empty()) {
			o.wake.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return nil
		}
		o.writing = true
		if o.batch.done() {
			o.fill()
		}
		o.mu.Unlock()
		o.batch.tellOver()
		o.port.Lock()
		err := o.batch.write(o.transport)
		o.port.Unlock()
		o.mu.Lock()
		o.stopWriting()
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// recycle gives the buffers of a batch back that was written. o.mu is held.
func (o *outbox) recycle() {
	b := &o.batch
	if !b.done() && !o.closed {
		return
	}
	for i, c := range b.chunks {
		o.release(c)
		b.chunks[i] = nil
	}
	b.chunks, b.head = b.chunks[:0], b.head[:0]
	b.offset, b.part = 0, 0
	if cap(b.head) > 1<<20 {
		b.head = nil
	}
}

// fill takes the next batch. o.mu is held.
func (o *outbox) fill() {
	o.recycle()
	b := &o.batch
	b.head, o.ctrl = o.ctrl, b.head
	o.room.Signal()
	size := len(b.head)
	for size < batchBytes && len(o.ready) > 0 {
		size += o.takeFrom(o.ready[0])
	}
}

// takeFrom moves one frame of the first ready stream into the batch and returns its size. o.mu is held.
func (o *outbox) takeFrom(p *Producer) int {
	b := &o.batch
	o.ready = o.ready[1:]
	c := p.queue[0]
	p.queue[0], p.queue[1] = p.queue[1], nil
	p.queued--
	size := c.n
	wire.PutHeader(c.buf[chunkOffset-wire.HeaderBytes:], wire.Data, p.id, c.n)
	if size <= inlineBytes && len(b.chunks) == 0 {
		b.head = append(b.head, c.frame()...)
		o.release(c)
	} else {
		b.chunks = append(b.chunks, c)
	}
	p.space.Signal()
	if p.queued > 0 {
		o.ready = append(o.ready, p)
	} else if p.last != nil {
		// In the next batch, as this one may end with the data.
		o.ctrl = append(o.ctrl, p.last...)
		b.over = append(b.over, p.finish)
	}
	return size
}

// batch is what is written at a time: small frames in one piece, then large ones.
type batch struct {
	head   []byte
	chunks []*Chunk
	// part counts what was written of head (0) and chunks (1 and up), offset is the position in the current one.
	part, offset int
	// over is called when the frames that end streams were queued.
	over []func()
}

// done reports whether everything was written.
func (b *batch) done() bool {
	return b.part > len(b.chunks) || b.part == 0 && len(b.head) == 0 && len(b.chunks) == 0
}

func (b *batch) tellOver() {
	for i, f := range b.over {
		f()
		b.over[i] = nil
	}
	b.over = b.over[:0]
}

func (b *batch) current() []byte {
	if b.part == 0 {
		return b.head[b.offset:]
	}
	return b.chunks[b.part-1].frame()[b.offset:]
}

// try writes what can be written without waiting. An error is left to write, which meets it again.
func (b *batch) try(t Transport) {
	for !b.done() {
		rest := b.current()
		if len(rest) > 0 {
			n, err := t.TryWrite(rest)
			b.offset += n
			if err != nil || n < len(rest) {
				return
			}
		}
		b.part, b.offset = b.part+1, 0
	}
}

// write writes the rest.
func (b *batch) write(w io.Writer) error {
	for !b.done() {
		if _, err := w.Write(b.current()); err != nil {
			return err
		}
		b.part, b.offset = b.part+1, 0
	}
	return nil
}
