package sftp

// maxHandles is how many files and directories a session may have open. Clients are told.
const maxHandles = 512

// handle is an open file or directory.
type handle struct {
	fd   int
	slot int
	// turn tells this use of a slot from earlier ones.
	turn uint16
	open bool
	// entries is where a directory's entries are read to, nil until then.
	entries []byte
}

// handles are a session's open files. What a client holds is a slot's number and its turn.
type handles struct {
	slots [maxHandles]handle
	// free are slots that were used before, used is how many ever were.
	free []uint16
	used int
}

// find returns the handle that a client names.
func (h *handles) find(name []byte) (*handle, error) {
	if len(name) != 4 {
		return nil, errNoHandle
	}
	slot := int(order.Uint16(name))
	if slot >= h.used || !h.slots[slot].open || h.slots[slot].turn != order.Uint16(name[2:]) {
		return nil, errNoHandle
	}
	return &h.slots[slot], nil
}

// handle reads a handle.
func (r *request) handle(h *handles) *handle {
	name := r.bytes()
	if r.err != nil {
		return nil
	}
	found, err := h.find(name)
	r.err = err
	return found
}

// full reports whether no more can be opened.
func (h *handles) full() bool { return len(h.free) == 0 && h.used == maxHandles }

// add keeps an open descriptor and returns its name. There must be room.
func (h *handles) add(fd int) uint32 {
	slot := h.used
	if n := len(h.free); n > 0 {
		slot = int(h.free[n-1])
		h.free = h.free[:n-1]
	} else {
		h.used++
	}
	added := &h.slots[slot]
	added.fd, added.slot, added.open = fd, slot, true
	added.turn++
	return uint32(slot)<<16 | uint32(added.turn)
}

// remove forgets a handle and returns its descriptor.
func (h *handles) remove(gone *handle) int {
	gone.open, gone.entries = false, nil
	h.free = append(h.free, uint16(gone.slot))
	return gone.fd
}

func (h *handles) closeAll() {
	for slot := range h.used {
		if h.slots[slot].open {
			_ = closeFD(h.slots[slot].fd)
			h.slots[slot].open = false
		}
	}
}

// opened answers with a new handle.
func (s *Server) opened(id uint32, fd int) {
	s.begin(fxpHandle, id, headerBytes)
	s.output = order.AppendUint32(s.output, 4)
	s.output = order.AppendUint32(s.output, s.handles.add(fd))
	s.finish()
}
