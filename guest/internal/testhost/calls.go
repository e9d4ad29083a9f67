package testhost

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"time"
)

// Params are the parameters of a call.
type Params = map[string]any

// Resume makes the agent accept all calls.
func (h *Host) Resume() error {
	entropy := make([]byte, 64)
	_, _ = rand.Read(entropy)
	return h.Call("resume", Params{
		"entropy":   base64.StdEncoding.EncodeToString(entropy),
		"unixNs":    strconv.FormatInt(time.Now().UnixNano(), 10),
		"hostname":  "test",
		"machineId": "0123456789abcdef0123456789abcdef",
	}, nil)
}

// Exit is the answer to wait.
type Exit struct {
	Code   int
	Signal *string
	OOM    *string
}

// Exec returns the parameters of exec for a command without streams.
func Exec(argv ...string) Params {
	return Params{
		"argv": argv, "env": Params{"PATH": "/usr/local/bin:/usr/bin:/bin"}, "cwd": "/", "user": "app",
		"pty": nil, "stdin": nil, "stdout": nil, "stderr": nil,
	}
}

// Run runs a command to its end and returns what it wrote.
func (h *Host) Run(params Params, input []byte) (exit Exit, stdout, stderr []byte, err error) {
	out, errs := h.Readable(), h.Readable()
	params["stdout"] = out.ID
	if params["pty"] == nil {
		params["stderr"] = errs.ID
	}
	var in *Writable
	if input != nil {
		in = h.Writable()
		params["stdin"] = in.ID
	}
	var started struct{ PID int }
	if err = h.Call("exec", params, &started); err != nil {
		return exit, nil, nil, err
	}
	wait, err := h.Start("wait", Params{"pid": started.PID})
	if err != nil {
		return exit, nil, nil, err
	}
	if in != nil {
		go func() {
			if _, err := in.Write(input); err == nil {
				_ = in.End()
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if params["stderr"] != nil {
			stderr, _ = errs.All()
		}
	}()
	stdout, err = out.All()
	<-done
	if err != nil {
		return exit, stdout, stderr, err
	}
	err = h.Result(wait, &exit)
	return exit, stdout, stderr, err
}
