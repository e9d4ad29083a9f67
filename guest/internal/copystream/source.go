package copystream

import (
	"encoding/binary"
	"io"
)

// Input is a stream of bytes: a link.Consumer.
type Input interface {
	// Next waits for bytes and returns some, valid until Advance; io.EOF at the end.
	Next() ([]byte, error)
	// Advance takes n of them.
	Advance(n int)
	// Gather waits until n bytes are there, or as many as it holds. It is for bytes that are promised: the end comes
	// no sooner unless something fails.
	Gather(n int)
}

// Output is where a stream goes: a link.Buffered.
type Output interface {
	// Space returns room for at least one byte, Commit takes over what was put there.
	Space() ([]byte, error)
	Commit(n int)
	Write(b []byte) (int, error)
	Flush()
}

// advanceBytes is how much is consumed before the host is told: often enough for it to go on sending meanwhile.
const advanceBytes = 64 << 10

// gatherFrom is what must be missing of a record for the wait to be worth its steps.
const gatherFrom = 64 << 10

// source reads records from a stream, in place where it can.
type source struct {
	in Input
	// part is what Next returned last, of which used bytes were taken.
	part []byte
	used int
	// gathered holds what was not in one piece.
	gathered []byte
}

// more makes sure that at least one byte is there.
func (s *source) more() error {
	if s.used >= advanceBytes || s.used == len(s.part) && s.used > 0 {
		s.in.Advance(s.used)
		s.part, s.used = s.part[s.used:], 0
	}
	if len(s.part) > 0 {
		return nil
	}
	part, err := s.in.Next()
	if err == io.EOF {
		return violation("it ends too early")
	}
	s.part = part
	return err
}

// gather waits for much of the next n bytes, which the stream has announced, so that they are taken in few steps.
func (s *source) gather(n int) {
	if n -= len(s.part) - s.used; n < gatherFrom {
		return
	}
	s.in.Advance(s.used)
	s.part, s.used = s.part[s.used:], 0
	s.in.Gather(len(s.part) + n)
	if len(s.part) == 0 {
		return
	}
	if part, err := s.in.Next(); err == nil {
		s.part = part
	}
}

// some returns between 1 and n bytes, valid until the next call.
func (s *source) some(n int) ([]byte, error) {
	if err := s.more(); err != nil {
		return nil, err
	}
	n = min(n, len(s.part)-s.used)
	b := s.part[s.used : s.used+n]
	s.used += n
	return b, nil
}

// exactly returns n bytes, valid until the next call.
func (s *source) exactly(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := s.some(n)
	if err != nil || len(b) == n {
		return b, err
	}
	s.gathered = append(s.gathered[:0], b...)
	for len(s.gathered) < n {
		if b, err = s.some(n - len(s.gathered)); err != nil {
			return nil, err
		}
		s.gathered = append(s.gathered, b...)
	}
	return s.gathered, nil
}

// next reads the header of a record.
func (s *source) next() (kind byte, length int, err error) {
	header, err := s.exactly(recordHeaderBytes)
	if err != nil {
		return 0, 0, err
	}
	kind, n := header[0], binary.LittleEndian.Uint32(header[1:])
	limit := uint32(0)
	switch kind {
	case kindEntry:
		limit = entryFixedBytes + 2*maxPathBytes
	case kindData:
		limit = maxRecordBytes
	case kindHole:
		limit = 8
	case kindSkipped:
		limit = 2 + maxPathBytes + 4096
	case kindEOF, kindEnd:
	default:
		return 0, 0, violation("an unknown record")
	}
	if n > limit || kind == kindHole && n != 8 {
		return 0, 0, violation("a record that is too long")
	}
	return kind, int(n), nil
}

// end waits for the end of the stream, before which nothing may come any more.
func (s *source) end() error {
	s.in.Advance(s.used)
	if s.part = s.part[s.used:]; len(s.part) > 0 {
		return violation("something follows its end")
	}
	s.used = 0
	_, err := s.in.Next()
	switch err {
	case nil:
		return violation("something follows its end")
	case io.EOF:
		return nil
	}
	return err
}
