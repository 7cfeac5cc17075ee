package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// intermediateLife is how long an intermediate lasts. It is renewed when less than a third of it is left.
const intermediateLife = 365 * day

// renewalPause is how long an authority waits after it could not renew its intermediate.
const renewalPause = time.Minute

// newIntermediate makes an intermediate with a key of the root's kind.
func newIntermediate(root signer) (signer, error) {
	if root.certificate.MaxPathLen == 0 && root.certificate.MaxPathLenZero {
		return signer{}, errors.New("the root may not have an intermediate (path length 0)")
	}
	key, err := keyTypeOf(root.certificate.PublicKey).generate()
	if err != nil {
		return signer{}, err
	}
	template, err := authorityTemplate(machineOf(root.certificate), "intermediate ", key.Public())
	if err != nil {
		return signer{}, err
	}
	template.NotAfter = earlier(time.Now().Add(intermediateLife), root.certificate.NotAfter)
	template.NotBefore = later(template.NotBefore, root.certificate.NotBefore)
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	copyConstraints(template, root.certificate)
	return root.certify(template, key)
}

// machineOf is the machine that a root of ours was made for.
func machineOf(root *x509.Certificate) string {
	return strings.Join(root.Subject.OrganizationalUnit, "")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// readIntermediate reads the intermediate. A process that replaces it meanwhile makes it be read again.
func (a *Authority) readIntermediate() (signer, error) {
	path := a.path(intermediateFile)
	s, err := a.readSigner(path)
	for range 3 {
		if err == nil || errors.Is(err, ErrWrongPassphrase) || errors.Is(err, ErrPassphraseNeeded) {
			break
		}
		s, err = a.readSigner(path)
	}
	if err != nil {
		return s, fmt.Errorf("intermediate %q: %w", path, err)
	}
	if !signedByOne(s.certificate, a.roots()) {
		return s, fmt.Errorf("intermediate %q: the root %q did not sign it", path, a.path(rootFile))
	}
	return s, nil
}

// readSigner reads a certificate and the key beside it.
func (a *Authority) readSigner(path string) (signer, error) {
	chain, key, err := Pair{Cert: path, Key: strings.TrimSuffix(path, ".pem") + ".key", Passphrase: a.opens}.load()
	if err != nil {
		return signer{}, err
	}
	if why := whyNoAuthority(chain[0]); why != "" {
		return signer{}, errors.New(why)
	}
	setKeyID(chain[0])
	return signer{chain[0], key}, nil
}

// signer is what signs now. An intermediate that is due is renewed first; if that fails it goes on while it can.
func (a *Authority) signer() (signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.current.certificate == a.root {
		return a.current, nil
	}
	revoked := a.ledger.isRevoked(a.current.certificate)
	if !revoked && !isDue(a.current.certificate, now) {
		return a.current, nil
	}
	if now.Sub(a.failed) > renewalPause {
		if a.failure = a.renewIntermediate(now); a.failure == nil {
			return a.current, nil
		}
		a.failed = now
	}
	if revoked {
		return signer{}, fmt.Errorf("the intermediate is revoked, and there is no new one: %w", a.failure)
	}
	return a.current, nil
}

// isDue tells whether less than a third of a certificate's life is left.
func isDue(c *x509.Certificate, now time.Time) bool {
	return c.NotAfter.Sub(now) < c.NotAfter.Sub(c.NotBefore)/3
}

// renewIntermediate makes a new intermediate, or takes the one that another process has made. The caller holds mu.
func (a *Authority) renewIntermediate(now time.Time) error {
	if a.ledger == nil {
		next, err := newIntermediate(signer{a.root, a.rootKey})
		if err == nil {
			a.current = next
		}
		return err
	}
	unlock, err := lockAuthority(a.ledger.dir)
	if err != nil {
		return err
	}
	defer unlock()
	latest, err := a.readIntermediate()
	if err != nil {
		return err
	}
	if !isDue(latest.certificate, now) && !a.ledger.isRevoked(latest.certificate) {
		a.current = latest
		return nil
	}
	if err := a.checkRootIsLatest(); err != nil {
		return err
	}
	if err := a.readRootKey(); err != nil {
		return err
	}
	next, err := newIntermediate(signer{a.root, a.rootKey})
	if err != nil {
		return err
	}
	if a.ledger.isRevoked(latest.certificate) || next.certificate.NotAfter.After(latest.certificate.NotAfter) {
		err = a.replaceIntermediate(next)
	} // else the root ends, and the intermediate with it: there is nothing to gain
	return err
}

func (a *Authority) checkRootIsLatest() error {
	roots, err := readAuthorityCertificates(a.path(rootFile))
	if err != nil {
		return fmt.Errorf("root %q: %w", a.path(rootFile), err)
	}
	if !roots[0].Equal(a.root) {
		return errors.New("the authority has another root since it was opened")
	}
	return nil
}

// replaceIntermediate writes the new intermediate; the old one stays under a dated name. The caller holds mu and the
// lock of the folder.
func (a *Authority) replaceIntermediate(next signer) error {
	if err := a.ledger.record(next.certificate); err != nil {
		return err
	}
	certPath, keyPath := a.path(intermediateFile), a.path(intermediateKeyFile)
	oldCert, err := os.ReadFile(certPath)
	if err != nil {
		return err
	}
	oldKey, err := os.ReadFile(keyPath)
	if err != nil {
		return err
	}
	dated := a.path(fmt.Sprintf("intermediate.%s-%x", time.Now().UTC().Format("2006-01-02T150405Z"), next.certificate.SubjectKeyId[:4]))
	err = writeFiles([]file{{dated + ".key", oldKey, 0o600}, {dated + ".pem", oldCert, 0o644}}, false)
	if err != nil {
		return err
	}
	if err := a.replacePair(certPath, keyPath, encodeCertificates(next.certificate), next, oldKey); err != nil {
		return err
	}
	key, err := a.encode(next.key)
	if err != nil {
		return err
	}
	a.current = next
	return writeFiles([]file{{keyPath, key, 0o600}}, true)
}

// replacePair replaces a certificate and its key so that at any time the key file has the key of the certificate that
// is there: it holds both keys first. The old one is left in it.
func (a *Authority) replacePair(certPath, keyPath string, cert []byte, next signer, oldKey []byte) error {
	key, err := a.encode(next.key)
	if err != nil {
		return err
	}
	if err := writeFiles([]file{{keyPath, slices.Concat(key, oldKey), 0o600}}, true); err != nil {
		return err
	}
	return writeFiles([]file{{certPath, cert, 0o644}}, true)
}

// chain is what a certificate of s is sent with: what leads from it to each root.
func (a *Authority) chain(s signer) []*x509.Certificate {
	switch {
	case s.certificate == a.root:
		return a.cross
	case s.certificate.CheckSignatureFrom(a.root) == nil:
		return append([]*x509.Certificate{s.certificate}, a.cross...)
	}
	return []*x509.Certificate{s.certificate}
}

// signers are all that sign, or signed, in the name of the authority and whose keys are at hand.
func (a *Authority) signers() ([]signer, error) {
	current, err := a.signer()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []signer{current}
	if a.ledger == nil {
		if current.certificate != a.root {
			all = append(all, signer{a.root, a.rootKey})
		}
		return all, nil
	}
	dated, err := datedIntermediates(a.ledger.dir)
	if err != nil {
		return nil, err
	}
	for _, path := range dated {
		s, err := a.readSigner(path)
		if errors.Is(err, fs.ErrNotExist) { // its key was taken away
			continue
		} else if err != nil {
			return nil, fmt.Errorf("old intermediate %q: %w", path, err)
		}
		if time.Now().Before(s.certificate.NotAfter) {
			all = append(all, s)
		}
	}
	keys, err := a.readRootKeys()
	if err != nil {
		return nil, err
	}
	for _, root := range a.roots() {
		for _, key := range keys {
			if samePublicKey(key, root) && !bytes.Equal(root.Raw, current.certificate.Raw) {
				all = append(all, signer{root, key})
			}
		}
	}
	return all, nil
}

// readRootKeys reads the keys of all roots; none, if they are not here.
func (a *Authority) readRootKeys() ([]crypto.Signer, error) {
	path := a.path(keyFile)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("key %q: %w", path, err)
	}
	found, err := readAny(path, data, a.opens)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", path, err)
	}
	return found.keys, nil
}

// datedIntermediates are the files of the intermediates that were replaced.
func datedIntermediates(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, bareCause(err)
	}
	var dated []string
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "intermediate.2") && strings.HasSuffix(f.Name(), ".pem") {
			dated = append(dated, filepath.Join(dir, f.Name()))
		}
	}
	return dated, nil
}

// readIssuers reads the certificates of all that sign, or signed, in the name of the authority at dir.
func readIssuers(dir string) ([]*x509.Certificate, error) {
	dated, err := datedIntermediates(dir)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, path := range append(dated, filepath.Join(dir, rootFile), filepath.Join(dir, intermediateFile)) {
		some, err := readAuthorityCertificates(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read %q: %w", path, err)
		}
		all = append(all, some...)
	}
	return all, nil
}
