// Package testhost is the host's end of the link, for the tests of this module. It follows docs/protocol-agent.md on
// its own, without the code that it is there to test, and reports every frame that breaks the rules.
package testhost

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	frameHello = 1 + iota
	frameCall
	frameReply
	frameCancel
	frameData
	frameEnd
	frameFail
	frameStop
	frameCredit
	frameEvent
)

const (
	initialWindow = 256 << 10
	maxData       = 256 << 10
)

// Error is a failure that the agent reported.
type Error struct{ Code, Message, Path string }

func (e *Error) Error() string { return e.Code + ": " + e.Message + ": " + e.Path }

// Host is one connection to an agent.
type Host struct {
	conn  net.Conn
	wlock sync.Mutex

	mu      sync.Mutex
	cond    *sync.Cond
	err     error
	hello   json.RawMessage
	nextID  uint32
	replies map[uint32]json.RawMessage
	in      map[uint32]*Readable
	out     map[uint32]*Writable
	events  []json.RawMessage
}

// New greets the agent at the other end of conn.
func New(conn net.Conn) (*Host, error) {
	h := &Host{conn: conn, replies: map[uint32]json.RawMessage{}, in: map[uint32]*Readable{}, out: map[uint32]*Writable{}}
	h.cond = sync.NewCond(&h.mu)
	go h.read()
	if err := h.Frame(frameHello, 0, []byte(`{"protocol":1}`)); err != nil {
		return nil, err
	}
	return h, h.until(func() bool { return h.hello != nil })
}

// Close ends the connection.
func (h *Host) Close() error { return h.conn.Close() }

// Hello returns what the agent said of itself.
func (h *Host) Hello() json.RawMessage { return h.hello }

// Frame sends any frame.
func (h *Host) Frame(kind byte, id uint32, payload []byte) error {
	b := make([]byte, 12, 12+len(payload))
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	b[4] = kind
	binary.LittleEndian.PutUint32(b[8:], id)
	h.wlock.Lock()
	defer h.wlock.Unlock()
	_, err := h.conn.Write(append(b, payload...))
	return err
}

// Raw sends any bytes.
func (h *Host) Raw(b []byte) error {
	h.wlock.Lock()
	defer h.wlock.Unlock()
	_, err := h.conn.Write(b)
	return err
}

func (h *Host) until(condition func() bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !condition() {
		if h.err != nil {
			return h.err
		}
		h.cond.Wait()
	}
	return nil
}

// Err waits for the end of the connection and returns the reason.
func (h *Host) Err() error {
	return h.until(func() bool { return false })
}

func (h *Host) read() {
	r := bufio.NewReaderSize(h.conn, 512<<10)
	err := error(nil)
	for err == nil {
		err = h.readFrame(r)
	}
	h.mu.Lock()
	h.err = err
	h.cond.Broadcast()
	h.mu.Unlock()
}

func (h *Host) readFrame(r *bufio.Reader) error {
	var header [12]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	size, kind, id := binary.LittleEndian.Uint32(header[:]), header[4], binary.LittleEndian.Uint32(header[8:])
	if header[5] != 0 || header[6] != 0 || header[7] != 0 || size > 1<<20 {
		return fmt.Errorf("bad header % x", header)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.cond.Broadcast()
	return h.take(kind, id, payload)
}

func (h *Host) take(kind byte, id uint32, payload []byte) error {
	switch kind {
	case frameHello:
		if !json.Valid(payload) {
			return fmt.Errorf("bad HELLO %q", payload)
		}
		h.hello = payload
	case frameReply:
		if _, twice := h.replies[id]; twice || !json.Valid(payload) {
			return fmt.Errorf("bad REPLY %d %q", id, payload)
		}
		h.replies[id] = payload
	case frameData:
		s := h.in[id]
		if s == nil || s.ended {
			return fmt.Errorf("DATA for stream %d", id)
		}
		s.window -= int64(len(payload))
		if s.window < 0 || len(payload) == 0 || len(payload) > maxData {
			return fmt.Errorf("stream %d: %d bytes beyond its window", id, -s.window)
		}
		s.data = append(s.data, payload)
	case frameEnd, frameFail:
		s := h.in[id]
		if s == nil || s.ended {
			return fmt.Errorf("the end of stream %d", id)
		}
		s.ended = true
		if kind == frameFail {
			s.failure = &Error{}
			return json.Unmarshal(payload, s.failure)
		}
	case frameStop:
		if s := h.out[id]; s != nil {
			s.stopped = true
		}
	case frameCredit:
		if s := h.out[id]; s != nil {
			s.window += int64(binary.LittleEndian.Uint32(payload))
		}
	case frameEvent:
		h.events = append(h.events, payload)
	default:
		return fmt.Errorf("a frame of type %d", kind)
	}
	return nil
}

// Start sends a call and returns its id.
func (h *Host) Start(method string, params any) (uint32, error) {
	if params == nil {
		params = Params{}
	}
	payload, err := json.Marshal(map[string]any{"method": method, "params": params})
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	h.nextID++
	id := h.nextID
	h.mu.Unlock()
	return id, h.Frame(frameCall, id, payload)
}

// Cancel takes a call back.
func (h *Host) Cancel(id uint32) error { return h.Frame(frameCancel, id, nil) }

// Result waits for the answer to a call and stores its value.
func (h *Host) Result(id uint32, value any) error {
	var reply struct {
		OK    json.RawMessage
		Error *Error
	}
	if err := h.until(func() bool { return h.replies[id] != nil }); err != nil {
		return err
	}
	h.mu.Lock()
	payload := h.replies[id]
	delete(h.replies, id)
	h.mu.Unlock()
	if err := json.Unmarshal(payload, &reply); err != nil {
		return err
	}
	if reply.Error != nil {
		return reply.Error
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(reply.OK, value)
}

// Answered reports whether a call was answered, without waiting.
func (h *Host) Answered(id uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.replies[id] != nil
}

// Call makes a call and waits for the answer.
func (h *Host) Call(method string, params, value any) error {
	id, err := h.Start(method, params)
	if err != nil {
		return err
	}
	return h.Result(id, value)
}

// Readable is a stream from the agent.
type Readable struct {
	ID      uint32
	host    *Host
	window  int64
	data    [][]byte
	ended   bool
	failure *Error
}

// Readable claims a stream from the agent.
func (h *Host) Readable() *Readable {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextID++
	s := &Readable{ID: h.nextID, host: h, window: initialWindow}
	h.in[s.ID] = s
	return s
}

// Next waits for data and grants as much again. It returns io.EOF at the end.
func (s *Readable) Next() ([]byte, error) {
	b, err := s.Peek()
	if err == nil {
		err = s.Grant(len(b))
	}
	return b, err
}

// Peek is Next without granting anything.
func (s *Readable) Peek() ([]byte, error) {
	h := s.host
	if err := h.until(func() bool { return len(s.data) > 0 || s.ended }); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(s.data) > 0 {
		b := s.data[0]
		s.data = s.data[1:]
		return b, nil
	}
	if s.failure != nil {
		return nil, s.failure
	}
	return nil, io.EOF
}

// Grant allows the agent n more bytes.
func (s *Readable) Grant(n int) error {
	s.host.mu.Lock()
	s.window += int64(n)
	s.host.mu.Unlock()
	var payload [4]byte
	binary.LittleEndian.PutUint32(payload[:], uint32(n))
	return s.host.Frame(frameCredit, s.ID, payload[:])
}

// Stop tells the agent that no more is wanted. What is on its way still arrives.
func (s *Readable) Stop() error { return s.host.Frame(frameStop, s.ID, nil) }

// All reads to the end.
func (s *Readable) All() ([]byte, error) {
	var all []byte
	for {
		b, err := s.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, b...)
	}
}

// Writable is a stream to the agent.
type Writable struct {
	ID      uint32
	host    *Host
	window  int64
	stopped bool
}

// ErrStopped means that the agent wants no more.
var ErrStopped = errors.New("the agent stopped the stream")

// Writable claims a stream to the agent.
func (h *Host) Writable() *Writable {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextID++
	s := &Writable{ID: h.nextID, host: h, window: initialWindow}
	h.out[s.ID] = s
	return s
}

// Write sends b as the window allows.
func (s *Writable) Write(b []byte) (int, error) {
	h := s.host
	written := 0
	for written < len(b) {
		if err := h.until(func() bool { return s.window > 0 || s.stopped }); err != nil {
			return written, err
		}
		h.mu.Lock()
		if s.stopped {
			h.mu.Unlock()
			return written, ErrStopped
		}
		n := int(min(int64(len(b)-written), s.window, maxData))
		s.window -= int64(n)
		h.mu.Unlock()
		if err := h.Frame(frameData, s.ID, b[written:written+n]); err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// Stopped waits until the agent wants no more.
func (s *Writable) Stopped() error {
	return s.host.until(func() bool { return s.stopped })
}

// End ends the stream.
func (s *Writable) End() error { return s.host.Frame(frameEnd, s.ID, nil) }

// Fail ends the stream with an error.
func (s *Writable) Fail() error {
	return s.host.Frame(frameFail, s.ID, []byte(`{"code":"ECANCELED","message":"given up"}`))
}

// Events returns the events so far.
func (h *Host) Events() []json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]json.RawMessage(nil), h.events...)
}

// HoldUp keeps the host from reading until release is called.
func (h *Host) HoldUp() (release func()) {
	h.mu.Lock()
	return h.mu.Unlock
}

// Ended reports whether the agent has ended the stream.
func (s *Readable) Ended() bool {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return s.ended
}

// Buffered returns how many bytes have arrived and were not read.
func (s *Readable) Buffered() int {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	n := 0
	for _, b := range s.data {
		n += len(b)
	}
	return n
}
