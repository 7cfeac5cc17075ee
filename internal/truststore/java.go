package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/smallstep/truststore"
)

// keystore is the store of the Java in JAVA_HOME.
type keystore struct {
	trust   *truststore.JavaTrust
	keytool string
	path    string
}

func findJava() Store {
	trust, err := truststore.NewJavaTrust()
	if err != nil {
		return nil
	}
	home := os.Getenv("JAVA_HOME")
	s := keystore{trust: trust, keytool: filepath.Join(home, "bin", "keytool")}
	for _, path := range []string{filepath.Join(home, "jre", "lib", "security", "cacerts"), filepath.Join(home, "lib", "security", "cacerts")} {
		if _, err := os.Stat(path); err == nil { // of a JDK 8 the first, as smallstep/truststore has it
			s.path = path
			return s
		}
	}
	return nil
}

// JavaElsewhere is the home of a Java that Find leaves alone because JAVA_HOME
// is not set; empty if there is none.
func JavaElsewhere() string {
	if os.Getenv("JAVA_HOME") != "" {
		return ""
	}
	keytool, err := exec.LookPath("keytool")
	if err == nil {
		keytool, err = filepath.EvalSymlinks(keytool)
	}
	if err != nil {
		return ""
	}
	home := filepath.Dir(filepath.Dir(keytool))
	if _, err := os.Stat(filepath.Join(home, "lib", "security", "cacerts")); err != nil {
		return ""
	}
	return home
}

func (keystore) Kind() Kind      { return Java }
func (s keystore) Place() string { return s.path }

// list returns what keytool prints of all entries, certificates in PEM form.
func (s keystore) list() ([]byte, error) {
	out, err := exec.Command(s.keytool, "-list", "-rfc", "-keystore", s.path, "-storepass", truststore.JavaStorePass).CombinedOutput()
	if err != nil {
		return nil, said("keytool", err, out)
	}
	return out, nil
}

func (s keystore) Has(root *x509.Certificate) (bool, error) {
	out, err := s.list()
	if err != nil {
		return false, err
	}
	found := false
	eachCertificate(out, func(c *x509.Certificate) { found = found || c.Equal(root) })
	return found, nil
}

// eachCertificate calls f for every certificate in the output of keytool.
func eachCertificate(out []byte, f func(*x509.Certificate)) {
	for block, rest := pem.Decode(out); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			f(c)
		}
	}
}

func (s keystore) Add(root *x509.Certificate) error {
	return ran(truststore.Install(root, prefix(root), truststore.WithNoSystem(), truststore.WithTrust(s.trust)))
}

// Remove deletes the alias that Add made. On Debian the system's store has an
// alias of its own in there.
func (s keystore) Remove(root *x509.Certificate) error {
	out, err := s.list()
	if err != nil {
		return err
	}
	if alias := regexp.MustCompile(`\s` + nameOf(root) + `\s`); alias.Match(out) {
		if err := truststore.Uninstall(root, prefix(root), truststore.WithNoSystem(), truststore.WithTrust(s.trust)); err != nil {
			return ran(err)
		}
	}
	has, err := s.Has(root)
	switch {
	case err != nil || !has:
		return err
	case bytes.Contains(out, []byte("debian:"+nameOf(root))):
		return errors.New("the system's store put it there too: take it out of that one")
	}
	return errors.New("it is there under an alias that tcps did not give it")
}

// Ours finds the aliases in keytool's words, which are in the user's language.
func (s keystore) Ours() ([]*x509.Certificate, error) {
	out, err := s.list()
	var roots []*x509.Certificate
	eachCertificate(out, func(c *x509.Certificate) {
		if bytes.Contains(out, []byte(nameOf(c))) {
			roots = append(roots, c)
		}
	})
	return roots, err
}

func (s keystore) ByHand(add bool, root *x509.Certificate, file string) string {
	store := []string{"-keystore", s.path, "-storepass", truststore.JavaStorePass, "-alias", nameOf(root)}
	if add {
		return words(append([]string{s.keytool, "-importcert", "-noprompt", "-file", file}, store...)...)
	}
	return words(append([]string{s.keytool, "-delete"}, store...)...)
}
