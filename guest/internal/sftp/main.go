package sftp

import (
	"os"
	"runtime"
)

// Option is what makes the agent's program an SFTP server on its standard input and output.
const Option = "--sftp"

// processName is what ps and the like call it: the kernel's own idea is that of a link in /proc.
const processName = "sftp-server"

// Main is the life of such a process. It returns its exit status.
func Main() int {
	// There is one goroutine; a second processor would be for the collector alone, which has next to nothing to do.
	runtime.GOMAXPROCS(1)
	_ = os.WriteFile("/proc/self/comm", []byte(processName), 0)
	in, err := NewDescriptor(0)
	if err == nil {
		var out *Descriptor
		if out, err = NewDescriptor(1); err == nil {
			err = New(in, out).Serve()
		}
	}
	if err != nil {
		_, _ = os.Stderr.WriteString("sftp-server: " + err.Error() + "\n")
		return 1
	}
	return 0
}
