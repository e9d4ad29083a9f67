package link

// Buffered gathers what is written and sends it in whole frames. Its buffer is its own, not one of those that streams
// share, since it may be held for as long as it takes to fill: whoever makes these bounds their number.
type Buffered struct {
	producer *Producer
	chunk    *Chunk
	room     int
	filled   int
}

// Buffered returns a writer that gathers small writes. Release must be called in the end.
func (p *Producer) Buffered() *Buffered { return &Buffered{producer: p} }

// Space returns where the next bytes go: at least one, as many as fit into the frame. Commit takes them over.
func (b *Buffered) Space() ([]byte, error) {
	if b.chunk == nil {
		if b.room = b.producer.Reserve(); b.room == 0 {
			return nil, ErrStopped
		}
		b.chunk = newChunk()
	}
	return b.chunk.Payload(b.room)[b.filled:], nil
}

// Commit takes over n bytes that were put into Space.
func (b *Buffered) Commit(n int) {
	if b.filled += n; b.filled == b.room {
		b.Flush()
	}
}

// Write implements io.Writer.
func (b *Buffered) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		space, err := b.Space()
		if err != nil {
			return written, err
		}
		n := copy(space, data[written:])
		b.Commit(n)
		written += n
	}
	return written, nil
}

// Flush sends what was gathered.
func (b *Buffered) Flush() {
	if b.chunk != nil {
		b.producer.Send(b.chunk, b.filled)
		b.chunk, b.filled = nil, 0
	}
}

// Release gives the buffer back; what was not flushed is lost.
func (b *Buffered) Release() {
	if b.chunk != nil {
		b.producer.Drop(b.chunk)
		b.chunk, b.filled = nil, 0
	}
}
