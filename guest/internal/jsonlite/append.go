package jsonlite

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(out []byte, s string) []byte {
	out = append(out, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				out = append(out, s[from:i]...)
				out = append(out, "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c < 0x20 || c == '"' || c == '\\' {
			out = append(out, s[from:i]...)
			if c >= 0x20 {
				out = append(out, '\\', c)
			} else {
				out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			from = i + 1
		}
		i++
	}
	out = append(out, s[from:]...)
	return append(out, '"')
}

// AppendInt appends v.
func AppendInt(out []byte, v int64) []byte { return strconv.AppendInt(out, v, 10) }

// AppendFloat appends v in the shortest form; what JSON cannot express becomes 0.
func AppendFloat(out []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(out, '0')
	}
	return strconv.AppendFloat(out, v, 'f', -1, 64)
}

// AppendBool appends v.
func AppendBool(out []byte, v bool) []byte { return strconv.AppendBool(out, v) }

// Object builds an object: Object{}.Open(out), fields, Close.
type Object struct {
	Out   []byte
	comma bool
}

// NewObject starts an object after what out holds.
func NewObject(out []byte) *Object { return &Object{Out: append(out, '{')} }

// Key appends a key; the caller appends its value to Out.
func (o *Object) Key(key string) {
	if o.comma {
		o.Out = append(o.Out, ',')
	}
	o.comma = true
	o.Out = append(o.Out, '"')
	o.Out = append(o.Out, key...)
	o.Out = append(o.Out, '"', ':')
}

// String appends a field with a string.
func (o *Object) String(key, v string) { o.Key(key); o.Out = AppendString(o.Out, v) }

// Int appends a field with a whole number.
func (o *Object) Int(key string, v int64) { o.Key(key); o.Out = AppendInt(o.Out, v) }

// Float appends a field with a number.
func (o *Object) Float(key string, v float64) { o.Key(key); o.Out = AppendFloat(o.Out, v) }

// Bool appends a field with a truth value.
func (o *Object) Bool(key string, v bool) { o.Key(key); o.Out = AppendBool(o.Out, v) }

// Null appends a field with null.
func (o *Object) Null(key string) { o.Key(key); o.Out = append(o.Out, "null"...) }

// Close ends the object and returns what Out holds.
func (o *Object) Close() []byte { return append(o.Out, '}') }
