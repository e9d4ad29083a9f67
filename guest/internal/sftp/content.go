package sftp

import "syscall"

// Flags of OPEN.
const (
	openRead     = 0x01
	openWrite    = 0x02
	openAppend   = 0x04
	openCreate   = 0x08
	openTruncate = 0x10
	openExclude  = 0x20
)

func openFlags(wanted uint32) int {
	// A terminal does not become this process's, and a FIFO that nobody has at its other end does not hold it up.
	flags := syscall.O_NOCTTY | syscall.O_NONBLOCK
	switch wanted & (openRead | openWrite) {
	case openRead | openWrite:
		flags |= syscall.O_RDWR
	case openWrite:
		flags |= syscall.O_WRONLY
	}
	for _, f := range [...]struct {
		wanted uint32
		flag   int
	}{
		{openAppend, syscall.O_APPEND}, {openCreate, syscall.O_CREAT}, {openTruncate, syscall.O_TRUNC},
		{openExclude, syscall.O_EXCL},
	} {
		if wanted&f.wanted != 0 {
			flags |= f.flag
		}
	}
	return flags
}

func (s *Server) open(id uint32, r *request) error {
	r.into(&s.one)
	flags := openFlags(r.u32())
	a := r.attributes()
	if r.err != nil {
		return r.err
	}
	if s.handles.full() {
		return errHandles
	}
	fd, err := openFile(&s.one, flags, a.modeOr(0o666))
	if err != nil {
		return err
	}
	s.opened(id, fd)
	return nil
}

func (s *Server) close(_ uint32, r *request) error {
	h := r.handle(&s.handles)
	if r.err != nil {
		return r.err
	}
	return closeFD(s.handles.remove(h))
}

// read reads from the file right into the answer.
func (s *Server) read(id uint32, r *request) error {
	h := r.handle(&s.handles)
	offset, length := r.position(), r.u32()
	if r.err != nil {
		return r.err
	}
	wanted := int(min(length, maxDataBytes))
	s.begin(fxpData, id, 16+wanted)
	at := len(s.output) + 4
	n, err := pread(h.fd, s.output[at:at+wanted], offset)
	if err == nil && n == 0 {
		err = errEOF
	}
	if err != nil {
		return err
	}
	s.output = order.AppendUint32(s.output, uint32(n))[:at+n]
	s.finish()
	return nil
}

func (s *Server) write(_ uint32, r *request) error {
	h := r.handle(&s.handles)
	offset, data := r.position(), r.bytes()
	if r.err != nil {
		return r.err
	}
	return pwrite(h.fd, data, offset)
}
