package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// OpenAuthority reads the authority at dir. If there is none, errors.Is finds fs.ErrNotExist. An intermediate that has
// less than a third of its life left is renewed, if the key of the root is there.
func OpenAuthority(dir string) (*Authority, error) { return OpenEncryptedAuthority(dir, nil) }

// OpenEncryptedAuthority is OpenAuthority for one whose keys may be encrypted: ask is asked for the passphrase.
func OpenEncryptedAuthority(dir string, ask Passphrase) (*Authority, error) {
	a, err := openAuthority(dir, ask)
	if err != nil {
		return nil, fmt.Errorf("open authority %q: %w", dir, err)
	}
	return a, nil
}

func openAuthority(dir string, ask Passphrase) (*Authority, error) {
	a := &Authority{ledger: &Ledger{dir: dir}}
	a.opens = func(file string) ([]byte, error) {
		if ask == nil {
			return nil, ErrPassphraseNeeded
		}
		passphrase, err := ask(file)
		if err == nil {
			a.seal = passphrase
		}
		return passphrase, err
	}
	split, err := checkFiles(dir)
	if err != nil {
		return nil, err
	}
	if err := a.readRoots(); err != nil {
		return nil, err
	}
	if !split {
		if err := a.readRootKey(); err != nil {
			return nil, err
		}
		a.current = signer{a.root, a.rootKey}
		return a, nil
	}
	if a.current, err = a.readIntermediate(); err != nil {
		return nil, err
	}
	_, err = a.signer() // renews it, if it is time
	return a, err
}

// checkFiles says what files are missing or open to others, and whether there is an intermediate.
func checkFiles(dir string) (split bool, err error) {
	here := make(map[string]bool)
	for _, name := range []string{rootFile, keyFile, intermediateFile, intermediateKeyFile} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return false, fmt.Errorf("%q: %w", path, bareCause(err))
		case info.IsDir():
			return false, fmt.Errorf("%s is a folder", name)
		}
		here[name] = true
		if name == keyFile || name == intermediateKeyFile {
			if err := checkPrivate(path, info); err != nil {
				return false, err
			}
		}
	}
	split = here[intermediateFile] || here[intermediateKeyFile]
	missing := "" // half an authority is none that may be made anew
	switch {
	case len(here) == 0:
		return false, fs.ErrNotExist
	case !here[rootFile]:
		missing = rootFile
	case split && !here[intermediateFile]:
		missing = intermediateFile
	case split && !here[intermediateKeyFile]:
		missing = intermediateKeyFile
	case !split && !here[keyFile]:
		missing = keyFile
	default:
		return split, nil
	}
	return false, fmt.Errorf("%q is missing, while other files of the authority are there: put it back", filepath.Join(dir, missing))
}

// path is the path of a file of the authority.
func (a *Authority) path(name string) string { return filepath.Join(a.ledger.dir, name) }

// readRoots reads the roots, without older ones that have ended, and what they signed for the first.
func (a *Authority) readRoots() error {
	roots, err := readAuthorityCertificates(a.path(rootFile))
	if err != nil {
		return fmt.Errorf("root %q: %w", a.path(rootFile), err)
	}
	a.root, a.older = roots[0], unexpired(roots[1:])
	a.setPool()
	cross, err := readAuthorityCertificates(a.path(crossFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cross certificate %q: %w", a.path(crossFile), err)
	}
	for _, c := range unexpired(cross) {
		if string(c.RawSubjectPublicKeyInfo) == string(a.root.RawSubjectPublicKeyInfo) && signedByOne(c, a.older) {
			a.cross = append(a.cross, c)
		}
	}
	return nil
}

// unexpired leaves out what has ended.
func unexpired(all []*x509.Certificate) []*x509.Certificate {
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(all), func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
}

func signedByOne(c *x509.Certificate, authorities []*x509.Certificate) bool {
	for _, authority := range authorities {
		if c.CheckSignatureFrom(authority) == nil {
			return true
		}
	}
	return false
}

// readAuthorityCertificates reads a file of an authority, whose certificates have to be authorities.
func readAuthorityCertificates(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return authoritiesAlone(path, data)
}

// authoritiesAlone reads certificates, at least one, all of which have to be authorities.
func authoritiesAlone(path string, data []byte) ([]*x509.Certificate, error) {
	found, err := certificatesIn(path, data)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if why := whyNoAuthority(c); why != "" {
			return nil, errors.New(why)
		}
		setKeyID(c)
	}
	return found, nil
}

// setKeyID gives an authority that has no key identifier the one that goes into what it signs; its own bytes stay.
func setKeyID(c *x509.Certificate) { c.SubjectKeyId = keyIDOf(c) }

// readRootKey reads the key of the root, if it has not been read.
func (a *Authority) readRootKey() error {
	if a.rootKey != nil {
		return nil
	}
	_, key, err := Pair{Cert: a.path(rootFile), Key: a.path(keyFile), Passphrase: a.opens}.load()
	if err != nil {
		return fmt.Errorf("root %q: %w", a.path(rootFile), err)
	}
	a.rootKey = key
	return nil
}

// OpenOrCreateAuthority opens the authority at dir, or makes it if there is none. Goroutines and processes that do so
// at once end up with the same one. Of o only the Passphrase matters if it was there.
func OpenOrCreateAuthority(dir string, o AuthorityOptions) (a *Authority, created bool, err error) {
	if a, err = OpenEncryptedAuthority(dir, o.Passphrase); !errors.Is(err, fs.ErrNotExist) {
		return a, false, err
	}
	a, err = CreateAuthority(dir, o)
	if errors.Is(err, fs.ErrExist) {
		a, err = OpenEncryptedAuthority(dir, o.Passphrase)
		return a, false, err
	}
	return a, err == nil, err
}
