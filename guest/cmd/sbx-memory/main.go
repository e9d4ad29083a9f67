// Sbx-memory copies the memory of a running machine into a file, from which copies of the machine can start. It runs on
// the host, for as long as that takes.
//
//	sbx-memory PID ADDRESS BYTES
//
// The machine's memory is a private mapping of a file at ADDRESS of process PID: what the guest has written are pages
// of the process, everything else is still the file's. Descriptors: 3 is /proc/PID/mem, 4 is /proc/PID/pagemap, 5 the
// file that is mapped, 6 the file to fill, which is BYTES long and empty. They come from whoever is the machine's
// ancestor, as only that one may open them on some hosts.
//
// Lines on standard input are obeyed in order, each answered by one line of JSON on standard output: `copy` copies
// everything, while the machine runs, and `finish`, while it stands still, what differs by then. The end of standard
// input ends the program.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

const (
	memFD = 3 + iota
	pagemapFD
	baseFD
	targetFD
)

const failed = 125

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		code := "EIO"
		var number syscall.Errno
		switch {
		case errors.Is(err, errGone):
			code = "ESRCH"
		case errors.As(err, &number):
			code = codeOf(number)
		}
		fmt.Printf("{\"error\":%s,\"code\":%q}\n", strconv.Quote(err.Error()), code)
		os.Exit(failed)
	}
}

// codeOf names the failures that mean something to the user.
func codeOf(number syscall.Errno) string {
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return "ENOSPC"
	case syscall.EPERM, syscall.EACCES:
		return "EPERM"
	case syscall.ESRCH:
		return "ESRCH"
	}
	return "EIO"
}

var errUsage = errors.New("usage: sbx-memory PID ADDRESS BYTES")

func run(args []string, input io.Reader, output io.Writer) error {
	if len(args) != 3 {
		return errUsage
	}
	pid, err1 := strconv.Atoi(args[0])
	address, err2 := strconv.ParseUint(args[1], 0, 63)
	size, err3 := strconv.ParseInt(args[2], 10, 63)
	if err1 != nil || err2 != nil || err3 != nil || pid <= 0 || size <= 0 {
		return errUsage
	}
	image, err := openImage(files{memFD, pagemapFD, baseFD, targetFD}, pid, address, size)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		var count counts
		switch lines.Text() {
		case "copy":
			count, err = image.copy()
		case "finish":
			count, err = image.finish()
		default:
			err = errUsage
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(output, "{\"private\":%d,\"written\":%d}\n", count.private, count.written); err != nil {
			return err
		}
	}
	return lines.Err()
}
