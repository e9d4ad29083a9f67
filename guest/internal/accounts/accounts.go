// Package accounts resolves names of users in the guest's /etc/passwd and /etc/group.
//
// Both files belong to the sandbox and may say anything; lines that make no sense are skipped.
package accounts

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"sbx.dev/agent/internal/errno"
)

// maxFileBytes bounds what is read of a file that the sandbox may have blown up.
const maxFileBytes = 4 << 20

// Identity is whose rights a process or a file operation has.
type Identity struct {
	UID    uint32
	GID    uint32
	Groups []uint32
	// Current means the rights that the agent itself has, whatever they are: nothing is to be changed.
	Current bool
}

// Same reports whether the rights are those that the agent has anyway.
func (i *Identity) Same() bool { return i.Current || i.UID == 0 }

// Database caches the two files until they change.
type Database struct {
	passwdPath, groupPath string

	mu            sync.Mutex
	passwd, group stamp
	users         map[string]*Identity
}

// stamp is what tells one version of a file from another.
type stamp struct {
	mtime syscall.Timespec
	size  int64
	ino   uint64
}

// Open returns a Database of the two files. They are read when they are needed.
func Open(passwdPath, groupPath string) *Database {
	return &Database{passwdPath: passwdPath, groupPath: groupPath}
}

// Lookup finds an account: a name, a uid, or either with `:` and a group's name or gid. Numbers need not be in the files.
func (d *Database) Lookup(user string) (*Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	passwd, group := stampOf(d.passwdPath), stampOf(d.groupPath)
	if d.users == nil || passwd != d.passwd || group != d.group {
		d.users, d.passwd, d.group = map[string]*Identity{}, passwd, group
	}
	if known := d.users[user]; known != nil {
		return known, nil
	}
	found, err := d.find(user)
	if err != nil {
		return nil, err
	}
	if len(d.users) < 1024 {
		d.users[user] = found
	}
	return found, nil
}

func stampOf(path string) stamp {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil {
		return stamp{}
	}
	return stamp{mtime: st.Mtim, size: st.Size, ino: st.Ino}
}

func (d *Database) find(user string) (*Identity, error) {
	name, group, hasGroup := strings.Cut(user, ":")
	id, login, ok := d.findUser(name)
	if !ok {
		return nil, errno.New("EINVAL", "there is no user "+strconv.Quote(name)+" in the sandbox")
	}
	groups := lines(d.groupPath)
	if hasGroup {
		gid, ok := findGroup(groups, group)
		if !ok {
			return nil, errno.New("EINVAL", "there is no group "+strconv.Quote(group)+" in the sandbox")
		}
		id.GID = gid
		id.Groups = []uint32{gid}
		return id, nil
	}
	id.Groups = memberships(groups, login, id.GID)
	return id, nil
}

// findUser returns the account and its login name.
func (d *Database) findUser(name string) (*Identity, string, bool) {
	number, numberError := parseID(name)
	var byNumber *Identity
	login := ""
	for _, line := range lines(d.passwdPath) {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		uid, err1 := parseID(f[2])
		gid, err2 := parseID(f[3])
		if err1 != nil || err2 != nil {
			continue
		}
		if f[0] == name && name != "" {
			return &Identity{UID: uid, GID: gid}, name, true
		}
		if numberError == nil && uid == number && byNumber == nil {
			byNumber, login = &Identity{UID: uid, GID: gid}, f[0]
		}
	}
	if byNumber == nil && numberError == nil {
		byNumber = &Identity{UID: number, GID: number}
	}
	if byNumber == nil && name == "root" {
		byNumber = &Identity{}
	}
	return byNumber, login, byNumber != nil
}

func findGroup(groups []string, name string) (uint32, bool) {
	for _, line := range groups {
		f := strings.Split(line, ":")
		if len(f) >= 3 && f[0] == name && name != "" {
			if gid, err := parseID(f[2]); err == nil {
				return gid, true
			}
		}
	}
	gid, err := parseID(name)
	return gid, err == nil
}

// memberships returns the primary group and all that list login as a member.
func memberships(groups []string, login string, primary uint32) []uint32 {
	out := []uint32{primary}
	if login == "" {
		return out
	}
	for _, line := range groups {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		gid, err := parseID(f[2])
		if err != nil || gid == primary || len(out) >= 65536 {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if member == login {
				out = append(out, gid)
				break
			}
		}
	}
	return out
}

// Each calls f for the lines of a file such as /etc/passwd or /etc/group that make sense: with the name, the number and
// all fields.
func Each(path string, f func(name string, number uint32, fields []string)) {
	for _, line := range lines(path) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		if number, err := parseID(fields[2]); err == nil {
			f(fields[0], number, fields)
		}
	}
}

// parseID reads a uid or gid. The highest number means "no change" to the kernel and is no account.
func parseID(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	if err == nil && v == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(v), err
}

func lines(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []byte
	buf := make([]byte, 32<<10)
	for len(all) < maxFileBytes {
		n, err := f.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil || n == 0 {
			break
		}
	}
	return strings.Split(string(all), "\n")
}
