package wire

import "encoding/binary"

// Sink receives what a Decoder finds. Slices are valid during the call only. An error ends the decoding.
type Sink interface {
	// Frame gets every frame but DATA, whole.
	Frame(h Header, payload []byte) error
	// DataStart announces a DATA frame of length bytes.
	DataStart(id uint32, length int) error
	// DataPart gets the next part of the DATA frame announced last.
	DataPart(id uint32, part []byte) error
}

// Decoder turns a stream of bytes into frames. Payloads of DATA frames are passed on in parts as they come in, so
// that no frame is ever assembled that the receiver would only take apart again.
//
// A Decoder starts out of step: it discards everything up to the first HELLO, because a link may be opened in the
// middle of what was left over from an earlier one.
type Decoder struct {
	synced  bool
	header  [HeaderBytes]byte
	filled  int
	current Header
	payload []byte
	left    int
}

// Reset makes the Decoder wait for a HELLO again.
func (d *Decoder) Reset() {
	d.synced, d.filled, d.left, d.payload = false, 0, 0, nil
}

// Write decodes more bytes. After an error the Decoder must be Reset.
func (d *Decoder) Write(b []byte, sink Sink) error {
	for len(b) > 0 {
		if d.filled < HeaderBytes {
			n := copy(d.header[d.filled:], b)
			d.filled += n
			b = b[n:]
			if d.filled < HeaderBytes {
				return nil
			}
			if err := d.start(sink); err != nil {
				return err
			}
			continue
		}
		n := min(d.left, len(b))
		if err := d.take(b[:n], sink); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Pending returns the stream of the DATA frame that is being decoded and how many of its bytes are missing: none if there
// is no such frame.
func (d *Decoder) Pending() (id uint32, left int) {
	if d.filled < HeaderBytes || d.current.Type != Data {
		return 0, 0
	}
	return d.current.ID, d.left
}

// Took accounts for bytes of the pending frame that the sink got without the Decoder.
func (d *Decoder) Took(n int) {
	if d.left -= n; d.left == 0 {
		d.filled = 0
	}
}

// start looks at a complete header.
func (d *Decoder) start(sink Sink) error {
	h, err := parseHeader(d.header[:])
	if !d.synced && (err != nil || h.Type != Hello) {
		copy(d.header[:], d.header[1:])
		d.filled--
		return nil
	}
	if err != nil {
		return err
	}
	d.current, d.left = h, int(h.Length)
	if h.Type == Data {
		return sink.DataStart(h.ID, d.left)
	}
	if d.left == 0 {
		d.filled = 0
		return sink.Frame(h, nil)
	}
	return nil
}

// take consumes a part of the current payload.
func (d *Decoder) take(part []byte, sink Sink) error {
	d.left -= len(part)
	if d.left == 0 {
		d.filled = 0
	}
	if d.current.Type == Data {
		return sink.DataPart(d.current.ID, part)
	}
	if len(d.payload) == 0 && d.left == 0 {
		return d.finish(part, sink)
	}
	d.payload = append(d.payload, part...)
	if d.left > 0 {
		return nil
	}
	whole := d.payload
	d.payload = d.payload[:0]
	if cap(whole) > 64<<10 {
		d.payload = nil
	}
	return d.finish(whole, sink)
}

func (d *Decoder) finish(payload []byte, sink Sink) error {
	if d.current.Type == Hello && !d.synced {
		if !looksLikeHello(payload) {
			return nil
		}
		d.synced = true
	}
	return sink.Frame(d.current, payload)
}

// looksLikeHello tells a greeting from bytes that happen to look like the header of one.
func looksLikeHello(payload []byte) bool {
	return len(payload) >= 2 && payload[0] == '{' && payload[len(payload)-1] == '}'
}

// CreditBytes returns the number in the payload of a CREDIT frame.
func CreditBytes(payload []byte) uint32 { return binary.LittleEndian.Uint32(payload) }
