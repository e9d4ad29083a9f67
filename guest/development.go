package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/port"
	"sbx.dev/agent/internal/proc"
	"sbx.dev/agent/internal/server"
)

const usage = `usage: sbx-agent --dev --socket PATH | --dev --fd N | --clock | --sftp

Without --dev this is the init of a sandbox. With it, the agent serves its protocol on a Unix socket, with the rights
of the user that runs it and without touching the machine: for tests of the host's side. On a socket it serves one
connection after another; on a descriptor it ends with the connection. With --clock it prints the frequency of the
processor's time-stamp counter in kHz, 0 if there is none. With --sftp it is an SFTP server on stdin and stdout, with
the rights of the user that runs it.
`

// development serves on the machine it is started on.
func development(args []string) {
	var socketPath string
	fd := -1
	if len(args) == 3 && args[0] == "--dev" {
		switch args[1] {
		case "--socket":
			socketPath = args[2]
		case "--fd":
			if n, err := strconv.Atoi(args[2]); err == nil {
				fd = n
			}
		}
	}
	if socketPath == "" && fd < 0 {
		_, _ = os.Stderr.WriteString(usage)
		os.Exit(2)
	}
	// Orphans come here as they would to PID 1, and the agent does not outlive whoever tests with it.
	const setParentDeathSignal, setChildSubreaper = 1, 36
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setParentDeathSignal, uintptr(syscall.SIGTERM), 0)
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
	procs, err := proc.NewManager(nil, nil)
	if err != nil {
		die(err)
	}
	quit := func(status int) {
		procs.KillAll()
		if socketPath != "" {
			_ = os.Remove(socketPath)
		}
		os.Exit(status)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		<-signals
		quit(0)
	}()
	s := server.New(&server.Development{Exit: func() { quit(0) }}, procs, warn)
	if fd >= 0 {
		syscall.CloseOnExec(fd)
		serve(fd, s)
		quit(0)
	}
	listener, err := listen(socketPath)
	if err != nil {
		die(err)
	}
	for {
		connection, _, err := syscall.Accept4(listener, syscall.SOCK_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			die(err)
		}
		serve(connection, s)
	}
}

func listen(path string) (int, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return -1, err
	}
	return fd, syscall.Listen(fd, 1)
}

// serve serves one connection to its end.
func serve(fd int, s *server.Server) {
	transport, err := port.New(fd, "host")
	if err != nil {
		die(err)
	}
	l := link.New(transport, server.Hello(), s.Handle, s.SessionOver)
	if err := l.Run(); err != nil {
		warn("sbx-agent: " + err.Error())
	}
	l.Close()
	_ = transport.Close()
}

func warn(line string) { _, _ = os.Stderr.WriteString(line + "\n") }

func die(err error) {
	warn("sbx-agent: " + err.Error())
	os.Exit(1)
}
