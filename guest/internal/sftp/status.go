package sftp

import (
	"errors"
	"syscall"
)

// Status codes.
const (
	statusOK               = 0
	statusEOF              = 1
	statusNoSuchFile       = 2
	statusPermissionDenied = 3
	statusFailure          = 4
	statusBadMessage       = 5
	statusUnsupported      = 8
)

var (
	errEOF         = errors.New("End of file")
	errBadMessage  = errors.New("Bad message")
	errUnsupported = errors.New("Operation unsupported")
	errNoHandle    = errors.New("No such handle")
	errHandles     = errors.New("Too many open handles")
)

// statusOf is how OpenSSH tells the kernel's errors, where version 3 has a number for them.
func statusOf(err error) uint32 {
	switch err {
	case nil:
		return statusOK
	case errEOF:
		return statusEOF
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EBADF, syscall.ELOOP:
		return statusNoSuchFile
	case syscall.EPERM, syscall.EACCES, syscall.EFAULT:
		return statusPermissionDenied
	case errBadMessage, syscall.ENAMETOOLONG, syscall.EINVAL:
		return statusBadMessage
	case errUnsupported, syscall.ENOSYS, syscall.EOPNOTSUPP:
		return statusUnsupported
	}
	return statusFailure
}

// messageOf says more than the number where the number is a collection: many clients print it.
func messageOf(err error) string {
	switch err {
	case nil:
		return "Success"
	case syscall.ENOENT:
		return "No such file"
	case syscall.EACCES, syscall.EPERM:
		return "Permission denied"
	}
	return err.Error()
}

// status answers with how a request ended.
func (s *Server) status(id uint32, err error) {
	message := messageOf(err)
	s.begin(fxpStatus, id, headerBytes+len(message))
	s.output = order.AppendUint32(s.output, statusOf(err))
	s.appendString(message)
	s.appendString("")
	s.finish()
}
