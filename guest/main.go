// The agent of a sandbox: PID 1 of its machine, and the server of everything that the host does inside it.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/boot"
	"sbx.dev/agent/internal/hostclock"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/port"
	"sbx.dev/agent/internal/proc"
	"sbx.dev/agent/internal/server"
	"sbx.dev/agent/internal/sftp"
	"sbx.dev/agent/internal/volumes"
)

const (
	portName = "sbx.agent"
	// Collecting rarely costs little memory, as the heap is small, and keeps the collector off the way of commands.
	collectPercent = 400
	memoryLimit    = 128 << 20
)

func main() {
	debug.SetGCPercent(collectPercent)
	debug.SetMemoryLimit(memoryLimit)
	if os.Getpid() == 1 {
		guest()
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "--clock" {
		_, _ = os.Stdout.WriteString(strconv.FormatUint(hostclock.KHz(), 10) + "\n")
		return
	}
	if len(os.Args) == 2 && os.Args[1] == sftp.Option {
		os.Exit(sftp.Main())
	}
	development(os.Args[1:])
}

// outliveSignals keeps root in the guest from ending the machine with a kill of PID 1: the kernel spares it signals
// without a handler, but Go's runtime has one for each of these, which exits. They are caught and forgotten; ignoring
// them would be passed on to every process of the sandbox.
func outliveSignals() {
	forgotten := make(chan os.Signal, 1)
	signal.Notify(forgotten, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGABRT,
		syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS, syscall.SIGPIPE,
		syscall.SIGSTKFLT, syscall.SIGXCPU, syscall.SIGXFSZ)
}

// guest is the life of PID 1.
func guest() {
	// The agent moves bytes between descriptors. A second processor would hardly make that faster, and waking one up for
	// every goroutine is what costs most under emulation; it is of more use to the sandbox's processes.
	runtime.GOMAXPROCS(1)
	outliveSignals()
	if err := boot.Init(); err != nil {
		boot.Fatal(boot.Stage(err))
	}
	groups, err := boot.MakeGroups()
	if err != nil {
		boot.Fatal("control group", err)
	}
	events := make(chan proc.Kill, 64)
	watch, err := proc.WatchOOM(func(k proc.Kill) {
		select {
		case events <- k:
		default: // A storm of kills; the statuses of the processes tell the rest.
		}
	})
	if err != nil {
		boot.Fatal("kernel log", err)
	}
	procs, err := proc.NewManager(groups, watch)
	if err != nil {
		boot.Fatal("process table", err)
	}
	transport, err := port.Find(portName)
	if err != nil {
		boot.Fatal("agent port", err)
	}
	machine := &server.Guest{Accounts: accounts.Open("/etc/passwd", "/etc/group"), OOM: watch, Volumes: volumes.New()}
	s := server.New(machine, procs, boot.Console)
	l := link.New(transport, server.Hello(), s.Handle, s.SessionOver)
	go func() {
		for kill := range events {
			o := jsonlite.NewObject(nil)
			o.String("event", "oom")
			o.Int("pid", int64(kill.PID))
			o.String("comm", kill.Comm)
			l.Event(o.Close())
		}
	}()
	boot.Console("sbx-agent: ready")
	for {
		if err := l.Run(); err != nil {
			boot.Console("sbx-agent: the host broke the protocol: " + err.Error())
		}
	}
}
