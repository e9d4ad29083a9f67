package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"

	"sbx.dev/agent/internal/testhost"
)

// benchHost connects to the agent at SBX_AGENT_SOCKET, which may be in a virtual machine, or to one of its own.
func benchHost(b *testing.B) *testhost.Host {
	b.Helper()
	path := os.Getenv("SBX_AGENT_SOCKET")
	if path == "" {
		return startAgent(b)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	h, err := testhost.New(conn)
	if err == nil {
		err = h.Resume()
	}
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func BenchmarkCall(b *testing.B) {
	h := benchHost(b)
	for range b.N {
		if err := h.Call("info", nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStat(b *testing.B) {
	h := benchHost(b)
	for range b.N {
		if err := h.Call("fs.stat", testhost.Params{"path": "/etc/passwd", "user": "app"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecTrue(b *testing.B) {
	h := benchHost(b)
	for range b.N {
		if _, _, _, err := h.Run(testhost.Exec("true"), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStdout(b *testing.B) {
	const bytes = 1 << 30
	h := benchHost(b)
	b.SetBytes(bytes)
	for range b.N {
		out := h.Readable()
		params := testhost.Exec("head", "-c", "1073741824", "/dev/zero")
		params["stdout"] = out.ID
		drain(b, h, "exec", params, out, bytes)
	}
}

func BenchmarkReadFile(b *testing.B) {
	const size = 200 << 20
	h := benchHost(b)
	if _, _, _, err := h.Run(testhost.Exec("head", "-c", "209715200", "/dev/urandom"), nil); err != nil {
		b.Fatal(err)
	}
	if exit, _, stderr, err := h.Run(testhost.Exec("dd", "if=/dev/zero", "of=/tmp/sbx-bench", "bs=1M", "count=200"), nil); err != nil || exit.Code != 0 {
		b.Fatal(err, string(stderr))
	}
	b.SetBytes(size)
	b.ResetTimer()
	for range b.N {
		out := h.Readable()
		drain(b, h, "fs.readFile", testhost.Params{"path": "/tmp/sbx-bench", "user": "app", "stream": out.ID}, out, size)
	}
}

func BenchmarkWriteFile(b *testing.B) {
	const size = 200 << 20
	h := benchHost(b)
	data := bytes.Repeat([]byte{'x'}, 1<<20)
	b.SetBytes(size)
	b.ResetTimer()
	for range b.N {
		in := h.Writable()
		id, err := h.Start("fs.writeFile", testhost.Params{"path": "/tmp/sbx-bench", "user": "app", "stream": in.ID, "create": true})
		if err != nil {
			b.Fatal(err)
		}
		for range size >> 20 {
			if _, err := in.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if err := in.End(); err != nil {
			b.Fatal(err)
		}
		if err := h.Result(id, nil); err != nil {
			b.Fatal(err)
		}
	}
}

const manyFiles = 5000

func BenchmarkCopySend(b *testing.B) {
	h := benchHost(b)
	script := "rm -rf /tmp/sbx-many; mkdir -p /tmp/sbx-many; cd /tmp/sbx-many; for d in $(seq 50); do mkdir $d; for f in $(seq 100); do echo some content $f > $d/$f; done; done"
	if exit, _, stderr, err := h.Run(testhost.Exec("bash", "-c", script), nil); err != nil || exit.Code != 0 {
		b.Fatal(err, string(stderr))
	}
	b.ResetTimer()
	for range b.N {
		out := h.Readable()
		drain(b, h, "copy.send", testhost.Params{"paths": []string{"/tmp/sbx-many"}, "user": "app", "stream": out.ID, "globs": false}, out, 0)
	}
}

func BenchmarkCopyReceive(b *testing.B) {
	h := benchHost(b)
	var stream []byte
	stream = appendEntry(stream, 2, 0o755, 0, "many")
	for d := range 50 {
		dir := "many/" + string(rune('A'+d))
		stream = appendEntry(stream, 2, 0o755, 0, dir)
		for f := range manyFiles / 50 {
			stream = appendFile(stream, dir+"/"+string(rune('A'+f)), "some content\n")
		}
	}
	stream = appendRecord(stream, 6, nil)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		if _, _, _, err := h.Run(testhost.Exec("rm", "-rf", "/tmp/sbx-received"), nil); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		in := h.Writable()
		id, err := h.Start("copy.receive", testhost.Params{"destination": "/tmp/sbx-received", "user": "app", "stream": in.ID, "directory": false})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.Write(stream); err != nil {
			b.Fatal(err)
		}
		if err := in.End(); err != nil {
			b.Fatal(err)
		}
		if err := h.Result(id, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// drain makes a call and reads a stream to its end.
func drain(b *testing.B, h *testhost.Host, method string, params testhost.Params, out *testhost.Readable, want int) {
	b.Helper()
	id, err := h.Start(method, params)
	if err != nil {
		b.Fatal(err)
	}
	total := 0
	for {
		data, err := out.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		total += len(data)
	}
	if err := h.Result(id, nil); err != nil {
		b.Fatal(err)
	}
	if want > 0 && total != want {
		b.Fatalf("%d bytes instead of %d", total, want)
	}
}
