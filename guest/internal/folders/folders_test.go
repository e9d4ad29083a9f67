package folders

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/port"
	"sbx.dev/agent/internal/testhost"
)

// kernel is the other end of what stands for /dev/fuse: a socket that, like it, keeps packets apart.
type kernel struct {
	fd       int
	host     *testhost.Host
	requests *testhost.Readable
	answers  *testhost.Writable
	// over is closed when the folder is carried no more.
	over chan struct{}
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	fuse := pair(t, syscall.SOCK_SEQPACKET)
	wire := pair(t, syscall.SOCK_STREAM)
	transport, err := port.New(wire[0], "agent")
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(wire[1]), "host")
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	k := &kernel{fd: fuse[1], over: make(chan struct{})}
	_ = syscall.SetNonblock(fuse[0], true)
	folder := &Folder{file: os.NewFile(uintptr(fuse[0]), "fuse"), target: "/nothing/is/mounted/here"}
	l := link.New(transport, []byte(`{"protocol":1}`), func(c *link.Call, _ string, r *jsonlite.Reader) error {
		ids := map[string]uint32{}
		r.Object(func(key string) { ids[key] = uint32(r.Int(0, 1<<32-1)) })
		out, err := c.OpenProducer(ids["read"])
		if err != nil {
			return err
		}
		in, err := c.OpenConsumer(ids["write"])
		if err != nil {
			return err
		}
		c.Null()
		go func() {
			folder.Carry(out, in)
			close(k.over)
		}()
		return nil
	}, func(*link.Session) {})
	go func() { _ = l.Run() }()
	if k.host, err = testhost.New(conn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		l.Close()
		transport.Close()
	})
	k.requests, k.answers = k.host.Readable(), k.host.Writable()
	params := testhost.Params{"read": k.requests.ID, "write": k.answers.ID}
	if err := k.host.Call("mount", params, nil); err != nil {
		t.Fatal(err)
	}
	return k
}

func pair(t *testing.T, kind int) [2]int {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

func packet(length int) []byte {
	p := bytes.Repeat([]byte{byte(length)}, length)
	binary.LittleEndian.PutUint32(p, uint32(length))
	return p
}

func TestRequestsComeOneBehindTheOtherAndAnswersGoWhole(t *testing.T) {
	k := newKernel(t)
	var want []byte
	for _, length := range []int{40, 41, 4096, 100_000, 56} {
		want = append(want, packet(length)...)
		if _, err := syscall.Write(k.fd, packet(length)); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	for len(got) < len(want) {
		part, err := k.requests.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the requests did not come as they were")
	}
	// However they are cut on the way, the kernel gets each in one piece.
	lengths := []int{16, 144, 70_000, 17}
	var stream []byte
	for _, length := range lengths {
		stream = append(stream, packet(length)...)
	}
	for at := 0; at < len(stream); at += 999 {
		if _, err := k.answers.Write(stream[at:min(len(stream), at+999)]); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, maxPacket)
	for _, length := range lengths {
		n, err := syscall.Read(k.fd, buffer)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buffer[:n], packet(length)) {
			t.Fatalf("an answer of %d bytes came as one of %d", length, n)
		}
	}
}

func TestAnAnswerThatCannotBeEndsTheFolder(t *testing.T) {
	for _, length := range []uint32{0, 15, maxPacket + 1, 1<<32 - 1} {
		k := newKernel(t)
		answer := make([]byte, headerBytes)
		binary.LittleEndian.PutUint32(answer, length)
		if _, err := k.answers.Write(answer); err != nil {
			t.Fatal(err)
		}
		<-k.over
		syscall.Close(k.fd)
	}
}

func TestTheFolderEndsWhenTheHostEndsEitherStream(t *testing.T) {
	for name, end := range map[string]func(*kernel) error{
		"answers end":   func(k *kernel) error { return k.answers.End() },
		"answers fail":  func(k *kernel) error { return k.answers.Fail() },
		"the host goes": func(k *kernel) error { return k.host.Close() },
	} {
		k := newKernel(t)
		if err := end(k); err != nil {
			t.Fatal(name, err)
		}
		<-k.over
		// The file is closed: whoever waits for an answer learns of it.
		if n, _ := syscall.Read(k.fd, make([]byte, 1)); n != 0 {
			t.Fatal(name, "something came")
		}
		syscall.Close(k.fd)
	}
}

func TestPlacesAreMadeAndWhatIsThereStays(t *testing.T) {
	base := t.TempDir()
	me := &accounts.Identity{Current: true}
	deep := filepath.Join(base, "a", "b", "c")
	if err := MakePlace(deep, me); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(deep); err != nil || !info.IsDir() {
		t.Fatal("there is no directory", err)
	}
	if err := os.Chmod(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := MakePlace(deep+"/", me); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(deep); info.Mode().Perm() != 0o700 {
		t.Fatal("a directory that was there was changed")
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if MakePlace(path, me) == nil {
			t.Fatal("a directory was made in the place of a file", path)
		}
	}
}
