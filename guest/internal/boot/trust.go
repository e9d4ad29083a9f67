package boot

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/javastore"
)

// Where certificate authorities have to be written so that the programs of a Debian machine trust them, the way
// update-ca-certificates(8) does it. A user who runs that program later gets the same result from the same files.
const (
	localDir   = "/usr/local/share/ca-certificates"
	trustedDir = "/etc/ssl/certs"
	bundlePath = trustedDir + "/ca-certificates.crt"
	javaPath   = trustedDir + "/java/cacerts"
	// addedPath has all that were added, for programs that want to be told what to add to roots of their own.
	addedPath = "/usr/local/share/sbx-roots.pem"
	maxRoot   = 64 << 10
	maxLinks  = 10
)

var (
	rootName = regexp.MustCompile(`^sbx-[a-z0-9-]{1,40}$`)
	// subjectHash is the name under which OpenSSL looks for a subject.
	subjectHash = regexp.MustCompile(`^[0-9a-f]{8}$`)
)

// Root is a certificate authority: a name for its file, the certificate, and the hash of its subject as OpenSSL has it.
type Root struct{ Name, PEM, Hash string }

// Trust makes the machine trust certificate authorities, all or none as far as they are well-formed.
func Trust(roots []Root) error {
	certificates := make([][]byte, len(roots))
	var all strings.Builder
	for i, root := range roots {
		der, err := certificateOf(root.PEM)
		if err != nil {
			return err
		}
		if !rootName.MatchString(root.Name) || !subjectHash.MatchString(root.Hash) {
			return errno.New("EINVAL", "not the name of a root or the hash of a subject: "+strconv.Quote(root.Name+" "+root.Hash))
		}
		certificates[i] = der
		all.WriteString(root.PEM)
	}
	for _, dir := range []string{localDir, trustedDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errno.At(err, dir)
		}
	}
	for _, root := range roots {
		if err := root.install(); err != nil {
			return err
		}
	}
	for _, path := range []string{bundlePath, addedPath} {
		if err := appendTo(path, all.String()); err != nil {
			return err
		}
	}
	return trustInJava(roots, certificates)
}

// forgetRoots takes back what Trust did, for a machine that becomes another one. What is not there is no error: whoever
// has used the machine may have removed it.
func forgetRoots() error {
	added, err := os.ReadFile(addedPath)
	if err != nil {
		return nil
	}
	if bundle, err := os.ReadFile(bundlePath); err == nil {
		text := string(bundle)
		for _, pem := range strings.SplitAfter(string(added), "-----END CERTIFICATE-----\n") {
			if pem != "" {
				text = strings.ReplaceAll(text, pem, "")
			}
		}
		if err := os.WriteFile(bundlePath, []byte(text), 0o644); err != nil {
			return errno.At(err, bundlePath)
		}
	}
	_ = os.Remove(addedPath)
	var names []string
	own, _ := filepath.Glob(filepath.Join(localDir, "sbx-*.crt"))
	for _, file := range own {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".crt"))
		_ = os.Remove(file)
	}
	removeLinksTo(names)
	return forgetInJava(names)
}

// removeLinksTo removes the names under which OpenSSL finds the roots: their own, and links to those.
func removeLinksTo(names []string) {
	entries, _ := os.ReadDir(trustedDir)
	for _, entry := range entries {
		link := filepath.Join(trustedDir, entry.Name())
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		for _, name := range names {
			if target == name+".pem" || target == filepath.Join(localDir, name+".crt") {
				_ = os.Remove(link)
			}
		}
	}
}

// install writes the file of a root and the names that OpenSSL knows it by.
func (r *Root) install() error {
	file := filepath.Join(localDir, r.Name+".crt")
	if err := os.WriteFile(file, []byte(r.PEM), 0o644); err != nil {
		return errno.At(err, file)
	}
	link := filepath.Join(trustedDir, r.Name+".pem")
	_ = os.Remove(link)
	if err := os.Symlink(file, link); err != nil {
		return errno.At(err, link)
	}
	// Several subjects may have one hash; they are told apart by a number.
	var err error
	for n := range maxLinks {
		hashed := filepath.Join(trustedDir, r.Hash+"."+strconv.Itoa(n))
		if err = os.Symlink(r.Name+".pem", hashed); err == nil {
			return nil
		}
		if target, _ := os.Readlink(hashed); target == r.Name+".pem" {
			return nil
		}
	}
	return errno.At(err, trustedDir)
}

// certificateOf returns the one certificate of a PEM file.
func certificateOf(pem string) ([]byte, error) {
	const begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
	body, found := strings.CutPrefix(pem, begin)
	body, ended := strings.CutSuffix(body, end)
	if !found || !ended || len(pem) > maxRoot {
		return nil, errno.New("EINVAL", "not one certificate in PEM form")
	}
	der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil || len(der) == 0 {
		return nil, errno.New("EINVAL", "the certificate is not base64")
	}
	return der, nil
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return errno.At(err, path)
	}
	_, err = f.WriteString(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return errno.At(err, path)
}

// trustInJava adds to the store of Debian's Java, if there is one. A Java that is installed later makes its store from
// the files above.
func trustInJava(roots []Root, certificates [][]byte) error {
	store, err := os.ReadFile(javaPath)
	if err != nil {
		return nil
	}
	for i, root := range roots {
		if store, err = javastore.Add(store, root.Name, certificates[i]); err != nil {
			// A store of another kind is its owner's affair.
			Console("sbx-agent: " + javaPath + ": " + err.Error())
			return nil
		}
	}
	return errno.At(os.WriteFile(javaPath, store, 0o644), javaPath)
}

func forgetInJava(names []string) error {
	store, err := os.ReadFile(javaPath)
	if err != nil || len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if store, err = javastore.Remove(store, name); err != nil {
			// Then it was not added, either.
			return nil
		}
	}
	return errno.At(os.WriteFile(javaPath, store, 0o644), javaPath)
}
