package wire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// recorder writes down what a Decoder finds.
type recorder struct {
	log  []string
	left int
	data []byte
	id   uint32
}

func (r *recorder) Frame(h Header, payload []byte) error {
	if int(h.Length) != len(payload) {
		return fmt.Errorf("payload of %d bytes for a header that says %d", len(payload), h.Length)
	}
	r.log = append(r.log, fmt.Sprintf("%d %d %q", h.Type, h.ID, payload))
	return nil
}

func (r *recorder) DataStart(id uint32, length int) error {
	if r.left != 0 || length < 1 || length > MaxDataBytes {
		return fmt.Errorf("a frame of %d bytes begins with %d left", length, r.left)
	}
	r.id, r.left, r.data = id, length, nil
	return nil
}

func (r *recorder) DataPart(id uint32, part []byte) error {
	if id != r.id || len(part) == 0 || len(part) > r.left {
		return fmt.Errorf("a part of %d bytes for %d", len(part), r.left)
	}
	r.data = append(r.data, part...)
	if r.left -= len(part); r.left == 0 {
		r.log = append(r.log, fmt.Sprintf("data %d %q", id, r.data))
	}
	return nil
}

func frames(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func hello() []byte { return AppendFrame(nil, Hello, 0, []byte(`{"protocol":1}`)) }

func decode(stream []byte, sizes []byte) ([]string, error) {
	var d Decoder
	var r recorder
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(sizes) > 0 {
			n = min(n, 1+int(sizes[i%len(sizes)]))
		}
		if err := d.Write(stream[:n], &r); err != nil {
			return r.log, err
		}
		stream = stream[n:]
	}
	return r.log, nil
}

func FuzzFrameDecoder(f *testing.F) {
	call := AppendFrame(nil, Call, 1, []byte(`{"method":"info","params":{}}`))
	f.Add(frames(hello(), call), []byte{})
	f.Add(frames([]byte("garbage"), hello(), AppendFrame(nil, Data, 7, []byte("some data")), AppendFrame(nil, End, 7, nil)), []byte{0})
	f.Add(frames(hello(), AppendCredit(nil, 3, 99), AppendFrame(nil, Stop, 3, nil), AppendFrame(nil, Cancel, 1, nil)), []byte{11, 2})
	f.Add(frames(hello(), []byte{255, 255, 255, 255, 5, 0, 0, 0, 1, 0, 0, 0}), []byte{3})
	f.Add(frames(hello(), AppendFrame(nil, Reply, 1, nil)), []byte{})
	f.Add(frames(call, hello(), AppendFrame(nil, Data, 1, nil)), []byte{})
	f.Add(frames(AppendFrame(nil, Hello, 0, []byte("no object")), hello(), call), []byte{1, 30})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		whole, wholeErr := decode(stream, nil)
		parts, partsErr := decode(stream, sizes)
		if (wholeErr == nil) != (partsErr == nil) || wholeErr != nil && !errors.Is(wholeErr, ErrMalformed) {
			t.Fatalf("in one piece: %v, in parts: %v", wholeErr, partsErr)
		}
		if fmt.Sprint(whole) != fmt.Sprint(parts) {
			t.Fatalf("in one piece:\n%v\nin parts:\n%v", whole, parts)
		}
		if len(whole) > 0 && whole[0][0] != '1' {
			t.Fatalf("something before the HELLO: %v", whole)
		}
	})
}

func TestNothingIsDecodedBeforeTheFirstHello(t *testing.T) {
	log, err := decode(frames([]byte{9, 9, 9}, AppendFrame(nil, Call, 1, []byte("{}")), hello()), nil)
	if err != nil || len(log) != 1 || log[0] != `1 0 "{\"protocol\":1}"` {
		t.Fatal(log, err)
	}
}

func TestMalformedHeadersEndTheDecoding(t *testing.T) {
	header := func(length uint32, kind, flags, zero byte, id byte) []byte {
		return []byte{byte(length), byte(length >> 8), byte(length >> 16), byte(length >> 24), kind, flags, zero, 0, id, 0, 0, 0}
	}
	for name, b := range map[string][]byte{
		"flags":               header(1, 5, 1, 0, 1),
		"zero":                header(1, 5, 0, 1, 1),
		"unknown type":        header(0, 11, 0, 0, 1),
		"type 0":              header(0, 0, 0, 0, 1),
		"empty data":          header(0, 5, 0, 0, 1),
		"data too long":       header(MaxDataBytes+1, 5, 0, 0, 1),
		"call too long":       header(MaxPayloadBytes+1, 2, 0, 0, 1),
		"empty call":          header(0, 2, 0, 0, 1),
		"end with payload":    header(1, 6, 0, 0, 1),
		"stop with payload":   header(1, 8, 0, 0, 1),
		"cancel with payload": header(1, 4, 0, 0, 1),
		"short credit":        header(3, 9, 0, 0, 1),
		"hello with an id":    header(2, 1, 0, 0, 1),
		"call without an id":  header(2, 2, 0, 0, 0),
		"a reply":             header(2, 3, 0, 0, 1),
		"an event":            header(2, 10, 0, 0, 0),
	} {
		if _, err := decode(frames(hello(), b, make([]byte, 64)), nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResetWaitsForAnotherHello(t *testing.T) {
	var d Decoder
	var r recorder
	call := AppendFrame(nil, Call, 1, []byte("{}"))
	for _, b := range [][]byte{hello(), call[:5]} {
		if err := d.Write(b, &r); err != nil {
			t.Fatal(err)
		}
	}
	d.Reset()
	if err := d.Write(frames(call, hello(), call), &r); err != nil || len(r.log) != 3 {
		t.Fatal(r.log, err)
	}
}
