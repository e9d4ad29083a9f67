// Package boot turns a bare kernel into the sandbox's userland: it is what /init does before and after the link.
//
// Nothing here is reached in the development mode.
package boot

import (
	"os"
	"syscall"
)

// Console writes a line to the machine's console, which ends up in a log of the host.
func Console(line string) {
	fd, err := syscall.Open("/dev/console", syscall.O_WRONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		_, _ = os.Stderr.WriteString(line + "\n")
		return
	}
	_, _ = syscall.Write(fd, []byte(line+"\n"))
	syscall.Close(fd)
}

// Fatal reports that the machine cannot come up, and stops it.
func Fatal(stage string, err error) {
	Console("sbx-agent: fatal: " + stage + ": " + err.Error())
	Halt()
}

// stageError is an error and the step of the boot that it came from.
type stageError struct {
	stage string
	err   error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

func at(stage string, err error) error {
	if err == nil {
		return nil
	}
	return &stageError{stage, err}
}
