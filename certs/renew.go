package certs

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Renewal says how to renew a certificate. The zero value keeps all but the key.
type Renewal struct {
	For      time.Duration // how long the new one lasts; zero: as long as the old one
	ReuseKey bool          // the private key stays
}

// LifeOf returns how long c was asked to last: from when it was issued, which is later than it begins.
func LifeOf(c *x509.Certificate) time.Duration {
	life := c.NotAfter.Sub(c.NotBefore)
	if asked := life - backdate; backdateOf(asked) == backdate {
		return asked
	}
	return (life*10/11 + time.Second - 1).Truncate(time.Second)
}

// backdateOf is how much earlier a certificate begins that is to last life from now: a tenth more, so that what is
// reckoned in shares of a lifetime holds for short ones.
func backdateOf(life time.Duration) time.Duration {
	return min(backdate, (life / 10).Truncate(time.Second))
}

// WhyDue says why c is due for renewal, empty if it is not: it is when less than before is left of its life; zero means
// a third of it.
func WhyDue(c *x509.Certificate, before time.Duration) string {
	now, share := time.Now(), ""
	if before == 0 {
		before, share = LifeOf(c)/3, ", which is less than a third of its life"
	}
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		return "expired " + moment(c.NotAfter, now)
	case left < before:
		return "expires " + moment(c.NotAfter, now) + share
	}
	return ""
}

// Renew issues another certificate like the one in p, and replaces it: names, usage, kind of key and lifetime stay.
// Both files are replaced or none; an encrypted key stays encrypted. The key is new, unless r says otherwise, or there
// is no key: what was signed for a request is signed again. An empty p.Key means the file beside p.Cert that ends in
// .key, if it is there, else p.Cert. A certificate that the authority has not issued, or has revoked, is refused,
// and so is PKCS#12.
func (a *Authority) Renew(p Pair, r Renewal) (*Issued, error) {
	issued, err := a.renew(p, r)
	if err != nil {
		return nil, fmt.Errorf("renew certificate %q: %w", p.Cert, err)
	}
	return issued, nil
}

func (a *Authority) renew(p Pair, r Renewal) (*Issued, error) {
	if beside := strings.TrimSuffix(p.Cert, filepath.Ext(p.Cert)) + ".key"; p.Key == "" && exists(beside) {
		p.Key = beside
	}
	ask, seal := p.ask(), []byte(nil)
	p.Passphrase = func(file string) (_ []byte, err error) {
		seal, err = ask(file)
		return seal, err
	}
	for _, path := range []string{p.Cert, p.Key} {
		if data, err := readFile(path); err == nil && isPKCS12(data) {
			return nil, fmt.Errorf("%q is PKCS#12, which PEM must not replace: renew the PEM files, and export them anew", path)
		}
	}
	old, key, err := p.load()
	if errors.Is(err, ErrNoKey) {
		old, err = readChain(p.Cert)
	}
	if err != nil {
		return nil, err
	}
	if err := a.checkRenewable(old[0]); err != nil {
		return nil, err
	}
	if r.For == 0 {
		r.For = LifeOf(old[0])
	}
	request := Request{Names: NamesOf(old[0]), Client: isClient(old[0]), For: r.For, KeyType: keyTypeOf(old[0].PublicKey)}
	issued, err := a.reissue(request, old[0], key, r.ReuseKey)
	if err != nil {
		return nil, err
	}
	return issued, a.replace(p, issued, seal)
}

// replace is Pair.replace, one after the other: who renews the same files at once leaves a pair of one of them.
func (a *Authority) replace(p Pair, issued *Issued, seal []byte) error {
	if a.ledger != nil {
		unlock, err := lockAuthority(a.ledger.dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	return p.replace(issued, seal)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// reissue makes a key, or takes the old one, which is nil if only its public half is known.
func (a *Authority) reissue(r Request, old *x509.Certificate, key crypto.Signer, reuse bool) (*Issued, error) {
	if key != nil && !reuse {
		return a.issue(r)
	}
	issued, err := a.certify(r, old.PublicKey)
	if err == nil && key != nil {
		issued.Certificate.PrivateKey = key
		issued.KeyPEM, err = encodeKey(key)
	}
	return issued, err
}

func (a *Authority) checkRenewable(c *x509.Certificate) error {
	switch {
	case c.IsCA:
		return errors.New("it is an authority's: an intermediate renews itself, tcps certs init --rollover makes a new root")
	case a.ledger.isRevoked(c):
		return errors.New("it is revoked: issue another one with tcps certs issue")
	case time.Since(c.NotAfter) >= keptExpired:
		return fmt.Errorf("it expired %s, and whether it was revoked is on record no more: issue one like it with tcps certs issue", moment(c.NotAfter, time.Now()))
	case a.ledger == nil:
		return nil
	}
	issuers, err := readIssuers(a.ledger.dir)
	if err != nil {
		return err
	}
	if !signedByOne(c, issuers) {
		return fmt.Errorf("it was issued by %q, not by this authority: renew it there, or issue one like it with tcps certs issue", c.Issuer.String())
	}
	return nil
}

// replace writes what was issued over the files of p. They keep their owners and modes, except that others cannot read a
// key. Symbolic links stay, and what they lead to is replaced.
func (p Pair) replace(issued *Issued, seal []byte) error {
	cert, err := target(p.Cert)
	if err != nil {
		return err
	}
	cert.content = issued.CertPEM
	if issued.KeyPEM == nil {
		return writeFiles([]file{cert}, true)
	}
	if seal != nil {
		if issued.KeyPEM, err = encryptKey(issued.Certificate.PrivateKey.(crypto.Signer), seal); err != nil {
			return err
		}
	}
	if p.Key == "" || p.Key == p.Cert {
		cert.content, cert.mode = slices.Concat(issued.CertPEM, issued.KeyPEM), cert.mode&^0o007
		return writeFiles([]file{cert}, true)
	}
	key, err := target(p.Key)
	if err != nil {
		return err
	}
	key.content, key.mode = issued.KeyPEM, key.mode&^0o007
	return writeFiles([]file{key, cert}, true)
}

// target is the file that a path leads to, with its mode and owner, to be replaced.
func target(path string) (file, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return file{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return file{}, fmt.Errorf("%q: %w", path, bareCause(err))
	}
	return file{path: path, mode: info.Mode().Perm(), like: info}, nil
}
