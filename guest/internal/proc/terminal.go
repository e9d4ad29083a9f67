package proc

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// ttyGroup owns terminals on Debian and most others.
const ttyGroup = 5

// terminal is the master of a pseudo-terminal.
type terminal struct {
	file *os.File
}

// openTerminal makes a pseudo-terminal and returns the descriptor of its slave as well.
func openTerminal(size Size, owner *accounts.Identity) (*terminal, int, error) {
	master, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, -1, errno.At(err, "/dev/ptmx")
	}
	slave, err := openSlave(master)
	if err != nil {
		syscall.Close(master)
		return nil, -1, errno.From(err)
	}
	if !owner.Current {
		_ = syscall.Fchown(slave, int(owner.UID), ttyGroup)
		_ = syscall.Fchmod(slave, 0o620)
	}
	setUTF8(slave)
	t := &terminal{file: file(master, "terminal")}
	_ = t.resize(size.Cols, size.Rows)
	return t, slave, nil
}

func openSlave(master int) (int, error) {
	var locked, number int32
	if err := sys.IoctlPointer(master, syscall.TIOCSPTLCK, unsafe.Pointer(&locked)); err != nil {
		return -1, err
	}
	if err := sys.IoctlPointer(master, syscall.TIOCGPTN, unsafe.Pointer(&number)); err != nil {
		return -1, err
	}
	name := "/dev/pts/" + strconv.Itoa(int(number))
	return syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
}

// setUTF8 makes the erase character take whole characters.
func setUTF8(fd int) {
	const iutf8 = 0x4000
	var t syscall.Termios
	if sys.IoctlPointer(fd, syscall.TCGETS, unsafe.Pointer(&t)) == nil {
		t.Iflag |= iutf8
		_ = sys.IoctlPointer(fd, syscall.TCSETS, unsafe.Pointer(&t))
	}
}

// control runs f with the descriptor of the master.
func (t *terminal) control(f func(fd int) error) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return err
	}
	return result
}

func (t *terminal) resize(cols, rows uint16) error {
	size := [4]uint16{rows, cols}
	return t.control(func(fd int) error {
		return sys.IoctlPointer(fd, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	})
}

// foreground returns the process group that the terminal's keys go to, 0 if unknown.
func (t *terminal) foreground() int {
	var group int32
	err := t.control(func(fd int) error {
		return sys.IoctlPointer(fd, syscall.TIOCGPGRP, unsafe.Pointer(&group))
	})
	if err != nil {
		return 0
	}
	return int(group)
}

// endInput types the end-of-file character: twice after an unfinished line, where the first only ends the line.
func (t *terminal) endInput(last byte) {
	var settings syscall.Termios
	eof := byte(4)
	err := t.control(func(fd int) error {
		return sys.IoctlPointer(fd, syscall.TCGETS, unsafe.Pointer(&settings))
	})
	if err == nil && settings.Cc[syscall.VEOF] != 0 {
		eof = settings.Cc[syscall.VEOF]
	}
	keys := []byte{eof, eof}
	if last == '\n' || last == '\r' {
		keys = keys[:1]
	}
	_, _ = t.file.Write(keys)
}

func (t *terminal) close() { t.file.Close() }
