package link

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/wire"
)

// Session is everything between two HELLOs: calls, streams and what waits to be written. When it ends, all that it
// held is over and everything that is still done with it has no effect.
type Session struct {
	out outbox
	// bulk counts the consumers with a large window.
	bulk atomic.Int32
	// detached means that processes outlive the session in peace.
	detached atomic.Bool

	mu        sync.Mutex
	closed    bool
	calls     map[uint32]*Call
	consumers map[uint32]*Consumer
	producers map[uint32]*Producer
}

func newSession(transport Transport, port *sync.Mutex) *Session {
	s := &Session{
		calls:     map[uint32]*Call{},
		consumers: map[uint32]*Consumer{},
		producers: map[uint32]*Producer{},
	}
	s.out.init(transport, port)
	return s
}

func (s *Session) close() {
	s.mu.Lock()
	calls, consumers, producers := s.calls, s.consumers, s.producers
	s.closed = true
	s.calls, s.consumers, s.producers = nil, nil, nil
	s.mu.Unlock()
	s.out.close()
	for _, p := range producers {
		p.stopped()
	}
	for _, c := range consumers {
		c.end(errno.ErrCanceled)
	}
	for _, c := range calls {
		c.cancel()
	}
}

func (s *Session) consumer(id uint32) *Consumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.consumers[id]
}

func (s *Session) producer(id uint32) *Producer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.producers[id]
}

func (s *Session) forgetProducer(id uint32) {
	s.mu.Lock()
	delete(s.producers, id)
	s.mu.Unlock()
}

// takeBulk claims one of the large windows, if there is one.
func (s *Session) takeBulk() bool {
	if s.bulk.Add(1) <= maxBulk {
		return true
	}
	s.bulk.Add(-1)
	return false
}

func (s *Session) forgetConsumer(c *Consumer) {
	s.mu.Lock()
	_, known := s.consumers[c.id]
	delete(s.consumers, c.id)
	s.mu.Unlock()
	c.mu.Lock()
	bulk := c.bulk
	c.mu.Unlock()
	if known && bulk {
		s.bulk.Add(-1)
	}
}

// call starts what a CALL frame asks for.
func (s *Session) call(id uint32, payload []byte, handle Handler) error {
	c := &Call{session: s, id: id}
	s.mu.Lock()
	if _, taken := s.calls[id]; taken {
		s.mu.Unlock()
		return fmt.Errorf("%w: call id %d is in use", wire.ErrMalformed, id)
	}
	full := len(s.calls) >= maxCalls
	if s.closed {
		c.cancelled = true
	} else {
		s.calls[id] = c
	}
	s.mu.Unlock()
	if full {
		c.Error(errno.New("EAGAIN", "too many calls at once"))
		return nil
	}
	var method string
	var params []byte
	r := jsonlite.NewReader(payload)
	r.Object(func(key string) {
		switch key {
		case "method":
			method = r.String()
		case "params":
			params = r.Raw()
		}
	})
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: call %d: %w", wire.ErrMalformed, id, err)
	}
	if params == nil {
		params = []byte("{}")
	}
	if err := handle(c, method, jsonlite.NewReader(params)); err != nil {
		c.Error(err)
	}
	return nil
}

func (s *Session) cancel(id uint32) {
	s.mu.Lock()
	c := s.calls[id]
	s.mu.Unlock()
	if c != nil {
		c.cancel()
	}
}

// Call is one call of the host until it is answered.
type Call struct {
	session *Session
	id      uint32

	mu        sync.Mutex
	answered  bool
	cancelled bool
	context   context.Context
	stop      context.CancelFunc
	onCancel  func()
	producers []*Producer
	consumers []*Consumer
}

// Session returns the session that the call came with.
func (c *Call) Session() *Session { return c.session }

// Context returns a context that ends when the host cancels the call or goes away, or when it was answered.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.context == nil {
		c.context, c.stop = context.WithCancel(context.Background())
		if c.cancelled || c.answered {
			c.stop()
		}
	}
	return c.context
}

// OnCancel has f called, once, when the call is cancelled; at once if it was already.
func (c *Call) OnCancel(f func()) {
	c.mu.Lock()
	cancelled := c.cancelled
	if !cancelled {
		c.onCancel = f
	}
	c.mu.Unlock()
	if cancelled {
		f()
	}
}

func (c *Call) cancel() {
	c.mu.Lock()
	if c.cancelled || c.answered {
		c.mu.Unlock()
		return
	}
	c.cancelled = true
	stop, f := c.stop, c.onCancel
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	if f != nil {
		f()
	}
}

// settle reports whether the caller is the one to answer.
func (c *Call) settle() bool {
	c.mu.Lock()
	if c.answered {
		c.mu.Unlock()
		return false
	}
	c.answered = true
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	return true
}

// OK answers with a value in JSON. Only the first answer to a call counts.
func (c *Call) OK(value []byte) {
	const limit = wire.MaxPayloadBytes - 16
	if len(value) > limit {
		c.Error(errno.New("EOVERFLOW", fmt.Sprintf("the answer has %d bytes, more than a frame holds", len(value))))
		return
	}
	if !c.settle() {
		return
	}
	c.reply(append(append(append(make([]byte, 0, len(value)+8), `{"ok":`...), value...), '}'))
}

// Null answers with null.
func (c *Call) Null() {
	if c.settle() {
		c.reply([]byte(`{"ok":null}`))
	}
}

// Error answers with an error, after it ended the streams that the call had opened.
func (c *Call) Error(err error) {
	if !c.settle() {
		return
	}
	e := errno.From(err)
	for _, p := range c.producers {
		p.Fail(e)
	}
	for _, s := range c.consumers {
		s.Stop()
	}
	o := jsonlite.NewObject([]byte(`{"error":`))
	o.String("code", e.Code)
	o.String("message", limitText(e.Message))
	if e.Path != "" {
		o.String("path", limitText(e.Path))
	}
	c.reply(append(o.Close(), '}'))
}

// limitText keeps texts that quote their input below the size of a frame.
func limitText(s string) string {
	const limit = 16 << 10
	if len(s) > limit {
		return s[:limit]
	}
	return s
}

func (c *Call) reply(payload []byte) {
	c.session.out.control(wire.Reply, c.id, payload)
	c.session.mu.Lock()
	delete(c.session.calls, c.id)
	c.session.mu.Unlock()
}

// OpenProducer claims a stream from this side to the host. To be used while the call is started only.
func (c *Call) OpenProducer(id uint32) (*Producer, error) {
	p := newProducer(c.session, id)
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if err := c.session.claim(id, len(c.session.producers) >= maxProducers); err != nil {
		return nil, err
	}
	if c.session.closed {
		p.over = true
	} else {
		c.session.producers[id] = p
	}
	c.producers = append(c.producers, p)
	return p, nil
}

// OpenConsumer claims a stream from the host to this side. To be used while the call is started only.
func (c *Call) OpenConsumer(id uint32) (*Consumer, error) {
	s := newConsumer(c.session, id)
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if err := c.session.claim(id, len(c.session.consumers) >= maxConsumers); err != nil {
		return nil, err
	}
	if c.session.closed {
		s.over = true
	} else {
		c.session.consumers[id] = s
	}
	c.consumers = append(c.consumers, s)
	return s, nil
}

// claim checks that a stream id is free. s.mu is held.
func (s *Session) claim(id uint32, full bool) error {
	_, consumed := s.consumers[id]
	_, produced := s.producers[id]
	if id == 0 || consumed || produced {
		return errno.New(errno.Protocol, fmt.Sprintf("stream id %d cannot be used", id))
	}
	if full {
		return errno.New("EMFILE", "too many streams at once")
	}
	return nil
}

// parseFailure reads the payload of a FAIL frame.
func parseFailure(payload []byte) *errno.Error {
	e := errno.New("EIO", "the host gave up")
	r := jsonlite.NewReader(payload)
	r.Object(func(key string) {
		switch key {
		case "code":
			e.Code = r.String()
		case "message":
			e.Message = limitText(r.String())
		}
	})
	return e
}

// Detach has what the session's streams carry go on without it when it ends: in a copy of the machine a new session
// begins, and nobody is there who ended the old one.
func (s *Session) Detach(detached bool) { s.detached.Store(detached) }

// Closed reports whether the session is over.
func (s *Session) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Flush waits until everything that was queued is in the hands of the transport.
func (s *Session) Flush() { s.out.flush() }
