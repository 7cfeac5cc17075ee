//go:build linux || freebsd

package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/smallstep/truststore"
)

// anchors is a system store that is made of a folder of files, each with an
// authority, by a program that writes all of them into one.
type anchors struct{}

func findSystem() Store {
	if truststore.SystemTrustCommand == nil {
		return nil
	}
	return anchors{}
}

func (anchors) Kind() Kind    { return System }
func (anchors) Place() string { return filepath.Dir(truststore.SystemTrustFilename) }

func (anchors) file(root *x509.Certificate) string {
	return fmt.Sprintf(truststore.SystemTrustFilename, nameOf(root))
}

// bundles are where the systems keep all authorities in one file: the first
// that is there counts, as in crypto/x509.
var bundles = [...]string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7
	"/etc/ssl/cert.pem",                                 // Alpine, FreeBSD
}

// Has looks into the file that programs read, not only into ours: Go's pool of
// the system is read once for a process.
func (anchors) Has(root *x509.Certificate) (bool, error) {
	for _, path := range bundles {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return false, err
		}
		return containsPEM(data, root), nil
	}
	return false, errors.New("find the system's bundle of authorities: there is none in any usual place")
}

func containsPEM(data []byte, root *x509.Certificate) bool {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return false
		}
		if bytes.Equal(block.Bytes, root.Raw) {
			return true
		}
	}
}

func (s anchors) Add(root *x509.Certificate) error {
	if err := truststore.Install(root, prefix(root)); err != nil {
		return ran(err)
	}
	if has, err := s.Has(root); err != nil || !has {
		return fmt.Errorf("%s ran, but the system does not trust it (%v)", truststore.SystemTrustCommand[0], err)
	}
	return nil
}

func (s anchors) Remove(root *x509.Certificate) error {
	if _, err := os.Stat(s.file(root)); err == nil {
		if err := truststore.Uninstall(root, prefix(root)); err != nil {
			return ran(err)
		}
	}
	if err := forgetOnDebian(root); err != nil {
		return err
	}
	has, err := s.Has(root)
	if err == nil && has {
		err = errors.New("it is there under a name that tcps did not give it")
	}
	return err
}

// forgetOnDebian does what update-ca-certificates leaves undone when a file of
// the administrator is gone: a dangling link and its hash stay, and the hooks
// are not told, so that Java would go on trusting the root.
func forgetOnDebian(root *x509.Certificate) error {
	link := filepath.Join("/etc/ssl/certs", nameOf(root)+".pem")
	if _, err := os.Lstat(link); err != nil {
		return nil
	}
	commands := [][]string{{"rm", "-f", link}, {"openssl", "rehash", filepath.Dir(link)}}
	hooks, _ := filepath.Glob("/etc/ca-certificates/update.d/*")
	for _, hook := range hooks {
		if hookName.MatchString(filepath.Base(hook)) {
			commands = append(commands, []string{hook})
		}
	}
	for _, line := range commands {
		cmd := truststore.CommandWithSudo(line...)
		cmd.Stdin = strings.NewReader("-" + link + "\n") // for a hook
		if out, err := cmd.CombinedOutput(); err != nil {
			return said(filepath.Base(line[0]), err, out)
		}
	}
	return nil
}

// hookName is what run-parts takes for a program of a folder.
var hookName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (s anchors) Ours() ([]*x509.Certificate, error) {
	entries, err := os.ReadDir(s.Place())
	if err != nil {
		return nil, err
	}
	var roots []*x509.Certificate
	for _, e := range entries {
		if !ourName.MatchString(strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))) {
			continue
		}
		root, err := truststore.ReadCertificate(filepath.Join(s.Place(), e.Name()))
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	return roots, nil
}

func (s anchors) ByHand(add bool, root *x509.Certificate, file string) string {
	update := words(append([]string{"sudo"}, truststore.SystemTrustCommand...)...)
	if add {
		return words("sudo", "cp", file, s.file(root)) + " && " + update
	}
	if truststore.SystemTrustCommand[0] == "update-ca-certificates" {
		update += " --fresh"
	}
	return words("sudo", "rm", s.file(root)) + " && " + update
}
