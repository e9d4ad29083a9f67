package link

import (
	"fmt"
	"sync"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/wire"
)

// Producer is a stream from this side to the host. One goroutine at a time may use it.
type Producer struct {
	session *Session
	id      uint32

	// The rest is guarded by the mutex of the session's outbox.

	credit int64
	queue  [chunksPerStream]*Chunk
	queued int
	space  sync.Cond
	// last is the frame that ends the stream, to be sent after what is queued.
	last []byte
	// over means that nothing may be sent any more.
	over     bool
	finished bool
	onOver   func()
}

func newProducer(s *Session, id uint32) *Producer {
	p := &Producer{session: s, id: id, credit: wire.InitialWindowBytes}
	p.space.L = &s.out.mu
	return p
}

// Narrow begins with a smaller window than the host gives: less is then under way to whoever interrupts the process. The
// host gives credit for what it took in small enough steps.
func (p *Producer) Narrow(bytes int64) {
	o := &p.session.out
	o.mu.Lock()
	defer o.mu.Unlock()
	p.credit = min(p.credit, bytes)
}

// OnOver has f called once when the stream is over: its END or FAIL is on its way, or the host wants no more.
// It is called at once if that is so already.
func (p *Producer) OnOver(f func()) {
	o := &p.session.out
	o.mu.Lock()
	finished := p.finished
	if !finished {
		p.onOver = f
	}
	o.mu.Unlock()
	if finished {
		f()
	}
}

// Reserve waits until at least one byte can be sent and returns how many. It returns 0 when the stream is over.
func (p *Producer) Reserve() int {
	o := &p.session.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for !p.over && (p.credit <= 0 || p.queued == chunksPerStream) {
		p.space.Wait()
	}
	if p.over {
		return 0
	}
	return int(min(p.credit, ChunkBytes))
}

// Chunk waits for a buffer; nil when the session is over. It goes back with Send or Drop, soon.
func (p *Producer) Chunk() *Chunk { return p.session.out.getChunk() }

// Drop gives a buffer back.
func (p *Producer) Drop(c *Chunk) { p.session.out.putChunk(c) }

// Send sends the first n bytes of a chunk's payload; n is at most what Reserve returned.
func (p *Producer) Send(c *Chunk, n int) {
	o := &p.session.out
	o.mu.Lock()
	if p.over || o.closed || n == 0 {
		o.mu.Unlock()
		o.putChunk(c)
		return
	}
	c.n = n
	p.credit -= int64(n)
	p.queue[p.queued] = c
	p.queued++
	if p.queued == 1 {
		o.ready = append(o.ready, p)
	}
	o.pushAndUnlock()
}

// Write sends all of b, waiting for the host as needed.
func (p *Producer) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		room := p.Reserve()
		if room == 0 {
			return written, ErrStopped
		}
		c := p.Chunk()
		if c == nil {
			return written, ErrStopped
		}
		n := copy(c.Payload(room), b[written:])
		p.Send(c, n)
		written += n
	}
	return written, nil
}

// ErrStopped means that the host wants no more of a stream.
var ErrStopped = errno.New("EPIPE", "the host stopped reading")

// End ends the stream after what was sent.
func (p *Producer) End() { p.conclude(wire.AppendFrame(nil, wire.End, p.id, nil)) }

// Fail ends the stream with an error.
func (p *Producer) Fail(err error) {
	e := errno.From(err)
	o := jsonlite.NewObject(nil)
	o.String("code", e.Code)
	o.String("message", limitText(e.Message))
	p.conclude(wire.AppendFrame(nil, wire.Fail, p.id, o.Close()))
}

func (p *Producer) conclude(last []byte) {
	o := &p.session.out
	o.mu.Lock()
	if p.over {
		o.mu.Unlock()
		return
	}
	p.over = true
	// A writer that waits for the host's credit has nothing to wait for any more.
	p.space.Broadcast()
	if p.queued > 0 {
		p.last = last
		o.mu.Unlock()
		return
	}
	if !o.closed {
		o.ctrl = append(o.ctrl, last...)
	}
	o.mu.Unlock()
	// What comes of it goes out in the same write.
	p.finish()
	o.mu.Lock()
	o.pushAndUnlock()
}

// Over reports whether the host wants no more.
func (p *Producer) Over() bool {
	p.session.out.mu.Lock()
	defer p.session.out.mu.Unlock()
	return p.over
}

// Abandoned reports whether the stream is over because a session ended that was detached before: whoever writes to it
// is to go on as if somebody read.
func (p *Producer) Abandoned() bool { return p.session.detached.Load() && p.session.Closed() }

// stopped handles STOP and the end of the session.
func (p *Producer) stopped() {
	o := &p.session.out
	o.mu.Lock()
	p.over = true
	p.last = nil
	for p.queued > 0 {
		p.queued--
		o.release(p.queue[p.queued])
		p.queue[p.queued] = nil
		for i, r := range o.ready {
			if r == p {
				o.ready = append(o.ready[:i:i], o.ready[i+1:]...)
				break
			}
		}
	}
	p.space.Broadcast()
	o.mu.Unlock()
	p.finish()
}

func (p *Producer) finish() {
	o := &p.session.out
	o.mu.Lock()
	f := p.onOver
	if p.finished {
		f = nil
	}
	p.finished, p.onOver = true, nil
	o.mu.Unlock()
	p.session.forgetProducer(p.id)
	if f != nil {
		f()
	}
}

// grant handles CREDIT.
func (p *Producer) grant(bytes uint32) error {
	o := &p.session.out
	o.mu.Lock()
	defer o.mu.Unlock()
	p.credit += int64(bytes)
	if p.credit > 1<<40 {
		return fmt.Errorf("%w: stream %d was granted too much", wire.ErrMalformed, p.id)
	}
	p.space.Signal()
	return nil
}
