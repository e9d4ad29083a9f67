package proc

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTermThatTheMachineHasNoDescriptionOfBecomesOneThatItHas(t *testing.T) {
	system, home := t.TempDir(), t.TempDir()
	for _, file := range []string{
		filepath.Join(system, "x", "xterm-256color"),
		filepath.Join(system, "76", "vt100"),
		filepath.Join(home, ".terminfo", "o", "own"),
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	defer func(dirs []string) { terminfoDirs = dirs }(terminfoDirs)
	terminfoDirs = []string{system}
	for term, want := range map[string]string{
		"xterm-256color": "xterm-256color",
		"vt100":          "vt100",
		"own":            "own",
		"xterm-kitty":    "xterm-256color",
		"":               "xterm-256color",
		"..":             "xterm-256color",
		"../x/other":     "xterm-256color",
	} {
		env := []string{"A=1", "TERM=" + term, "HOME=" + home}
		before := slices.Clone(env)
		got := withKnownTerm(env)
		if got[1] != "TERM="+want || len(got) != 3 || got[0] != "A=1" {
			t.Errorf("TERM=%q became %q", term, got)
		}
		if !slices.Equal(env, before) {
			t.Errorf("the environment of the caller was changed: %q", env)
		}
	}
	if got := withKnownTerm([]string{"HOME=" + home}); len(got) != 1 {
		t.Errorf("no TERM became %q", got)
	}
	terminfoDirs = nil
	if got := withKnownTerm([]string{"TERM=odd"}); got[0] != "TERM=odd" {
		t.Errorf("without descriptions, TERM=odd became %q", got)
	}
}
