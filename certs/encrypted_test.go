package certs_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcps/certs"
)

// kept is the path of a file that another program made; testdata/keys/make.sh says how.
func kept(name string) string { return filepath.Join("testdata", "keys", name) }

// says is a Passphrase that always answers the same.
func says(passphrase string) certs.Passphrase {
	return func(string) ([]byte, error) { return []byte(passphrase), nil }
}

// The files under a passphrase, each with the certificate that it belongs to.
var encryptedPairs = []certs.Pair{
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-pbkdf2.key")},
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-pbkdf2.der")},
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-sha1.key")},
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-sha512.key")},
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-3des.key")},
	{Cert: kept("leaf.pem"), Key: kept("pkcs8-scrypt.key")},
	{Cert: kept("leaf.pem"), Key: kept("old-aes.key")},
	{Cert: kept("leaf.pem"), Key: kept("old-3des.key")},
	{Cert: kept("leaf-and-key.pem")},
}

// nameOf is the file of a pair that is encrypted.
func nameOf(p certs.Pair) string {
	if p.Key != "" {
		return p.Key
	}
	return p.Cert
}

func TestKeysThatOtherProgramsEncryptedLoad(t *testing.T) {
	for _, pair := range encryptedPairs {
		t.Run(filepath.Base(nameOf(pair)), func(t *testing.T) {
			var asked []string
			pair.Passphrase = func(file string) ([]byte, error) {
				asked = append(asked, file)
				return []byte("changeit"), nil
			}
			f, err := certs.LoadFiles(pair)
			if err != nil {
				t.Fatal(err)
			}
			if c, _ := presented(t, f, &tls.Config{}, nil); c.DNSNames[0] != "keys.test" {
				t.Errorf("presented %v", c.DNSNames)
			}
			if len(asked) != 1 || asked[0] != nameOf(pair) {
				t.Errorf("asked for the passphrase of %q", asked)
			}
		})
	}
}

func TestAWrongPassphraseIsNamedAndNotShown(t *testing.T) {
	for _, pair := range encryptedPairs {
		pair.Passphrase = says("tr0ub4dor")
		_, err := certs.LoadFiles(pair)
		if !errors.Is(err, certs.ErrWrongPassphrase) {
			t.Errorf("%s: %v", nameOf(pair), err)
		}
		wantError(t, err, nameOf(pair), "the passphrase is wrong")
		if strings.Contains(err.Error(), "tr0ub4dor") {
			t.Errorf("it is shown: %v", err)
		}
	}
}

func TestAnEncryptedKeyWithoutAPassphraseSaysSo(t *testing.T) {
	for _, pair := range encryptedPairs {
		_, err := certs.LoadFiles(pair)
		if !errors.Is(err, certs.ErrPassphraseNeeded) {
			t.Errorf("%s: %v", nameOf(pair), err)
		}
		cause := errors.New("the terminal is gone")
		pair.Passphrase = func(string) ([]byte, error) { return nil, cause }
		if _, err = certs.LoadFiles(pair); !errors.Is(err, cause) {
			t.Errorf("%s: %v, want %v", nameOf(pair), err, cause)
		}
	}
}

func TestReloadAsksForThePassphraseAnew(t *testing.T) {
	dir := t.TempDir()
	copyOf := func(name, as string) string {
		data, err := os.ReadFile(kept(name))
		if err != nil {
			t.Fatal(err)
		}
		return write(t, dir, as, bytes.Clone(data))
	}
	passphrase := "changeit"
	f, err := certs.LoadFiles(certs.Pair{
		Cert: copyOf("leaf.pem", "c.pem"), Key: copyOf("pkcs8-scrypt.key", "c.key"),
		Passphrase: func(string) ([]byte, error) { return []byte(passphrase), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	passphrase = "another"
	if _, err := f.Reload(); !errors.Is(err, certs.ErrWrongPassphrase) {
		t.Errorf("with another passphrase: %v", err)
	}
	passphrase = "changeit"
	copyOf("old-aes.key", "c.key")
	if _, err := f.Reload(); err != nil {
		t.Errorf("with the right one again: %v", err)
	}
}

// A key that is not wanted is not asked for.
func TestAnEncryptedKeyBesideAnAuthorityIsLeftAlone(t *testing.T) {
	root, err := os.ReadFile(kept("root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(kept("pkcs8-pbkdf2.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := certs.LoadPool(write(t, t.TempDir(), "ca.pem", root, key)); err != nil {
		t.Error(err)
	}
}

func TestAPassphraseIsCheckedBeforeItIsUsed(t *testing.T) {
	for _, name := range []string{"pkcs8-pbkdf2.key", "old-3des.key", "leaf-and-key.pem", "java.p12"} {
		if err := certs.CheckPassphrase(kept(name), []byte("changeit")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := certs.CheckPassphrase(kept(name), []byte("tr0ub4dor"))
		if !errors.Is(err, certs.ErrWrongPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
		wantError(t, err, name)
	}
	if err := certs.CheckPassphrase(kept("leaf.pem"), nil); err != nil {
		t.Errorf("not encrypted: %v", err)
	}
	if err := certs.CheckPassphrase(kept("missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
