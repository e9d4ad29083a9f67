package proc

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// fallbackTerm is a kind of terminal that most others do what is expected of.
const fallbackTerm = "xterm-256color"

// terminfoDirs are where descriptions of terminals are (terminfo(5), Debian's ncurses).
var terminfoDirs = []string{"/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"}

// withKnownTerm returns the environment with another TERM where the machine has no description of the one that the
// user's terminal goes by: programs refuse to start then, or draw nothing.
func withKnownTerm(env []string) []string {
	at, home := -1, ""
	for i, pair := range env {
		if strings.HasPrefix(pair, "TERM=") {
			at = i
		} else if value, found := strings.CutPrefix(pair, "HOME="); found {
			home = value
		}
	}
	if at < 0 {
		return env
	}
	dirs := terminfoDirs
	if path.IsAbs(home) {
		dirs = append([]string{path.Join(home, ".terminfo")}, dirs...)
	}
	// A machine without descriptions knows what it does, or has no program that needs any.
	if hasTerminfo(dirs, strings.TrimPrefix(env[at], "TERM=")) || !hasTerminfo(dirs, fallbackTerm) {
		return env
	}
	changed := append([]string(nil), env...)
	changed[at] = "TERM=" + fallbackTerm
	return changed
}

// hasTerminfo looks for a description below its first letter, or the number of that on some systems.
func hasTerminfo(dirs []string, name string) bool {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return false
	}
	for _, dir := range dirs {
		for _, letter := range []string{name[:1], strconv.FormatUint(uint64(name[0]), 16)} {
			if _, err := os.Stat(path.Join(dir, letter, name)); err == nil {
				return true
			}
		}
	}
	return false
}
