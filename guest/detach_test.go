package main

import (
	"os"
	"path/filepath"
	"testing"

	"sbx.dev/agent/internal/testhost"
)

// frameHello is what begins another session.
const frameHello = 1

// much is more than any buffer between a process and a host that does not read.
const much = "i=0; while [ $i -lt 600 ]; do head -c 4096 /dev/zero || exit 9; i=$((i+1)); done; "

// inAnotherSession has a host begin anew on the same link.
func inAnotherSession(t *testing.T, h *testhost.Host) {
	t.Helper()
	must(t, h.Frame(frameHello, 0, []byte(`{"protocol":1}`)))
	must(t, h.Resume())
}

func TestAProcessOfADetachedSessionWritesOnToNobody(t *testing.T) {
	h := startAgent(t)
	file := filepath.Join(t.TempDir(), "done")
	out := h.Readable()
	params := testhost.Exec("/bin/bash", "-c", "set -o pipefail; "+much+"echo $i > "+file)
	params["stdout"] = out.ID
	pid := start(t, h, params)
	must(t, h.Call("detach", nil, nil))
	inAnotherSession(t, h)
	if exit := wait(t, h, pid); exit.Code != 0 {
		t.Fatalf("the process ended with %d", exit.Code)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "600\n" {
		t.Fatalf("it got as far as %q: %v", content, err)
	}
}

func TestATerminalOfADetachedSessionStays(t *testing.T) {
	h := startAgent(t)
	file := filepath.Join(t.TempDir(), "done")
	out, in := h.Readable(), h.Writable()
	params := testhost.Exec("/bin/bash", "-c", "trap 'exit 5' HUP; "+much+"[ -t 0 ] && [ -t 1 ] && echo yes > "+file)
	params["stdout"], params["stdin"], params["pty"] = out.ID, in.ID, testhost.Params{"cols": 80, "rows": 24}
	pid := start(t, h, params)
	must(t, h.Call("detach", nil, nil))
	inAnotherSession(t, h)
	if exit := wait(t, h, pid); exit.Code != 0 {
		t.Fatalf("the process ended with %d", exit.Code)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "yes\n" {
		t.Fatalf("its terminal: %q, %v", content, err)
	}
}

func TestTheInputOfADetachedSessionEnds(t *testing.T) {
	h := startAgent(t)
	in := h.Writable()
	params := testhost.Exec("/bin/cat")
	params["stdin"] = in.ID
	pid := start(t, h, params)
	must(t, h.Call("detach", nil, nil))
	inAnotherSession(t, h)
	if exit := wait(t, h, pid); exit.Code != 0 {
		t.Fatalf("the process ended with %d", exit.Code)
	}
}

func TestWithoutDetachAnotherSessionEndsTheOutputsOfTheFormerOne(t *testing.T) {
	for name, attached := range map[string]bool{"never detached": false, "attached again": true} {
		t.Run(name, func(t *testing.T) {
			h := startAgent(t)
			out := h.Readable()
			params := testhost.Exec("/bin/bash", "-c", much)
			params["stdout"] = out.ID
			pid := start(t, h, params)
			if attached {
				must(t, h.Call("detach", nil, nil))
				must(t, h.Call("attach", nil, nil))
			}
			inAnotherSession(t, h)
			if exit := wait(t, h, pid); exit.Code == 0 {
				t.Fatal("the process went on writing to a pipe that nobody has")
			}
		})
	}
}

func TestADetachedSessionThatGoesOnLosesNothing(t *testing.T) {
	h := startAgent(t)
	params := testhost.Exec("/bin/bash", "-c", much)
	out := h.Readable()
	params["stdout"] = out.ID
	start(t, h, params)
	must(t, h.Call("detach", nil, nil))
	must(t, h.Call("attach", nil, nil))
	all, err := out.All()
	must(t, err)
	if len(all) != 600*4096 {
		t.Fatalf("%d bytes arrived", len(all))
	}
}
