package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/port"
	"sbx.dev/agent/internal/testhost"
	"sbx.dev/agent/internal/wire"
)

// rig is a link with a host at its other end.
type rig struct {
	host   *testhost.Host
	conn   net.Conn
	link   *link.Link
	ended  chan error
	closed chan *link.Session

	mu     sync.Mutex
	failed []error
}

// newRig starts a link whose handler knows a few calls that do nothing but to exercise it.
func newRig(t *testing.T) *rig {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := port.New(ends[0], "agent")
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(ends[1]), "host")
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	r := &rig{conn: conn, ended: make(chan error, 1), closed: make(chan *link.Session, 16)}
	r.link = link.New(transport, []byte(`{"protocol":1}`), r.handle, func(s *link.Session) { r.closed <- s })
	go func() { r.ended <- r.link.Run() }()
	t.Cleanup(func() {
		conn.Close()
		r.link.Close()
		transport.Close()
	})
	if r.host, err = testhost.New(conn); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) note(err error) {
	r.mu.Lock()
	r.failed = append(r.failed, err)
	r.mu.Unlock()
}

func (r *rig) handle(c *link.Call, method string, params *jsonlite.Reader) error {
	var bytes, stream int64
	params.Object(func(key string) {
		switch key {
		case "bytes":
			bytes = params.Int(0, 1<<40)
		case "stream":
			stream = params.Int(0, 1<<32-1)
		}
	})
	if err := params.End(); err != nil {
		return errno.New("EINVAL", err.Error())
	}
	switch method {
	case "null":
		c.Null()
	case "large":
		c.OK(append(append([]byte{'"'}, strings.Repeat("x", int(bytes))...), '"'))
	case "hang":
		c.OnCancel(func() { c.Error(errno.ErrCanceled) })
	case "produce":
		return r.produce(c, uint32(stream), int(bytes))
	case "consume", "stop", "stall", "nibble":
		return r.consume(c, uint32(stream), method)
	case "gather":
		in, err := c.OpenConsumer(uint32(stream))
		if err != nil {
			return err
		}
		go func() {
			in.Gather(int(bytes))
			part, _ := in.Next()
			c.OK(jsonlite.AppendInt(nil, int64(len(part))))
		}()
	case "both":
		if _, err := c.OpenProducer(uint32(stream)); err != nil {
			return err
		}
		if _, err := c.OpenConsumer(uint32(stream) + 1); err != nil {
			return err
		}
		return errno.New("ENOENT", "it failed after all")
	default:
		return errno.New(errno.Unsupported, method)
	}
	return nil
}

// produce sends bytes that count, and answers when their END is on its way.
func (r *rig) produce(c *link.Call, id uint32, n int) error {
	p, err := c.OpenProducer(id)
	if err != nil {
		return err
	}
	p.OnOver(c.Null)
	go func() {
		for at := 0; at < n; {
			room := p.Reserve()
			if room == 0 {
				return
			}
			chunk := p.Chunk()
			if chunk == nil {
				return
			}
			room = min(room, n-at)
			for i := range chunk.Payload(room) {
				chunk.Payload(room)[i] = byte((at + i) % 251)
			}
			p.Send(chunk, room)
			at += room
		}
		p.End()
	}()
	return nil
}

// consume counts what arrives and answers with the number, or stops after the first bytes, or reads nothing.
func (r *rig) consume(c *link.Call, id uint32, how string) error {
	in, err := c.OpenConsumer(id)
	if err != nil {
		return err
	}
	c.OnCancel(func() { in.Stop() })
	go func() {
		total := 0
		for how != "stall" {
			if how == "nibble" {
				in.Gather(total % 70_001)
			}
			part, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				c.Error(err)
				return
			}
			if how == "nibble" {
				part = part[:min(len(part), 1+(total*7)%50_021)]
			}
			for i, b := range part {
				if b != byte((total+i)%251) {
					r.note(errors.New("a byte is wrong"))
				}
			}
			total += len(part)
			in.Advance(len(part))
			if how == "stop" {
				in.Stop()
				break
			}
		}
		if how != "stall" {
			c.OK(jsonlite.AppendInt(nil, int64(total)))
		}
	}()
	return nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func code(err error) string {
	var e *testhost.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryCallIsAnsweredOnce(t *testing.T) {
	r := newRig(t)
	must(t, r.host.Call("null", nil, nil))
	if err := r.host.Call("no such", nil, nil); code(err) != errno.Unsupported {
		t.Fatal(err)
	}
	if err := r.host.Call("null", "no object", nil); code(err) != "EINVAL" {
		t.Fatal(err)
	}
	if err := r.host.Call("large", testhost.Params{"bytes": 2 << 20}, nil); code(err) != "EOVERFLOW" {
		t.Fatal(err)
	}
	var text string
	must(t, r.host.Call("large", testhost.Params{"bytes": 1 << 19}, &text))
	if len(text) != 1<<19 {
		t.Fatal(len(text))
	}
}

func TestACancelledCallIsStillAnswered(t *testing.T) {
	r := newRig(t)
	id, err := r.host.Start("hang", nil)
	must(t, err)
	must(t, r.host.Cancel(id))
	if err := r.host.Result(id, nil); code(err) != errno.Canceled {
		t.Fatal(err)
	}
	must(t, r.host.Cancel(id))
	must(t, r.host.Cancel(4711))
	must(t, r.host.Call("null", nil, nil))
}

func TestAFailedCallEndsItsStreamsFirst(t *testing.T) {
	r := newRig(t)
	out, in := r.host.Readable(), r.host.Writable()
	if err := r.host.Call("both", testhost.Params{"stream": out.ID}, nil); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	if _, err := out.Next(); code(err) != "ENOENT" {
		t.Fatal(err)
	}
	must(t, in.Stopped())
}

// The host at the other end checks every frame against the window it granted.
func TestAProducerKeepsToItsWindow(t *testing.T) {
	r := newRig(t)
	const size = 3<<20 + 17
	out := r.host.Readable()
	id, err := r.host.Start("produce", testhost.Params{"stream": out.ID, "bytes": size})
	must(t, err)
	var got []byte
	for {
		b, err := out.Peek()
		if err == io.EOF {
			break
		}
		must(t, err)
		got = append(got, b...)
		// Odd amounts, and late.
		must(t, out.Grant(len(b)/2))
		must(t, out.Grant(len(b)-len(b)/2))
	}
	must(t, r.host.Result(id, nil))
	if !bytes.Equal(got, pattern(size)) {
		t.Fatalf("%d bytes, not those that were sent", len(got))
	}
}

func TestAProducerWithoutCreditSendsNoMoreThanTheInitialWindow(t *testing.T) {
	r := newRig(t)
	stuck := r.host.Readable()
	id, err := r.host.Start("produce", testhost.Params{"stream": stuck.ID, "bytes": 1 << 20})
	must(t, err)
	received := 0
	for received < wire.InitialWindowBytes {
		b, err := stuck.Peek()
		must(t, err)
		received += len(b)
	}
	// Others are not held up by it.
	for range 3 {
		out := r.host.Readable()
		must(t, r.host.Call("produce", testhost.Params{"stream": out.ID, "bytes": 100_000}, nil))
		must(t, r.host.Call("null", nil, nil))
	}
	if received != wire.InitialWindowBytes || r.host.Answered(id) {
		t.Fatal(received)
	}
	must(t, stuck.Stop())
	must(t, r.host.Result(id, nil))
}

func TestManyStreamsAtOnceAllArrive(t *testing.T) {
	r := newRig(t)
	const streams, size = 200, 300_000
	var all sync.WaitGroup
	for range streams {
		all.Add(1)
		go func() {
			defer all.Done()
			out := r.host.Readable()
			id, err := r.host.Start("produce", testhost.Params{"stream": out.ID, "bytes": size})
			if err != nil {
				r.note(err)
				return
			}
			got, err := out.All()
			if err == nil {
				err = r.host.Result(id, nil)
			}
			if err != nil || !bytes.Equal(got, pattern(size)) {
				r.note(errors.Join(err, errors.New("a stream is wrong")))
			}
		}()
	}
	all.Wait()
	if len(r.failed) > 0 {
		t.Fatal(r.failed)
	}
}

func TestAConsumerGetsWhatTheHostSends(t *testing.T) {
	r := newRig(t)
	for _, size := range []int{0, 1, 4096, wire.InitialWindowBytes, 5<<20 + 3} {
		in := r.host.Writable()
		id, err := r.host.Start("consume", testhost.Params{"stream": in.ID})
		must(t, err)
		_, err = in.Write(pattern(size))
		must(t, err)
		must(t, in.End())
		total := -1
		must(t, r.host.Result(id, &total))
		if total != size {
			t.Fatalf("%d instead of %d", total, size)
		}
	}
	if len(r.failed) > 0 {
		t.Fatal(r.failed)
	}
}

// The ring goes round many times while frames of all sizes are read into it and taken out of it.
func TestAConsumerThatTakesOddPiecesGetsWhatTheHostSends(t *testing.T) {
	r := newRig(t)
	const size = 9<<20 + 11
	in := r.host.Writable()
	id, err := r.host.Start("nibble", testhost.Params{"stream": in.ID})
	must(t, err)
	sent := pattern(size)
	for at, step := 0, 1; at < size; step = step*13%300_007 + 1 {
		n := min(step, size-at)
		_, err = in.Write(sent[at : at+n])
		must(t, err)
		at += n
	}
	must(t, in.End())
	total := -1
	must(t, r.host.Result(id, &total))
	if total != size || len(r.failed) > 0 {
		t.Fatalf("%d instead of %d, %d bad bytes", total, size, len(r.failed))
	}
}

func TestGatherWaitsForWhatIsPromisedOrTheEnd(t *testing.T) {
	for _, c := range []struct{ first, second, want int }{{50_000, 50_000, 100_000}, {10, 0, 10}} {
		r := newRig(t)
		in := r.host.Writable()
		id, err := r.host.Start("gather", testhost.Params{"stream": in.ID, "bytes": 100_000})
		must(t, err)
		_, err = in.Write(pattern(c.first))
		must(t, err)
		must(t, r.host.Call("null", nil, nil)) // The first bytes have arrived when this is answered.
		if c.second > 0 && r.host.Answered(id) {
			t.Fatal("it did not wait")
		}
		_, err = in.Write(pattern(c.second))
		must(t, err)
		must(t, in.End())
		got := -1
		must(t, r.host.Result(id, &got))
		if got != c.want {
			t.Fatalf("%d bytes in one piece instead of %d", got, c.want)
		}
	}
}

// Large windows are few; streams beyond them work with the initial one, and those that end make room for others.
func TestManyBulkStreamsAllArrive(t *testing.T) {
	r := newRig(t)
	const streams, size = 100, 1 << 20
	content := pattern(size)
	var all sync.WaitGroup
	for range streams {
		all.Add(1)
		go func() {
			defer all.Done()
			in := r.host.Writable()
			id, err := r.host.Start("consume", testhost.Params{"stream": in.ID})
			if err == nil {
				_, err = in.Write(content)
			}
			total := 0
			if err = errors.Join(err, in.End(), r.host.Result(id, &total)); err != nil || total != size {
				r.note(errors.Join(err, errors.New("a stream is wrong")))
			}
		}()
	}
	all.Wait()
	if len(r.failed) > 0 {
		t.Fatal(r.failed)
	}
}

func TestAConsumerThatStopsTellsTheHostAndIgnoresTheRest(t *testing.T) {
	r := newRig(t)
	in := r.host.Writable()
	id, err := r.host.Start("stop", testhost.Params{"stream": in.ID})
	must(t, err)
	_, err = in.Write(pattern(1000))
	must(t, err)
	must(t, in.Stopped())
	must(t, r.host.Frame(5, in.ID, pattern(1000)))
	must(t, r.host.Result(id, nil))
	must(t, r.host.Call("null", nil, nil))
}

func TestAFailureOfTheHostReachesTheConsumer(t *testing.T) {
	r := newRig(t)
	in := r.host.Writable()
	id, err := r.host.Start("consume", testhost.Params{"stream": in.ID})
	must(t, err)
	must(t, in.Fail())
	if err := r.host.Result(id, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
}

func TestAStalledConsumerHoldsUpNobody(t *testing.T) {
	r := newRig(t)
	in := r.host.Writable()
	_, err := r.host.Start("stall", testhost.Params{"stream": in.ID})
	must(t, err)
	_, err = in.Write(pattern(wire.InitialWindowBytes))
	must(t, err)
	must(t, r.host.Call("null", nil, nil))
}

func TestViolationsEndTheSession(t *testing.T) {
	window := pattern(wire.InitialWindowBytes)
	for name, violate := range map[string]func(r *rig, stream uint32) error{
		"data beyond the window": func(r *rig, stream uint32) error {
			return errors.Join(r.host.Frame(5, stream, window), r.host.Frame(5, stream, window[:1]))
		},
		"a frame of unknown type": func(r *rig, _ uint32) error { return r.host.Frame(77, 1, nil) },
		"a call that is no JSON":  func(r *rig, _ uint32) error { return r.host.Frame(2, 900, []byte("{")) },
		"a call id that is taken": func(r *rig, _ uint32) error {
			call := []byte(`{"method":"hang","params":{}}`)
			return errors.Join(r.host.Frame(2, 900, call), r.host.Frame(2, 900, call))
		},
		"credit without measure": func(r *rig, _ uint32) error {
			out := r.host.Readable()
			_, err := r.host.Start("produce", testhost.Params{"stream": out.ID, "bytes": 1 << 40})
			most := binary.LittleEndian.AppendUint32(nil, 1<<32-1)
			for range 300 {
				err = errors.Join(err, r.host.Frame(9, out.ID, most))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			in := r.host.Writable()
			_, err := r.host.Start("stall", testhost.Params{"stream": in.ID})
			must(t, err)
			_ = violate(r, in.ID)
			select {
			case err := <-r.ended:
				if !errors.Is(err, wire.ErrMalformed) {
					t.Fatal(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the session goes on")
			}
			<-r.closed
		})
	}
}

func TestAStreamIDThatIsTakenFailsTheCall(t *testing.T) {
	r := newRig(t)
	in := r.host.Writable()
	_, err := r.host.Start("stall", testhost.Params{"stream": in.ID})
	must(t, err)
	for _, method := range []string{"stall", "produce"} {
		if err := r.host.Call(method, testhost.Params{"stream": in.ID}, nil); code(err) != errno.Protocol {
			t.Fatal(method, err)
		}
	}
	if err := r.host.Call("produce", testhost.Params{"stream": 0}, nil); code(err) != errno.Protocol {
		t.Fatal(err)
	}
}

func TestAnotherHelloBeginsAnewWithoutAnythingOfBefore(t *testing.T) {
	r := newRig(t)
	out, in := r.host.Readable(), r.host.Writable()
	_, err := r.host.Start("produce", testhost.Params{"stream": out.ID, "bytes": 1 << 20})
	must(t, err)
	_, err = r.host.Start("stall", testhost.Params{"stream": in.ID})
	must(t, err)
	hanging, err := r.host.Start("hang", nil)
	must(t, err)
	for range wire.InitialWindowBytes / (128 << 10) {
		if _, err := out.Peek(); err != nil {
			t.Fatal(err)
		}
	}
	must(t, r.host.Frame(1, 0, []byte(`{"protocol":1}`)))
	<-r.closed
	must(t, r.host.Call("null", nil, nil))
	if r.host.Answered(hanging) {
		t.Fatal("a call of the earlier session was answered")
	}
	// Ids of the earlier session are free again.
	must(t, out.Grant(wire.InitialWindowBytes))
	must(t, r.host.Frame(2, hanging+1000, []byte(`{"method":"produce","params":{"stream":`+itoa(out.ID)+`,"bytes":10}}`)))
	if b, err := out.Peek(); err != nil || len(b) != 10 {
		t.Fatal(len(b), err)
	}
}

func itoa(n uint32) string { return string(jsonlite.AppendInt(nil, int64(n))) }

func TestAHostThatGoesAwayEndsEverything(t *testing.T) {
	r := newRig(t)
	out, in := r.host.Readable(), r.host.Writable()
	_, err := r.host.Start("produce", testhost.Params{"stream": out.ID, "bytes": 1 << 30})
	must(t, err)
	_, err = r.host.Start("consume", testhost.Params{"stream": in.ID})
	must(t, err)
	must(t, r.conn.Close())
	select {
	case <-r.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the session goes on")
	}
}

// A host that asks and does not read makes the agent stop reading, not grow.
func TestAHostThatDoesNotReadIsHeldUp(t *testing.T) {
	r := newRig(t)
	blocked := make(chan error, 1)
	must(t, r.conn.SetWriteDeadline(time.Now().Add(3*time.Second)))
	go func() {
		call := wire.AppendFrame(nil, wire.Call, 1, []byte(`{"method":"large","params":{"bytes":1000000}}`))
		for id := uint32(1000); ; id++ {
			binary.LittleEndian.PutUint32(call[8:], id)
			if _, err := r.conn.Write(call); err != nil {
				blocked <- err
				return
			}
		}
	}()
	release := r.host.HoldUp()
	err := <-blocked
	release()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}
