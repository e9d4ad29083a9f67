// Package javastore adds a trusted certificate to a Java key store of the kind JKS, which Debian's Java trusts.
//
// The form is that of sun.security.provider.JavaKeyStore, all numbers big-endian: magic, version, number of entries, the
// entries, and a SHA-1 over the password in UTF-16, a fixed text, and everything before. A trusted entry is its tag (2),
// alias, time in ms, type of the certificate, and the certificate behind its length (4 bytes); texts are behind theirs
// (2 bytes).
package javastore

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"time"
)

const (
	magic      = 0xfeedfeed
	version    = 2
	trusted    = 2
	headerSize = 12
	// password is the one that every Java knows for its trusted certificates; it keeps nobody out.
	password = "changeit"
	pepper   = "Mighty Aphrodite"
)

// ErrForeign is returned for a store of another kind or with another password.
var ErrForeign = errors.New("not a JKS store with the usual password")

// Add returns a store with one more trusted certificate.
func Add(store []byte, alias string, certificate []byte) ([]byte, error) {
	end := len(store) - sha1.Size
	if end < headerSize || binary.BigEndian.Uint32(store) != magic || binary.BigEndian.Uint32(store[4:]) != version {
		return nil, ErrForeign
	}
	if seal(store[:end]) != [sha1.Size]byte(store[end:]) {
		return nil, ErrForeign
	}
	out := append([]byte(nil), store[:end]...)
	binary.BigEndian.PutUint32(out[8:], binary.BigEndian.Uint32(out[8:])+1)
	out = binary.BigEndian.AppendUint32(out, trusted)
	out = appendText(out, alias)
	out = binary.BigEndian.AppendUint64(out, uint64(time.Now().UnixMilli()))
	out = appendText(out, "X.509")
	out = binary.BigEndian.AppendUint32(out, uint32(len(certificate)))
	out = append(out, certificate...)
	sum := seal(out)
	return append(out, sum[:]...), nil
}

// Remove returns a store without the trusted certificates of an alias.
func Remove(store []byte, alias string) ([]byte, error) {
	end := len(store) - sha1.Size
	if end < headerSize || binary.BigEndian.Uint32(store) != magic || binary.BigEndian.Uint32(store[4:]) != version {
		return nil, ErrForeign
	}
	if seal(store[:end]) != [sha1.Size]byte(store[end:]) {
		return nil, ErrForeign
	}
	out := append([]byte(nil), store[:headerSize]...)
	count := binary.BigEndian.Uint32(store[8:])
	for rest := store[headerSize:end]; len(rest) > 0; {
		length, name := entry(rest)
		if length < 0 {
			return nil, ErrForeign
		}
		if name == alias {
			count--
		} else {
			out = append(out, rest[:length]...)
		}
		rest = rest[length:]
	}
	binary.BigEndian.PutUint32(out[8:], count)
	sum := seal(out)
	return append(out, sum[:]...), nil
}

// entry returns the length and the alias of the entry that a store's rest begins with, -1 for one of another kind.
func entry(rest []byte) (length int, alias string) {
	at := 4
	text := func() string {
		if at+2 > len(rest) {
			at = len(rest) + 1
			return ""
		}
		begin := at + 2
		at = begin + int(binary.BigEndian.Uint16(rest[at:]))
		if at > len(rest) {
			return ""
		}
		return string(rest[begin:at])
	}
	if len(rest) < 4 || binary.BigEndian.Uint32(rest) != trusted {
		return -1, ""
	}
	alias = text()
	at += 8
	_ = text()
	if at+4 > len(rest) {
		return -1, ""
	}
	size := int64(binary.BigEndian.Uint32(rest[at:]))
	if size > int64(len(rest)-at-4) {
		return -1, ""
	}
	return at + 4 + int(size), alias
}

func appendText(out []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(out, uint16(len(text))), text...)
}

// seal is the sum at the end of a store.
func seal(content []byte) [sha1.Size]byte {
	h := sha1.New()
	for _, c := range []byte(password) {
		h.Write([]byte{0, c})
	}
	h.Write([]byte(pepper))
	h.Write(content)
	return [sha1.Size]byte(h.Sum(nil))
}
