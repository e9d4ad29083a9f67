package copystream

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/sys"
)

// maxMatches bounds what a pattern may expand to.
const maxMatches = 100_000

// Expand returns the paths that absolute patterns stand for, sorted for each. `*`, `?` and `[...]` match within a name
// and, as in a shell, not a leading dot; `**` stands for any number of directories. A pattern that matches nothing is
// an error, as a path that does not exist.
func Expand(patterns []string) ([]string, error) {
	var all []string
	for _, pattern := range patterns {
		if !strings.ContainsAny(pattern, "*?[\\") {
			all = append(all, pattern)
			continue
		}
		found, err := expand(pattern)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, &errno.Error{Code: "ENOENT", Message: "nothing matches the pattern", Path: pattern}
		}
		all = append(all, found...)
	}
	return all, nil
}

func expand(pattern string) ([]string, error) {
	bases := []string{"/"}
	for _, segment := range strings.Split(strings.Trim(path.Clean(pattern), "/"), "/") {
		var next []string
		for _, base := range bases {
			found, err := matchSegment(base, segment)
			if err != nil {
				return nil, errno.At(err, pattern)
			}
			if next = append(next, found...); len(next) > maxMatches {
				return nil, &errno.Error{Code: "E2BIG", Message: "the pattern matches too much", Path: pattern}
			}
		}
		slices.Sort(next)
		bases = slices.Compact(next)
	}
	return bases, nil
}

// matchSegment returns the paths in base that one segment of a pattern matches.
func matchSegment(base, segment string) ([]string, error) {
	if segment == "**" {
		return below(base)
	}
	if !strings.ContainsAny(segment, "*?[\\") {
		p := path.Join(base, segment)
		if _, err := sys.StatAt(sys.AtFdcwd, p, sys.AtSymlinkNofollow); err != nil {
			return nil, nil
		}
		return []string{p}, nil
	}
	if _, err := path.Match(segment, ""); err != nil {
		return nil, errno.New("EINVAL", "a bad pattern")
	}
	entries, err := files.ReadDir(base, 1<<30)
	if err != nil {
		return nil, nil // As in a shell, what cannot be read matches nothing.
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name, ".") && !strings.HasPrefix(segment, ".") {
			continue
		}
		if ok, _ := path.Match(segment, e.Name); ok {
			out = append(out, path.Join(base, e.Name))
		}
	}
	return out, nil
}

// below returns a directory and all directories under it, without hidden ones and without following links.
func below(base string) ([]string, error) {
	st, err := sys.StatAt(sys.AtFdcwd, base, 0)
	if err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return nil, nil
	}
	out := []string{base}
	for i := 0; i < len(out); i++ {
		entries, err := files.ReadDir(out[i], 1<<30)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type == "dir" && !strings.HasPrefix(e.Name, ".") {
				out = append(out, path.Join(out[i], e.Name))
			}
		}
		if len(out) > maxMatches {
			return nil, errno.New("E2BIG", "too many directories")
		}
	}
	return out, nil
}
