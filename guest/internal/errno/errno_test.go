package errno

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestFrom(t *testing.T) {
	_, missing := os.Open("/no/such/file")
	for _, c := range []struct {
		err        error
		code, path string
	}{
		{syscall.ENOENT, "ENOENT", ""}, {syscall.EWOULDBLOCK, "EAGAIN", ""}, {syscall.Errno(9999), "E9999", ""},
		{missing, "ENOENT", "/no/such/file"}, {fmt.Errorf("around: %w", missing), "ENOENT", "/no/such/file"},
		{&os.LinkError{Op: "rename", Old: "/a", New: "/b", Err: syscall.EXDEV}, "EXDEV", "/a"},
		{&net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "ECONNREFUSED", ""},
		{context.Canceled, Canceled, ""}, {os.ErrDeadlineExceeded, "ETIMEDOUT", ""}, {os.ErrClosed, "EBADF", ""},
		{errors.New("anything"), "EIO", ""}, {New("EBUSY", "mine"), "EBUSY", ""},
		{At(syscall.EPERM, "/p"), "EPERM", "/p"}, {At(missing, "/p"), "ENOENT", "/no/such/file"},
	} {
		if got := From(c.err); got.Code != c.code || got.Path != c.path || got.Message == "" {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
	if At(nil, "/p") != nil {
		t.Error("no error became one")
	}
}
