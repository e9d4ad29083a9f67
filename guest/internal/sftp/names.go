package sftp

import (
	"os"
	"strings"

	"sbx.dev/agent/internal/accounts"
)

const (
	passwdPath = "/etc/passwd"
	groupPath  = "/etc/group"
)

// names are what users and groups are called. They are read when they are first needed, and again for each directory
// that is opened.
type names struct{ users, groups map[uint32]string }

func (n *names) refresh() { *n = names{} }

// user returns the name of a user, empty if there is none.
func (n *names) user(id uint32) string { return lookUp(&n.users, passwdPath, id) }

// group returns the name of a group, empty if there is none.
func (n *names) group(id uint32) string { return lookUp(&n.groups, groupPath, id) }

func lookUp(known *map[uint32]string, file string, id uint32) string {
	if *known == nil {
		*known = map[uint32]string{}
		accounts.Each(file, func(name string, number uint32, _ []string) {
			if _, twice := (*known)[number]; !twice {
				(*known)[number] = name
			}
		})
	}
	return (*known)[id]
}

// home returns the home directory of a user; of the one whose process this is for an empty name.
func home(user string) (string, bool) {
	found, ok := "", false
	self := uint32(os.Geteuid())
	accounts.Each(passwdPath, func(name string, number uint32, fields []string) {
		if !ok && len(fields) > 5 && (name == user || user == "" && number == self) {
			found, ok = fields[5], true
		}
	})
	if !ok && user == "" {
		found, ok = os.LookupEnv("HOME")
	}
	return found, ok && strings.HasPrefix(found, "/")
}
