// Sbx-send-fd writes lines into a Unix socket, each with an open file. It is how a program that cannot send descriptors
// itself, such as one on Node, gives QEMU files: with the monitor's command add-fd. It runs on the host, for a
// few milliseconds at a time.
//
//	sbx-send-fd SOCKET FD:LINE...
//
// SOCKET and each FD are numbers of descriptors that it inherited. The socket may be one that does not block, and others
// may read from it meanwhile, but nobody else may write. The end of each LINE is added. The first line that cannot be
// written ends it with status 1; those before it were written as a whole, with their files.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// patience is how long it waits for a reader to make room.
const patience = 10 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "sbx-send-fd: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: sbx-send-fd SOCKET FD:LINE...")
	}
	socket, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%q is no descriptor", args[0])
	}
	for _, arg := range args[1:] {
		number, line, found := strings.Cut(arg, ":")
		fd, err := strconv.Atoi(number)
		if err != nil || !found {
			return fmt.Errorf("%q is no descriptor and line", arg)
		}
		if err := send(socket, fd, []byte(line+"\n")); err != nil {
			return fmt.Errorf("the line for descriptor %d could not be written: %w", fd, err)
		}
	}
	return nil
}

// send writes a line whose first byte carries a file.
func send(socket, fd int, line []byte) error {
	deadline := time.Now().Add(patience)
	rights := syscall.UnixRights(fd)
	for len(line) > 0 {
		n, err := syscall.SendmsgN(socket, line, rights, nil, syscall.MSG_NOSIGNAL)
		switch {
		case err == nil:
			line, rights = line[n:], nil
		case err == syscall.EINTR:
		case err == syscall.EAGAIN && time.Now().Before(deadline):
			awaitRoom(socket)
		default:
			return err
		}
	}
	return nil
}

// awaitRoom returns when the socket takes more, or after a moment.
func awaitRoom(socket int) {
	const pollOut, momentMs = 0x4, 100
	request := struct {
		fd              int32
		events, revents int16
	}{fd: int32(socket), events: pollOut}
	moment := syscall.NsecToTimespec(momentMs * int64(time.Millisecond))
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&request)), 1,
		uintptr(unsafe.Pointer(&moment)), 0, 0, 0)
}
