package main

import (
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sbx.dev/agent/internal/sftp"
	"sbx.dev/agent/internal/testhost"
)

// TestMain makes the test binary an agent when startAgent asks for one: the tests talk to a process of its own, whose
// reaper then does not take their children.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "--dev" || os.Args[1] == sftp.Option) {
		main()
		return
	}
	os.Exit(m.Run())
}

// startAgent starts an agent in the development mode and resumes it.
func startAgent(t testing.TB) *testhost.Host {
	t.Helper()
	h := startUnresumed(t)
	if err := h.Resume(); err != nil {
		t.Fatal(err)
	}
	return h
}

// startUnresumed starts an agent in the development mode.
func startUnresumed(t testing.TB) *testhost.Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	agent := exec.Command(os.Args[0], "--dev", "--socket", path)
	agent.Stderr = os.Stderr
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(os.Interrupt)
		_ = agent.Wait()
	})
	return dialAgent(t, path)
}

func dialAgent(t testing.TB, path string) *testhost.Host {
	t.Helper()
	var conn net.Conn
	var err error
	for range 5000 {
		if conn, err = net.Dial("unix", path); err == nil {
			break
		}
		pause()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h, err := testhost.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// appendRecord, appendEntry and appendFile build copy streams by the book.
func appendRecord(out []byte, kind byte, payload []byte) []byte {
	out = append(out, kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)))
	return append(out, payload...)
}

func appendEntry(out []byte, kind byte, mode uint32, size uint64, path string) []byte {
	p := []byte{kind}
	p = binary.LittleEndian.AppendUint32(p, mode)
	p = binary.LittleEndian.AppendUint64(p, 1_700_000_000_000)
	p = binary.LittleEndian.AppendUint64(p, size)
	p = binary.LittleEndian.AppendUint16(p, uint16(len(path)))
	p = append(p, path...)
	p = binary.LittleEndian.AppendUint16(p, 0)
	return appendRecord(out, 1, p)
}

func appendFile(out []byte, path, content string) []byte {
	out = appendEntry(out, 1, 0o644, uint64(len(content)), path)
	out = appendRecord(out, 2, []byte(content))
	return appendRecord(out, 4, nil)
}

func pause() { time.Sleep(time.Millisecond) }
