package boot

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/javastore"
)

// Where a certificate authority has to be written so that the programs of a Debian machine trust it, the way
// update-ca-certificates(8) does it. A user who runs that program later gets the same result from the same file.
const (
	trustedPath = "/usr/local/share/ca-certificates/sbx-sandbox.crt"
	trustedName = "sbx-sandbox.pem"
	trustedDir  = "/etc/ssl/certs"
	bundlePath  = trustedDir + "/ca-certificates.crt"
	javaPath    = trustedDir + "/java/cacerts"
	javaAlias   = "sbx-sandbox"
	maxTrusted  = 16 << 10
)

// subjectLink is the name under which OpenSSL looks for a subject: its hash and a number.
var subjectLink = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]$`)

// Trust makes the machine trust a certificate authority. link is the subject's hash as OpenSSL names it.
func Trust(pem, link string) error {
	der, err := certificateOf(pem)
	if err != nil {
		return err
	}
	if !subjectLink.MatchString(link) {
		return errno.New("EINVAL", "not the hash of a subject: "+link)
	}
	for _, dir := range []string{filepath.Dir(trustedPath), trustedDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errno.At(err, dir)
		}
	}
	if err := os.WriteFile(trustedPath, []byte(pem), 0o644); err != nil {
		return errno.At(err, trustedPath)
	}
	for name, target := range map[string]string{trustedName: trustedPath, link: trustedName} {
		path := filepath.Join(trustedDir, name)
		_ = os.Remove(path)
		if err := os.Symlink(target, path); err != nil {
			return errno.At(err, path)
		}
	}
	if err := appendTo(bundlePath, pem); err != nil {
		return err
	}
	return trustInJava(der)
}

// certificateOf returns the one certificate of a PEM file.
func certificateOf(pem string) ([]byte, error) {
	const begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
	body, found := strings.CutPrefix(pem, begin)
	body, ended := strings.CutSuffix(body, end)
	if !found || !ended || len(pem) > maxTrusted {
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
func trustInJava(der []byte) error {
	store, err := os.ReadFile(javaPath)
	if err != nil {
		return nil
	}
	longer, err := javastore.Add(store, javaAlias, der)
	if err != nil {
		// A store of another kind is its owner's affair.
		Console("sbx-agent: " + javaPath + ": " + err.Error())
		return nil
	}
	return errno.At(os.WriteFile(javaPath, longer, 0o644), javaPath)
}
