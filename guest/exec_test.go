package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sbx.dev/agent/internal/testhost"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func code(err error) string {
	var e *testhost.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func start(t *testing.T, h *testhost.Host, params testhost.Params) int {
	t.Helper()
	var started struct{ PID int }
	must(t, h.Call("exec", params, &started))
	return started.PID
}

func wait(t *testing.T, h *testhost.Host, pid int) testhost.Exit {
	t.Helper()
	var exit testhost.Exit
	must(t, h.Call("wait", testhost.Params{"pid": pid}, &exit))
	return exit
}

func signalOf(e testhost.Exit) string {
	if e.Signal == nil {
		return ""
	}
	return *e.Signal
}

func TestALingeringProcessIsOverWhenNobodyHoldsItsPipes(t *testing.T) {
	h := startAgent(t)
	params := testhost.Exec("sh", "-c", "(sleep 0.3; echo late) & echo early; exit 4")
	params["lingers"] = true
	exit, out, _, err := h.Run(params, nil)
	must(t, err)
	if string(out) != "early\nlate\n" || exit.Code != 4 {
		t.Fatalf("%q %+v", out, exit)
	}
}

func TestCallsBeforeResumeAreRefused(t *testing.T) {
	h := startUnresumed(t)
	var info struct{ BootID string }
	must(t, h.Call("info", nil, &info))
	if info.BootID != "" {
		t.Fatal("the boot id is known before resume")
	}
	for _, method := range []string{"exec", "fs.stat", "stats", "clock", "sync", "copy.send", "dial"} {
		if err := h.Call(method, nil, nil); code(err) != "EPROTO" {
			t.Fatal(method, err)
		}
	}
	must(t, h.Call("prepare", testhost.Params{"diskBytes": 0}, nil))
	must(t, h.Resume())
	must(t, h.Call("info", nil, &info))
	if info.BootID == "" {
		t.Fatal("no boot id after resume")
	}
	var stats struct{ MemoryTotal, MemoryAvailable int64 }
	must(t, h.Call("stats", nil, &stats))
	if stats.MemoryTotal < stats.MemoryAvailable || stats.MemoryAvailable <= 0 {
		t.Fatal(stats)
	}
}

func TestExitStatuses(t *testing.T) {
	h := startAgent(t)
	for script, want := range map[string]struct {
		code   int
		signal string
	}{
		"exit 0": {0, ""}, "exit 3": {3, ""}, "exit 255": {255, ""}, "kill -9 $$": {137, "SIGKILL"}, "kill -TERM $$": {143, "SIGTERM"},
		"kill -SEGV $$": {139, "SIGSEGV"}, "sh -c 'kill -9 $$'; exit $?": {137, ""},
	} {
		exit, _, _, err := h.Run(testhost.Exec("sh", "-c", script), nil)
		must(t, err)
		if exit.Code != want.code || signalOf(exit) != want.signal || exit.OOM != nil {
			t.Errorf("%s: %+v %s", script, exit, signalOf(exit))
		}
	}
}

func TestStatusesCanBeAskedForOftenAndLate(t *testing.T) {
	h := startAgent(t)
	pid := start(t, h, testhost.Exec("sh", "-c", "exit 5"))
	for range 3 {
		if exit := wait(t, h, pid); exit.Code != 5 {
			t.Fatal(exit)
		}
	}
	for _, call := range []struct {
		method string
		params testhost.Params
	}{
		{"wait", testhost.Params{"pid": 1 << 30}}, {"kill", testhost.Params{"pid": pid, "signal": "SIGTERM", "group": false}},
		{"kill", testhost.Params{"pid": 1, "signal": "SIGTERM", "group": false}}, {"resize", testhost.Params{"pid": pid, "cols": 1, "rows": 1}},
		{"listening", testhost.Params{"pid": 1 << 30}},
	} {
		if err := h.Call(call.method, call.params, nil); code(err) != "ESRCH" {
			t.Error(call, err)
		}
	}
}

func TestArgumentsAndEnvironmentArriveAsTheyAre(t *testing.T) {
	h := startAgent(t)
	argv := []string{"a b", "", "", `"quoted" 'twice'`, "$HOME `x` \\", "new\nline", "é😀", "-n", "*"}
	params := testhost.Exec(append([]string{"sh", "-c", `for a; do printf '%s\0' "$a"; done`, "sh"}, argv...)...)
	_, out, _, err := h.Run(params, nil)
	must(t, err)
	if want := strings.Join(argv, "\x00") + "\x00"; string(out) != want {
		t.Fatalf("%q", out)
	}
	params = testhost.Exec("/usr/bin/env", "-0")
	params["env"] = testhost.Params{"A": "1", "B": "x=y\nz", "EMPTY": ""}
	_, out, _, err = h.Run(params, nil)
	must(t, err)
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	slices.Sort(got)
	if !slices.Equal(got, []string{"A=1", "B=x=y\nz", "EMPTY="}) {
		t.Fatalf("%q", got)
	}
	for _, bad := range []testhost.Params{testhost.Exec(), testhost.Exec(""), testhost.Exec("a\x00b")} {
		if err := h.Call("exec", bad, nil); code(err) != "ENOENT" && code(err) != "EINVAL" {
			t.Fatal(err)
		}
	}
}

func TestWhyAProgramDoesNotStart(t *testing.T) {
	h := startAgent(t)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	file := func(name, content string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		must(t, os.WriteFile(p, []byte(content), mode))
		return p
	}
	file("noexec", "#!/bin/sh\n", 0o644)
	file("noformat", "echo hello\n", 0o755)
	file("nointerpreter", "#!/no/such/interpreter\n", 0o755)
	for _, c := range []struct{ name, argv0, cwd, path, code, at string }{
		{"not in PATH", "no-such-command", "/", "/usr/bin", "ENOENT", "no-such-command"},
		{"no such file", "/no/such/file", "/", "/usr/bin", "ENOENT", "/no/such/file"},
		{"not executable", filepath.Join(dir, "noexec"), "/", "/usr/bin", "EACCES", filepath.Join(dir, "noexec")},
		{"not executable, in PATH", "noexec", "/", dir, "EACCES", "noexec"},
		{"a directory", "/etc", "/", "/usr/bin", "EACCES", "/etc"},
		{"no format", filepath.Join(dir, "noformat"), "/", "/usr/bin", "ENOEXEC", filepath.Join(dir, "noformat")},
		{"no interpreter", filepath.Join(dir, "nointerpreter"), "/", "/usr/bin", "ENOENT", filepath.Join(dir, "nointerpreter")},
		{"no directory", "true", "/no/such/dir", "/usr/bin:/bin", "ENOENT", "/no/such/dir"},
		{"a file as directory", "true", "/etc/passwd", "/usr/bin:/bin", "ENOTDIR", "/etc/passwd"},
		{"neither", "no-such-command", "/no/such/dir", "/usr/bin", "ENOENT", "/no/such/dir"},
	} {
		params := testhost.Exec(c.argv0)
		params["cwd"], params["env"] = c.cwd, testhost.Params{"PATH": c.path}
		out, in := h.Readable(), h.Writable()
		params["stdout"], params["stdin"] = out.ID, in.ID
		err := h.Call("exec", params, nil)
		var e *testhost.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Path != c.at {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := out.Next(); code(err) != c.code {
			t.Errorf("%s: the stream ends with %v", c.name, err)
		}
		must(t, in.Stopped())
	}
	params := testhost.Exec("noexec2")
	file("noexec2", "#!/bin/sh\nexit 9\n", 0o755)
	params["env"] = testhost.Params{"PATH": "/nowhere:" + dir}
	if exit := wait(t, h, start(t, h, params)); exit.Code != 9 {
		t.Fatal(exit)
	}
	params = testhost.Exec("./noexec2")
	params["cwd"] = dir
	if exit := wait(t, h, start(t, h, params)); exit.Code != 9 {
		t.Fatal(exit)
	}
}

func TestStreamsAreBinaryAndApart(t *testing.T) {
	h := startAgent(t)
	input := make([]byte, 3<<20)
	for i := range input {
		input[i] = byte(i * 7)
	}
	exit, out, stderr, err := h.Run(testhost.Exec("sh", "-c", "cat; echo to stderr >&2"), input)
	must(t, err)
	if exit.Code != 0 || !bytes.Equal(out, input) || string(stderr) != "to stderr\n" {
		t.Fatal(exit, len(out), string(stderr))
	}
	exit, out, _, err = h.Run(testhost.Exec("cat"), nil)
	must(t, err)
	if exit.Code != 0 || len(out) != 0 {
		t.Fatal("without stdin it is not empty")
	}
}

func TestTheStreamsEndBeforeTheStatusIsTold(t *testing.T) {
	h := startAgent(t)
	for range 20 {
		out := h.Readable()
		params := testhost.Exec("sh", "-c", "head -c 100000 /dev/zero")
		params["stdout"] = out.ID
		wait(t, h, start(t, h, params))
		if !out.Ended() {
			t.Fatal("the status came before the END")
		}
	}
}

func TestAReaderThatSleepsStopsTheWriterAndNobodyElse(t *testing.T) {
	h := startAgent(t)
	out := h.Readable()
	params := testhost.Exec("sh", "-c", "yes | head -c 50000000")
	params["stdout"] = out.ID
	pid := start(t, h, params)
	waiting, err := h.Start("wait", testhost.Params{"pid": pid})
	must(t, err)
	for range 20 {
		exit, got, _, err := h.Run(testhost.Exec("echo", "meanwhile"), nil)
		must(t, err)
		if exit.Code != 0 || string(got) != "meanwhile\n" {
			t.Fatal(exit, string(got))
		}
	}
	if n := out.Buffered(); n > 256<<10 {
		t.Fatalf("%d bytes came without being granted", n)
	}
	if h.Answered(waiting) {
		t.Fatal("it ended though nobody took its output")
	}
	got, err := out.All()
	must(t, err)
	if len(got) != 50_000_000 {
		t.Fatal(len(got))
	}
	must(t, h.Result(waiting, nil))
}

func TestAReaderThatIsGoneEndsTheWriter(t *testing.T) {
	h := startAgent(t)
	out := h.Readable()
	params := testhost.Exec("yes")
	params["stdout"] = out.ID
	pid := start(t, h, params)
	_, err := out.Next()
	must(t, err)
	must(t, out.Stop())
	if exit := wait(t, h, pid); signalOf(exit) != "SIGPIPE" {
		t.Fatal(exit, signalOf(exit))
	}
}

func TestALeaderThatEndsLeavesItsHeirsAlone(t *testing.T) {
	h := startAgent(t)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	done := filepath.Join(dir, "done")
	script := `(while [ ! -e ` + dir + `/go ]; do echo late; sleep 0.01; done; echo still here; echo fine > ` + done + `) & echo early`
	out := h.Readable()
	params := testhost.Exec("sh", "-c", script)
	params["stdout"] = out.ID
	wait(t, h, start(t, h, params))
	got, err := out.All()
	must(t, err)
	if !strings.Contains(string(got), "early\n") {
		t.Fatalf("%q", got)
	}
	must(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	for range 5000 {
		if _, err := os.Stat(done); err == nil {
			return
		}
		pause()
	}
	t.Fatal("the heir did not live on")
}

func TestSignalsReachTheProcessOrItsGroup(t *testing.T) {
	h := startAgent(t)
	kill := func(pid int, signal string, group bool) error {
		return h.Call("kill", testhost.Params{"pid": pid, "signal": signal, "group": group}, nil)
	}
	out := h.Readable()
	params := testhost.Exec("sh", "-c", `trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.01; done`)
	params["stdout"] = out.ID
	pid := start(t, h, params)
	_, err := out.Next()
	must(t, err)
	must(t, kill(pid, "SIGTERM", false))
	if exit := wait(t, h, pid); exit.Code != 7 {
		t.Fatal(exit)
	}
	out = h.Readable()
	params = testhost.Exec("sh", "-c", `sleep 1000 & echo $!; wait`)
	params["stdout"] = out.ID
	pid = start(t, h, params)
	line, err := out.Next()
	must(t, err)
	must(t, kill(pid, "SIGKILL", true))
	if exit := wait(t, h, pid); signalOf(exit) != "SIGKILL" {
		t.Fatal(exit)
	}
	expectGone(t, strings.TrimSpace(string(line)))
	if err := kill(pid, "SIGNOPE", false); code(err) != "EINVAL" {
		t.Fatal(err)
	}
	// What a leader left behind can still be signalled with its group.
	out = h.Readable()
	params = testhost.Exec("sh", "-c", `sleep 1000 > /dev/null & echo $!`)
	params["stdout"] = out.ID
	pid = start(t, h, params)
	line, err = out.Next()
	must(t, err)
	wait(t, h, pid)
	must(t, kill(pid, "SIGTERM", true))
	expectGone(t, strings.TrimSpace(string(line)))
	if err := kill(pid, "SIGTERM", true); code(err) != "ESRCH" {
		t.Fatal(err)
	}
}

// expectGone waits until a process is dead and reaped: the agent has to reap orphans.
func expectGone(t *testing.T, pid string) {
	t.Helper()
	for range 5000 {
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			return
		}
		pause()
	}
	t.Fatal("process " + pid + " is still there")
}

func TestExtraDescriptors(t *testing.T) {
	h := startAgent(t)
	in, out, both, back := h.Writable(), h.Readable(), h.Writable(), h.Readable()
	params := testhost.Exec("bash", "-c", `cat <&5 >&7; read -u 9 line; echo "answer to $line" >&9`)
	params["extra"] = []testhost.Params{{"fd": 5, "write": in.ID}, {"fd": 7, "read": out.ID}, {"fd": 9, "read": back.ID, "write": both.ID}}
	pid := start(t, h, params)
	_, err := in.Write([]byte("through five to seven"))
	must(t, err)
	must(t, in.End())
	_, err = both.Write([]byte("a question\n"))
	must(t, err)
	must(t, both.End())
	for stream, want := range map[*testhost.Readable]string{out: "through five to seven", back: "answer to a question\n"} {
		got, err := stream.All()
		must(t, err)
		if string(got) != want {
			t.Errorf("%q", got)
		}
	}
	if exit := wait(t, h, pid); exit.Code != 0 {
		t.Fatal(exit)
	}
	for _, bad := range []testhost.Params{{"fd": 2, "read": 900}, {"fd": 3}, {"fd": 300, "read": 901}} {
		params["extra"] = []testhost.Params{bad}
		if err := h.Call("exec", params, nil); code(err) != "EINVAL" {
			t.Error(bad, err)
		}
	}
}

func TestTerminal(t *testing.T) {
	h := startAgent(t)
	params := testhost.Exec("sh", "-c", `tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; exit 4`)
	params["pty"] = testhost.Params{"cols": 99, "rows": 33}
	exit, out, _, err := h.Run(params, nil)
	must(t, err)
	if exit.Code != 4 || !strings.HasPrefix(string(out), "/dev/pts/") || !strings.HasSuffix(string(out), "\r\n33 99\r\nall\r\n") {
		t.Fatalf("%+v %q", exit, out)
	}
	params = testhost.Exec("cat")
	params["pty"] = testhost.Params{"cols": 80, "rows": 24}
	exit, out, _, err = h.Run(params, []byte("typed\nunfinished"))
	must(t, err)
	if exit.Code != 0 || strings.Count(string(out), "typed\r\n") != 2 || strings.Count(string(out), "unfinished") != 2 {
		t.Fatalf("%+v %q", exit, out)
	}
}

func TestATerminalTellsOfAResizeAndPassesKeysOn(t *testing.T) {
	h := startAgent(t)
	in, out := h.Writable(), h.Readable()
	params := testhost.Exec("bash", "-c", `trap 'stty size' WINCH; trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.01; done`)
	params["pty"], params["stdin"], params["stdout"] = testhost.Params{"cols": 80, "rows": 24}, in.ID, out.ID
	pid := start(t, h, params)
	expect := expecter(t, out)
	expect("ready")
	must(t, h.Call("resize", testhost.Params{"pid": pid, "cols": 120, "rows": 40}, nil))
	expect("40 120")
	_, err := in.Write([]byte{3})
	must(t, err)
	expect("interrupted")
	if exit := wait(t, h, pid); exit.Code != 6 {
		t.Fatal(exit)
	}
}

func TestATerminalThatIsClosedHangsUp(t *testing.T) {
	h := startAgent(t)
	out := h.Readable()
	params := testhost.Exec("sh", "-c", "echo ready; sleep 1000")
	params["pty"], params["stdout"] = testhost.Params{"cols": 80, "rows": 24}, out.ID
	pid := start(t, h, params)
	expecter(t, out)("ready")
	must(t, out.Stop())
	if exit := wait(t, h, pid); signalOf(exit) != "SIGHUP" {
		t.Fatal(exit, signalOf(exit))
	}
}

// expecter returns a function that reads until a text was seen.
func expecter(t *testing.T, out *testhost.Readable) func(text string) {
	var seen string
	return func(text string) {
		t.Helper()
		for !strings.Contains(seen, text) {
			b, err := out.Next()
			if err != nil {
				t.Fatalf("%v after %q", err, seen)
			}
			seen += string(b)
		}
	}
}

func TestDialAndListening(t *testing.T) {
	h := startAgent(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "u"))
	must(t, err)
	defer unix.Close()
	for _, l := range []net.Listener{listener, unix} {
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_, _ = c.Write([]byte("bye"))
			c.Close()
		}()
		in, out := h.Writable(), h.Readable()
		params := testhost.Params{"read": out.ID, "write": in.ID, "timeoutMs": 10_000}
		if l == listener {
			params["host"], params["port"] = "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
		} else {
			params["path"] = unix.Addr().String()
		}
		must(t, h.Call("dial", params, nil))
		message := bytes.Repeat([]byte("0123456789"), 100_000)
		go func() {
			_, _ = in.Write(message)
			_ = in.End()
		}()
		got, err := out.All()
		must(t, err)
		if string(got) != string(message)+"bye" {
			t.Fatal(len(got))
		}
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	in, out := h.Writable(), h.Readable()
	if err := h.Call("dial", testhost.Params{"port": port, "read": out.ID, "write": in.ID, "timeoutMs": 10_000}, nil); code(err) != "ECONNREFUSED" {
		t.Fatal(err)
	}
	var listening struct{ Ports []int }
	pid := start(t, h, testhost.Exec("sh", "-c", "python3 -m http.server --bind 127.0.0.1 "+strconv.Itoa(port)+" 2>/dev/null; true"))
	for range 5000 {
		must(t, h.Call("listening", testhost.Params{"pid": pid}, &listening))
		if len(listening.Ports) > 0 {
			break
		}
		pause()
	}
	if !slices.Equal(listening.Ports, []int{port}) {
		t.Fatal(listening)
	}
	must(t, h.Call("kill", testhost.Params{"pid": pid, "signal": "SIGKILL", "group": true}, nil))
}

func TestManyCommandsAtOnceDoNotMix(t *testing.T) {
	h := startAgent(t)
	results := make(chan error)
	const commands = 60
	for i := range commands {
		go func() {
			text := strings.Repeat(strconv.Itoa(i)+" ", 5000)
			exit, out, _, err := h.Run(testhost.Exec("sh", "-c", `cat; exit `+strconv.Itoa(i)), []byte(text))
			if err == nil && (exit.Code != i || string(out) != text) {
				err = errors.New("the output of command " + strconv.Itoa(i) + " is another one's")
			}
			results <- err
		}()
	}
	for range commands {
		must(t, <-results)
	}
}

func TestAWaitThatIsCancelledDoesNotDisturbOthers(t *testing.T) {
	h := startAgent(t)
	in := h.Writable()
	params := testhost.Exec("sh", "-c", "cat > /dev/null; exit 2")
	params["stdin"] = in.ID
	pid := start(t, h, params)
	first, err := h.Start("wait", testhost.Params{"pid": pid})
	must(t, err)
	second, err := h.Start("wait", testhost.Params{"pid": pid})
	must(t, err)
	must(t, h.Cancel(first))
	if err := h.Result(first, nil); code(err) != "ECANCELED" {
		t.Fatal(err)
	}
	must(t, in.End())
	var exit testhost.Exit
	must(t, h.Result(second, &exit))
	if exit.Code != 2 {
		t.Fatal(exit)
	}
}
