// Package errno holds the one error type that crosses the link: a code by name, a message and perhaps a path.
package errno

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Codes that are not names of kernel errors.
const (
	// Canceled answers a call that the host took back.
	Canceled = "ECANCELED"
	// Protocol means that the host broke the protocol.
	Protocol = "EPROTO"
	// Unsupported means that this agent or this kernel cannot do it.
	Unsupported = "EUNSUPPORTED"
)

// Error is a failure as the host gets to see it.
type Error struct {
	// Code is the name of a kernel error, or one of the constants above.
	Code    string
	Message string
	// Path is the file the failure is about, empty if there is none.
	Path string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Message + ": " + e.Path
}

// New makes an Error without a path.
func New(code, message string) *Error { return &Error{Code: code, Message: message} }

// At makes the Error for a failed operation on path. It returns nil for a nil err.
func At(err error, path string) error {
	if err == nil {
		return nil
	}
	e := From(err)
	if e.Path != "" {
		return e
	}
	return &Error{Code: e.Code, Message: e.Message, Path: path}
}

// From turns any error into an Error.
func From(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	path := ""
	var pathError *fs.PathError
	var linkError *os.LinkError
	if errors.As(err, &pathError) {
		path = pathError.Path
	} else if errors.As(err, &linkError) {
		path = linkError.Old
	}
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return &Error{Code: Name(number), Message: number.Error(), Path: path}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, Message: "the call was cancelled"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Code: "ETIMEDOUT", Message: "timed out"}
	case errors.Is(err, fs.ErrClosed):
		return &Error{Code: "EBADF", Message: "the file was closed", Path: path}
	}
	return &Error{Code: "EIO", Message: err.Error(), Path: path}
}

// ErrCanceled is the answer to a cancelled call.
var ErrCanceled = New(Canceled, "the call was cancelled")
