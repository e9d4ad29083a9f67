// Package jsonlite reads and writes JSON without reflection.
//
// The agent parses a small JSON document for each call of the host, and a call is on the path of every command that a
// user runs. Under emulation the reflection of encoding/json is a measurable share of that, so the few shapes the
// protocol has are read by hand. Input is untrusted: depth is limited here, size by the frame that carried it.
package jsonlite

import (
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth limits nesting, and with it the recursion of Skip.
const maxDepth = 64

var errSyntax = errors.New("not valid JSON")

// Reader is a cursor over one document. The first error sticks and makes every later call return zero values, so a
// caller checks Err or End once, after it has read everything.
type Reader struct {
	buf   []byte
	pos   int
	depth int
	err   error
}

// NewReader returns a Reader at the start of doc. The Reader keeps doc and Raw returns parts of it.
func NewReader(doc []byte) *Reader { return &Reader{buf: doc} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail records err unless there was an error before.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// End checks that nothing but white space is left and returns the first error.
func (r *Reader) End() error {
	if r.err == nil {
		r.space()
		if r.pos != len(r.buf) {
			r.err = errSyntax
		}
	}
	return r.err
}

func (r *Reader) space() {
	for r.pos < len(r.buf) {
		switch r.buf[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the next significant byte without consuming it, 0 at the end or after an error.
func (r *Reader) peek() byte {
	if r.err != nil {
		return 0
	}
	r.space()
	if r.pos >= len(r.buf) {
		return 0
	}
	return r.buf[r.pos]
}

func (r *Reader) expect(c byte) bool {
	if r.peek() != c || r.err != nil {
		r.Fail(errSyntax)
		return false
	}
	r.pos++
	return true
}

func (r *Reader) literal(word string) bool {
	if r.err != nil || len(r.buf)-r.pos < len(word) || string(r.buf[r.pos:r.pos+len(word)]) != word {
		r.Fail(errSyntax)
		return false
	}
	r.pos += len(word)
	return true
}

func (r *Reader) enter() bool {
	if r.depth++; r.depth > maxDepth {
		r.Fail(errors.New("JSON is nested too deeply"))
		return false
	}
	return true
}

// Object reads an object and calls field for each key. field reads the value or leaves it, in which case it is skipped.
func (r *Reader) Object(field func(key string)) {
	if !r.expect('{') || !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.peek() == '}' {
		r.pos++
		return
	}
	for r.err == nil {
		key := r.String()
		if !r.expect(':') {
			return
		}
		r.space()
		before := r.pos
		field(key)
		if r.err == nil && r.pos == before {
			r.Skip()
		}
		if r.peek() == '}' {
			r.pos++
			return
		}
		if !r.expect(',') {
			return
		}
	}
}

// Array reads an array and calls item for each element, which must read it.
func (r *Reader) Array(item func()) {
	if !r.expect('[') || !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.peek() == ']' {
		r.pos++
		return
	}
	for r.err == nil {
		r.space()
		before := r.pos
		item()
		if r.err == nil && r.pos == before {
			r.Skip()
		}
		if r.peek() == ']' {
			r.pos++
			return
		}
		if !r.expect(',') {
			return
		}
	}
}

// Null consumes a null and reports whether there was one. It leaves anything else in place.
func (r *Reader) Null() bool {
	return r.peek() == 'n' && r.literal("null")
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	if r.peek() == 't' {
		return r.literal("true")
	}
	r.literal("false")
	return false
}

// number consumes a number and returns its text.
func (r *Reader) number() []byte {
	r.peek()
	start, p := r.pos, r.pos
	digits := func() bool {
		from := p
		for p < len(r.buf) && r.buf[p] >= '0' && r.buf[p] <= '9' {
			p++
		}
		return p > from
	}
	at := func(set string) bool {
		for i := range set {
			if p < len(r.buf) && r.buf[p] == set[i] {
				p++
				return true
			}
		}
		return false
	}
	at("-")
	zero := p < len(r.buf) && r.buf[p] == '0'
	first := p
	ok := digits() && !(zero && p-first > 1)
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if r.err != nil || !ok {
		r.Fail(errSyntax)
		return nil
	}
	r.pos = p
	return r.buf[start:p]
}

// Float reads a number.
func (r *Reader) Float() float64 {
	text := r.number()
	if text == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(v, 0) {
		r.Fail(errors.New("a number is out of range"))
		return 0
	}
	return v
}

// Int reads a whole number between low and high. Exponents and fractions are accepted when the value is whole.
func (r *Reader) Int(low, high int64) int64 {
	text := r.number()
	if text == nil {
		return 0
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		f, _ := strconv.ParseFloat(string(text), 64)
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			r.Fail(errors.New("not a whole number: " + string(text)))
			return 0
		}
		v = int64(f)
	}
	if v < low || v > high {
		r.Fail(errors.New("a number is out of range: " + string(text)))
		return 0
	}
	return v
}

// String reads a string.
func (r *Reader) String() string {
	if !r.expect('"') {
		return ""
	}
	start := r.pos
	for p := start; p < len(r.buf); p++ {
		switch c := r.buf[p]; {
		case c == '"':
			r.pos = p + 1
			return toValid(r.buf[start:p])
		case c == '\\':
			return r.escaped(start, p)
		case c < 0x20:
			r.Fail(errSyntax)
			return ""
		}
	}
	r.Fail(errSyntax)
	return ""
}

// escaped reads the rest of a string whose first backslash is at p.
func (r *Reader) escaped(start, p int) string {
	out := append(make([]byte, 0, p-start+32), r.buf[start:p]...)
	for p < len(r.buf) {
		c := r.buf[p]
		switch {
		case c == '"':
			r.pos = p + 1
			return toValid(out)
		case c < 0x20:
			r.Fail(errSyntax)
			return ""
		case c != '\\':
			out = append(out, c)
			p++
		default:
			var n int
			if out, n = unescape(out, r.buf[p:]); n == 0 {
				r.Fail(errSyntax)
				return ""
			}
			p += n
		}
	}
	r.Fail(errSyntax)
	return ""
}

// unescape appends what the escape at the start of s means and returns the number of bytes it took, 0 if it is none.
func unescape(out, s []byte) ([]byte, int) {
	if len(s) < 2 {
		return out, 0
	}
	switch c := s[1]; c {
	case '"', '\\', '/':
		return append(out, c), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		first, ok := hex4(s[2:])
		if !ok {
			return out, 0
		}
		if utf16.IsSurrogate(first) {
			if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
				if second, ok := hex4(s[8:]); ok {
					if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
						return utf8.AppendRune(out, r), 12
					}
				}
			}
			first = utf8.RuneError
		}
		return utf8.AppendRune(out, first), 6
	}
	return out, 0
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var v rune
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

func toValid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// Skip consumes one value of any kind.
func (r *Reader) Skip() {
	switch c := r.peek(); {
	case c == '{':
		r.Object(func(string) {})
	case c == '[':
		r.Array(func() {})
	case c == '"':
		_ = r.String()
	case c == 't' || c == 'f':
		r.Bool()
	case c == 'n':
		r.Null()
	default:
		r.number()
	}
}

// Raw consumes one value and returns its text, a part of the document.
func (r *Reader) Raw() []byte {
	r.peek()
	start := r.pos
	r.Skip()
	if r.err != nil {
		return nil
	}
	return r.buf[start:r.pos]
}
