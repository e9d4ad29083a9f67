package javastore

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// empty is what keytool makes of nothing.
func empty() []byte {
	store := binary.BigEndian.AppendUint32(nil, magic)
	store = binary.BigEndian.AppendUint32(store, version)
	store = binary.BigEndian.AppendUint32(store, 0)
	sum := seal(store)
	return append(store, sum[:]...)
}

func TestACertificateIsAddedBehindTheOthers(t *testing.T) {
	one, err := Add(empty(), "first", []byte("certificate one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := Add(one, "second", []byte("certificate two"))
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.BigEndian.Uint32(two[8:]); n != 2 {
		t.Errorf("the store says that it has %d entries", n)
	}
	if !bytes.HasPrefix(two[headerSize:], one[headerSize:len(one)-sha1.Size]) {
		t.Error("the first entry changed")
	}
	if seal(two[:len(two)-sha1.Size]) != [sha1.Size]byte(two[len(two)-sha1.Size:]) {
		t.Error("the sum does not fit the content")
	}
}

func TestACertificateIsRemovedAndTheOthersStay(t *testing.T) {
	one, _ := Add(empty(), "first", []byte("certificate one"))
	two, _ := Add(one, "second", []byte("certificate two"))
	for alias, want := range map[string]string{"second": "certificate one", "first": "certificate two"} {
		left, err := Remove(two, alias)
		if err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint32(left[8:]) != 1 || !bytes.Contains(left, []byte(want)) || bytes.Contains(left, []byte(alias)) {
			t.Errorf("without %s the store is %q", alias, left)
		}
		if again, err := Remove(left, alias); err != nil || !bytes.Equal(again, left) {
			t.Errorf("an alias that is not there: %v", err)
		}
	}
	if back, err := Remove(one, "first"); err != nil || !bytes.Equal(back, empty()) {
		t.Errorf("what was added and removed again leaves %q: %v", back, err)
	}
}

func TestStoresOfOtherKindsAreLeftAlone(t *testing.T) {
	damaged := empty()
	damaged[headerSize] ^= 1
	for name, store := range map[string][]byte{
		"nothing": nil, "a PKCS 12 file": append([]byte{0x30, 0x82}, make([]byte, 64)...),
		"a damaged store": damaged, "a cut store": empty()[:20],
	} {
		if _, err := Add(store, "x", []byte("y")); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Remove(store, "x"); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEntryOfAnotherKindEndsTheSearch(t *testing.T) {
	store, _ := Add(empty(), "first", []byte("certificate one"))
	for cut := headerSize + 1; cut < len(store)-sha1.Size; cut++ {
		part := append([]byte(nil), store[:cut]...)
		sum := seal(part)
		if _, err := Remove(append(part, sum[:]...), "x"); !errors.Is(err, ErrForeign) {
			t.Fatalf("a store that ends after %d bytes: %v", cut, err)
		}
	}
}

// Java's own tool is the judge where it is installed.
func TestJavaReadsWhatWasAdded(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Log("no keytool on this machine: the form was checked above")
		return
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	der := filepath.Join(dir, "ca.der")
	run(t, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test",
		"-keyout", filepath.Join(dir, "key"), "-outform", "DER", "-out", der)
	certificate, err := os.ReadFile(der)
	if err != nil {
		t.Fatal(err)
	}
	store, err := Add(empty(), "sbx-sandbox", certificate)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "cacerts")
	if err := os.WriteFile(file, store, 0o600); err != nil {
		t.Fatal(err)
	}
	listed := run(t, keytool, "-list", "-keystore", file, "-storepass", password)
	if !strings.Contains(listed, "sbx-sandbox") || !strings.Contains(listed, "trustedCertEntry") {
		t.Errorf("keytool says:\n%s", listed)
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}
