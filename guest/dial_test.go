package main

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"sbx.dev/agent/internal/testhost"
)

// dialed connects the host to a Unix socket and returns both ends.
func dialed(t *testing.T, h *testhost.Host) (*testhost.Writable, *testhost.Readable, *net.UnixConn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "u"))
	must(t, err)
	defer listener.Close()
	in, out := h.Writable(), h.Readable()
	params := testhost.Params{"path": listener.Addr().String(), "read": out.ID, "write": in.ID, "timeoutMs": 10_000}
	must(t, h.Call("dial", params, nil))
	conn, err := listener.Accept()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return in, out, conn.(*net.UnixConn)
}

func TestEachDirectionOfAUnixSocketEndsByItself(t *testing.T) {
	h := startAgent(t)
	message := bytes.Repeat([]byte("0123456789"), 100_000)

	// The server is done first, and goes on to read.
	in, out, conn := dialed(t, h)
	_, err := conn.Write([]byte("bye"))
	must(t, err)
	must(t, conn.CloseWrite())
	got, err := out.All()
	must(t, err)
	if string(got) != "bye" {
		t.Fatalf("%q", got)
	}
	go func() {
		_, _ = in.Write(message)
		_ = in.End()
	}()
	got, err = io.ReadAll(conn)
	must(t, err)
	if !bytes.Equal(got, message) {
		t.Fatal(len(got))
	}

	// The host is done first, and goes on to read.
	in, out, conn = dialed(t, h)
	_, err = in.Write([]byte("bye"))
	must(t, err)
	must(t, in.End())
	got, err = io.ReadAll(conn)
	must(t, err)
	if string(got) != "bye" {
		t.Fatalf("%q", got)
	}
	go func() {
		_, _ = conn.Write(message)
		conn.Close()
	}()
	got, err = out.All()
	must(t, err)
	if !bytes.Equal(got, message) {
		t.Fatal(len(got))
	}
}

func TestAUnixSocketWhoseServerIsSlowToAcceptIsWaitedFor(t *testing.T) {
	h := startAgent(t)
	path := filepath.Join(t.TempDir(), "u")
	listener, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer syscall.Close(listener)
	must(t, syscall.Bind(listener, &syscall.SockaddrUnix{Name: path}))
	must(t, syscall.Listen(listener, 0))
	first, err := net.Dial("unix", path) // This one takes all the room that there is.
	must(t, err)
	defer first.Close()
	in, out := h.Writable(), h.Readable()
	params := testhost.Params{"path": path, "read": out.ID, "write": in.ID, "timeoutMs": 60_000}
	call, err := h.Start("dial", params)
	must(t, err)
	for range 50 {
		if pause(); h.Answered(call) {
			t.Fatal(h.Result(call, nil))
		}
	}
	for range 2 {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_CLOEXEC)
		must(t, err)
		defer syscall.Close(fd)
	}
	must(t, h.Result(call, nil))

	params["timeoutMs"] = 50
	full, err := net.Dial("unix", path)
	must(t, err)
	defer full.Close()
	params["read"], params["write"] = h.Readable().ID, h.Writable().ID
	if err := h.Call("dial", params, nil); code(err) != "ETIMEDOUT" {
		t.Fatal(err)
	}
}
