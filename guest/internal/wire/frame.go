// Package wire is the framing of the agent protocol (docs/protocol-agent.md): a header of 12 bytes, little-endian, and
// a payload. What is decoded here comes from the host, which may be broken but is bound to these limits all the same.
package wire

import (
	"encoding/binary"
	"errors"
)

// Protocol is the version of the protocol that this agent speaks.
const Protocol = 1

// Sizes in bytes.
const (
	HeaderBytes = 12
	// MaxPayloadBytes is the most that any frame carries.
	MaxPayloadBytes = 1 << 20
	// MaxDataBytes is the most that a DATA frame carries.
	MaxDataBytes = 256 << 10
	// InitialWindowBytes is what a producer may send before the first CREDIT.
	InitialWindowBytes = 256 << 10
	maxHelloBytes      = 4096
)

// Type says what a frame is.
type Type uint8

// The frame types.
const (
	Hello Type = iota + 1
	Call
	Reply
	Cancel
	Data
	End
	Fail
	Stop
	Credit
	Event
)

// Header is a decoded frame header.
type Header struct {
	Length uint32
	Type   Type
	ID     uint32
}

// ErrMalformed means that the peer broke the framing; nothing after it can be understood.
var ErrMalformed = errors.New("malformed frame")

// PutHeader writes a header into the first 12 bytes of out.
func PutHeader(out []byte, t Type, id uint32, length int) {
	_ = out[HeaderBytes-1]
	binary.LittleEndian.PutUint32(out[0:], uint32(length))
	out[4] = byte(t)
	out[5], out[6], out[7] = 0, 0, 0
	binary.LittleEndian.PutUint32(out[8:], id)
}

// AppendFrame appends a whole frame to out.
func AppendFrame(out []byte, t Type, id uint32, payload []byte) []byte {
	var header [HeaderBytes]byte
	PutHeader(header[:], t, id, len(payload))
	out = append(out, header[:]...)
	return append(out, payload...)
}

// AppendCredit appends a CREDIT frame to out.
func AppendCredit(out []byte, id, bytes uint32) []byte {
	var payload [4]byte
	binary.LittleEndian.PutUint32(payload[:], bytes)
	return AppendFrame(out, Credit, id, payload[:])
}

// parseHeader decodes and checks the header of a frame that a host sends to an agent.
func parseHeader(b []byte) (Header, error) {
	h := Header{Length: binary.LittleEndian.Uint32(b), Type: Type(b[4]), ID: binary.LittleEndian.Uint32(b[8:])}
	if b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return h, ErrMalformed
	}
	ok := false
	switch h.Type {
	case Hello:
		ok = h.ID == 0 && h.Length > 0 && h.Length <= maxHelloBytes
	case Call:
		ok = h.ID != 0 && h.Length > 0 && h.Length <= MaxPayloadBytes
	case Data:
		ok = h.ID != 0 && h.Length > 0 && h.Length <= MaxDataBytes
	case Fail:
		ok = h.ID != 0 && h.Length <= MaxPayloadBytes
	case Credit:
		ok = h.ID != 0 && h.Length == 4
	case Cancel, End, Stop:
		ok = h.ID != 0 && h.Length == 0
	case Reply, Event:
		// An agent's frames; a host that sends them is confused.
	}
	if !ok {
		return h, ErrMalformed
	}
	return h, nil
}
