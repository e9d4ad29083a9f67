package boot

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheHostsFileGetsTheNameAndKeepsTheRest(t *testing.T) {
	for before, want := range map[string]string{
		"":                                      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n",
		"127.0.0.1 localhost\n10.0.0.1 other\n": "127.0.0.1 localhost\n10.0.0.1 other\n127.0.1.1\tbox\n",
		"127.0.0.1 localhost\n127.0.1.1 old older\n": "127.0.0.1 localhost\n127.0.1.1\tbox\n",
		"127.0.0.1 localhost":                        "127.0.0.1 localhost\n127.0.1.1\tbox\n",
		"# 127.0.1.1 comment\n127.0.0.1 x\n":         "# 127.0.1.1 comment\n127.0.0.1 x\n127.0.1.1\tbox\n",
	} {
		got := withoutOwnName(before) + ownAddress + "box\n"
		if got != want {
			t.Errorf("%q became %q", before, got)
		}
		if again := withoutOwnName(got) + ownAddress + "box\n"; again != got {
			t.Errorf("the second time %q became %q", got, again)
		}
	}
}

func TestACloneWithoutProperValuesIsRefused(t *testing.T) {
	good := Clone{Entropy: bytes.Repeat([]byte{1}, 32), Hostname: "a-1.b", MachineID: strings.Repeat("0a", 16)}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Clone){
		"little entropy":       func(c *Clone) { c.Entropy = c.Entropy[1:] },
		"too much entropy":     func(c *Clone) { c.Entropy = make([]byte, 257) },
		"no host name":         func(c *Clone) { c.Hostname = "" },
		"a line in the name":   func(c *Clone) { c.Hostname = "a\n127.0.0.1 evil" },
		"a space in the name":  func(c *Clone) { c.Hostname = "a b" },
		"a name of 64":         func(c *Clone) { c.Hostname = strings.Repeat("a", 64) },
		"a name like a flag":   func(c *Clone) { c.Hostname = "-a" },
		"a short machine id":   func(c *Clone) { c.MachineID = c.MachineID[2:] },
		"an upper-case id":     func(c *Clone) { c.MachineID = strings.ToUpper(c.MachineID) },
		"an id of other signs": func(c *Clone) { c.MachineID = strings.Repeat("zz", 16) },
	} {
		bad := good
		spoil(&bad)
		if bad.Check() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
