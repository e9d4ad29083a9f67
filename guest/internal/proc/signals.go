package proc

import (
	"strconv"
	"syscall"

	"sbx.dev/agent/internal/errno"
)

// signalNames lists the kernel's signals by number, the same on amd64 and arm64.
var signalNames = [...]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
	23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
	30: "SIGPWR", 31: "SIGSYS",
}

// aliases are other names that Node and Deno know.
var aliases = map[string]syscall.Signal{"SIGPOLL": 29, "SIGIOT": 6, "SIGCLD": 17, "SIGUNUSED": 31}

// SignalName returns the name of a signal; real-time signals are counted from SIGRTMIN as the C library sees it.
func SignalName(s syscall.Signal) string {
	if int(s) < len(signalNames) && signalNames[s] != "" {
		return signalNames[s]
	}
	if s >= 34 && s <= 64 {
		return "SIGRTMIN+" + strconv.Itoa(int(s)-34)
	}
	return "SIG" + strconv.Itoa(int(s))
}

// ParseSignal finds a signal by its name.
func ParseSignal(name string) (syscall.Signal, error) {
	for number, known := range signalNames {
		if known == name && known != "" {
			return syscall.Signal(number), nil
		}
	}
	if s, ok := aliases[name]; ok {
		return s, nil
	}
	for s := syscall.Signal(34); s <= 64; s++ {
		if SignalName(s) == name {
			return s, nil
		}
	}
	return 0, errno.New("EINVAL", "unknown signal "+strconv.Quote(name))
}
