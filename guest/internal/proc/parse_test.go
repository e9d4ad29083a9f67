package proc

import (
	"os"
	"reflect"
	"syscall"
	"testing"
)

func TestParseKill(t *testing.T) {
	for record, want := range map[string]*Kill{
		"3,900,123456,-;Memory cgroup out of memory: Killed process 1234 (python3) total-vm:100kB, anon-rss:1kB\n": {PID: 1234, Comm: "python3"},
		"3,901,123456,-;Out of memory: Killed process 9 (a) b (c) total-vm:1kB, anon-rss:1kB\n SUBSYSTEM=x\n":      {PID: 9, Comm: "a) b (c"},
		"6,1,2,-;Out of memory: Killed process 77 (x)\n":                                                           {PID: 77, Comm: "x"},
		// What a process writes into the log has the facility of user messages.
		"11,902,1,-;Memory cgroup out of memory: Killed process 1 (init) total-vm:1kB\n": nil,
		"3,902,1,-;python: Killed process 1 (init) total-vm:1kB\n":                       nil,
		"3,902,1,-;Out of memory: Killed process x (y) total-vm:1kB\n":                   nil,
		"3,902,1,-;Out of memory: Killed process 12\n":                                   nil,
		"x,902,1,-;Out of memory: Killed process 12 (y) total-vm:1kB\n":                  nil,
		"no record": nil, "": nil, "3,1,1,-;": nil,
	} {
		got, ok := parseKill([]byte(record))
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, *want) {
			t.Errorf("%q: %+v %v", record, got, ok)
		}
	}
}

func TestParseListeners(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
   2: nonsense
   3: 0100007F:XXXX 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1
`
	got := map[string]int{}
	parseListeners([]byte(table), got)
	if !reflect.DeepEqual(got, map[string]int{"111": 8080, "333": 80}) {
		t.Fatal(got)
	}
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]syscall.Signal{
		"SIGHUP": 1, "SIGKILL": 9, "SIGTERM": 15, "SIGWINCH": 28, "SIGSYS": 31, "SIGIOT": 6, "SIGPOLL": 29, "SIGRTMIN+1": 35,
	} {
		if got, err := ParseSignal(name); err != nil || got != want {
			t.Errorf("%s: %d %v", name, got, err)
		}
	}
	for _, name := range []string{"", "KILL", "sigkill", "SIG", "SIG9", "SIGNOPE", "9"} {
		if got, err := ParseSignal(name); err == nil {
			t.Errorf("%q: %d", name, got)
		}
	}
	for s := syscall.Signal(1); s <= 31; s++ {
		if back, err := ParseSignal(SignalName(s)); err != nil || back != s {
			t.Errorf("%d is called %s", s, SignalName(s))
		}
	}
}

func TestReadEntrySeesThroughStrangeNames(t *testing.T) {
	e, ok := readEntry(os.Getpid())
	if !ok || e.pid != os.Getpid() || e.parent != os.Getppid() {
		t.Fatal(e, ok)
	}
	if session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0); e.session != int(session) {
		t.Fatal(e, session)
	}
	if _, ok := readEntry(1 << 30); ok {
		t.Fatal("a process that cannot be")
	}
}

func TestVerdict(t *testing.T) {
	w := &OOMWatch{kills: []Kill{{PID: 10, session: 5}, {PID: 11, session: 6}}, count: 2}
	r, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := syscall.SetNonblock(int(r.Fd()), true); err != nil {
		t.Fatal(err)
	}
	if w.raw, err = r.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.SetNonblock(int(r.Fd()), true)
	for _, c := range []struct {
		pid  int
		mark uint64
		want Certainty
	}{{10, 0, HighOOM}, {5, 0, HighOOM}, {7, 0, LowOOM}, {10, 1, LowOOM}, {11, 1, HighOOM}, {11, 2, NoOOM}} {
		if got := w.Verdict(c.pid, c.mark); got != c.want {
			t.Errorf("pid %d since %d: %q", c.pid, c.mark, got)
		}
	}
}
