package jsonlite

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// value reads any document into what encoding/json would make of it.
func value(r *Reader) any {
	switch c := r.peek(); {
	case c == '{':
		m := map[string]any{}
		r.Object(func(key string) { m[key] = value(r) })
		return m
	case c == '[':
		a := []any{}
		r.Array(func() { a = append(a, value(r)) })
		return a
	case c == '"':
		return r.String()
	case c == 't' || c == 'f':
		return r.Bool()
	case c == 'n':
		r.Null()
		return nil
	}
	return r.Float()
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00\ud800z"],"b":{"c":null,"d":true,"e":false}}`, `[]`, `{}`, `""`, `0`, `-0.5`,
		`01`, `1.`, `.5`, `+1`, `1e`, `[1,]`, `{"a":1,}`, `{"a"}`, `{1:2}`, `"\x"`, "\"\x01\"", "\"\xff\"", `"\u12"`, `nul`,
		`truefalse`, ` [ 1 , 2 ] `, `[1 2]`, `{"a":1 "b":2}`, `"unterminated`, `1e999`, strings.Repeat("[", 100),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var want any
		wantErr := json.Unmarshal(doc, &want)
		r := NewReader(doc)
		got := value(r)
		err := r.End()
		if wantErr == nil && err != nil && !strings.Contains(err.Error(), "nested too deeply") {
			t.Fatalf("%q: refused with %v", doc, err)
		}
		if wantErr != nil && err == nil {
			t.Fatalf("%q: accepted as %v, encoding/json says %v", doc, got, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: read as %#v instead of %#v", doc, got, want)
		}
		skipper := NewReader(doc)
		skipper.Skip()
		if skipErr := skipper.End(); (skipErr == nil) != (err == nil) && !strings.Contains(err.Error(), "out of range") {
			t.Fatalf("%q: skipping says %v, reading %v", doc, skipErr, err)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\"b\\c\n\x00\x1f", "\xff\xfe", "é😀", "\u2028", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatalf("%q became %q: %v", s, doc, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

func TestIntRefusesWhatIsNotAWholeNumberInRange(t *testing.T) {
	for doc, ok := range map[string]bool{
		"5": true, "0": true, "10": true, "1e1": true, "5.0": true, "11": false, "-1": false, "1.5": false, "1e300": false,
		"9223372036854775808": false, `"5"`: false, "null": false, "": false,
	} {
		r := NewReader([]byte(doc))
		r.Int(0, 10)
		if err := r.End(); (err == nil) != ok {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestUnknownKeysAreSkipped(t *testing.T) {
	r := NewReader([]byte(`{"x":{"y":[1,{"z":"}"}]},"wanted":"yes","w":[]}`))
	got := ""
	r.Object(func(key string) {
		if key == "wanted" {
			got = r.String()
		}
	})
	if err := r.End(); err != nil || got != "yes" {
		t.Fatal(got, err)
	}
}

func TestObjectBuilderMakesValidJSON(t *testing.T) {
	o := NewObject([]byte("["))
	o.String("s", "\"")
	o.Int("i", -3)
	o.Float("f", 1795441187760.25)
	o.Bool("b", true)
	o.Null("n")
	doc := append(o.Close(), ']')
	if string(doc) != `[{"s":"\"","i":-3,"f":1795441187760.25,"b":true,"n":null}]` {
		t.Fatal(string(doc))
	}
}
