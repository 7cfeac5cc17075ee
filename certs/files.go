package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Pair names the files of one certificate.
type Pair struct {
	Cert string // PEM: the certificate first, then the chain up to the authority; possibly the private key too. Or PKCS#12
	Key  string // PEM, DER or PKCS#12, encrypted perhaps; empty: the key is in the Cert file

	// Passphrase is asked for the passphrase of a file that is encrypted. nil: such a file is ErrPassphraseNeeded.
	Passphrase Passphrase
}

// ErrNoKey is the cause when there is no key file and the certificate file holds no private key.
var ErrNoKey = errors.New("no key file is given, and the certificate file holds no private key")

// Files is a Source and a ClientSource over certificate files, read once. It never changes: Reload returns another.
type Files struct {
	pairs     []Pair
	chains    [][]*x509.Certificate // parallel to pairs, leaf first
	selection *selection
}

// LoadFiles reads and checks every pair. Of several certificates for a name the first listed that a client can
// verify is used; clients that name no server, or an unknown one, get the first pair. The error says which
// file is wrong, how, and what to do; errors.Is finds fs.ErrNotExist and fs.ErrPermission in it.
// Certificates that are expired or not yet valid load, with a sentence in Warnings.
func LoadFiles(pairs ...Pair) (*Files, error) {
	if len(pairs) == 0 {
		return nil, errors.New("load certificates: no file is given")
	}
	f := &Files{pairs: slices.Clone(pairs)}
	var certs []tls.Certificate
	for _, p := range pairs {
		chain, key, err := p.load()
		if err != nil {
			return nil, fmt.Errorf("load certificate %q: %w", p.Cert, err)
		}
		c := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
		for _, link := range chain {
			c.Certificate = append(c.Certificate, link.Raw)
		}
		f.chains = append(f.chains, chain)
		certs = append(certs, c)
	}
	f.selection = newSelection(certs)
	return f, nil
}

// Reload reads the same files anew. Anything broken is an error and f stays as good as it was. So is a certificate
// that is expired, as long as the one that it would replace is still valid. One that is not valid yet loads: our
// clock may be behind the authority's, and no change of the file would come later to try again.
func (f *Files) Reload() (*Files, error) {
	next, err := LoadFiles(f.pairs...)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for i, p := range f.pairs {
		if leaf := next.chains[i][0]; now.After(leaf.NotAfter) && !now.After(f.chains[i][0].NotAfter) {
			return nil, fmt.Errorf("load certificate %q: it expired %s while the current one is valid until %s",
				p.Cert, moment(leaf.NotAfter, now), f.chains[i][0].NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return next, nil
}

// Certificate picks by server name (exact, then a wildcard of one label), then by what the client can verify.
func (f *Files) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.selection.server(hello)
}

// ClientCertificate picks the first certificate that the server says it accepts, else an empty one.
func (f *Files) ClientCertificate(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return f.selection.client(request), nil
}

// Paths returns every file that Reload reads, without repetitions: what to give to a Watcher.
func (f *Files) Paths() []string {
	var paths []string
	for _, p := range f.pairs {
		for _, path := range []string{p.Cert, p.Key} {
			if path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// Leaves returns the certificate of each pair, without its chain, in the order given. They are shared: do not change them.
func (f *Files) Leaves() []*x509.Certificate {
	var leaves []*x509.Certificate
	for _, chain := range f.chains {
		leaves = append(leaves, chain[0])
	}
	return leaves
}

// Warnings returns a sentence for each certificate that is expired, not yet valid, or in the last tenth of its
// lifetime, as of now, and for each chain that has a gap.
func (f *Files) Warnings() []string {
	var warnings []string
	now := time.Now()
	for i, p := range f.pairs {
		for n, c := range f.chains[i] {
			what := fmt.Sprintf("certificate %q", p.Cert)
			if n > 0 {
				what = fmt.Sprintf("certificate %d of the chain in %q", n+1, p.Cert)
				if before := f.chains[i][n-1]; string(before.RawIssuer) != string(c.RawSubject) {
					warnings = append(warnings, fmt.Sprintf("%s did not issue the one before it: clients may not be able to verify", what))
				}
			}
			if w := validityWarning(what, c, now); w != "" {
				warnings = append(warnings, w)
			}
		}
	}
	return warnings
}

// load reads one pair; its errors are for "load certificate PATH: ".
func (p Pair) load() ([]*x509.Certificate, crypto.Signer, error) {
	data, err := readFile(p.Cert)
	if err != nil {
		return nil, nil, err
	}
	inCert, err := p.readCert(data)
	if err != nil {
		return nil, nil, err
	}
	inKey, where := inCert, "its key"
	if p.Key != "" && p.Key != p.Cert {
		where = fmt.Sprintf("key %q", p.Key)
		if data, err = readFile(p.Key); err == nil {
			inKey, err = readAny(p.Key, data, p.ask())
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", where, err)
		}
	} else if len(inCert.certificates) > 0 {
		if err := inCert.unseal(p.Cert, p.ask()); err != nil {
			return nil, nil, err
		}
	}
	if err := p.checkKinds(inCert, inKey); err != nil {
		return nil, nil, err
	}
	chain := inCert.certificates
	if inCert.chain > 0 {
		chain = chain[:inCert.chain]
	}
	for _, key := range inKey.keys {
		if samePublicKey(key, chain[0]) {
			return chain, key, checkLeafFirst(chain)
		}
	}
	for n, c := range chain {
		if slices.ContainsFunc(inKey.keys, func(k crypto.Signer) bool { return samePublicKey(k, c) }) {
			return nil, nil, fmt.Errorf("the chain is in the wrong order: %s belongs to certificate %d of the file, which must be the first", where, n+1)
		}
	}
	return nil, nil, fmt.Errorf("%s belongs to another certificate", where)
}

// readCert reads the Cert file, whose key, if it is encrypted, may not be wanted.
func (p Pair) readCert(data []byte) (*contents, error) {
	if isPKCS12(data) {
		return readPKCS12(p.Cert, data, p.ask())
	}
	return parsePEM(p.Cert, data)
}

// ask is the Passphrase, or what says that there is none.
func (p Pair) ask() Passphrase {
	if p.Passphrase != nil {
		return p.Passphrase
	}
	return func(string) ([]byte, error) {
		return nil, fmt.Errorf("%w: set Passphrase of the Pair", ErrPassphraseNeeded)
	}
}

// checkKinds names what is in a file instead of what should be: a certificate in the first, a private key in the second.
func (p Pair) checkKinds(inCert, inKey *contents) error {
	separate := inCert != inKey
	switch {
	case len(inCert.certificates) == 0 && separate && len(inCert.keys)+len(inCert.sealed) > 0 && len(inKey.certificates) > 0:
		return fmt.Errorf("certificate and key are exchanged: %q is the certificate, %q the key", p.Key, p.Cert)
	case len(inCert.certificates) == 0:
		return fmt.Errorf("the file holds %s", holdsInstead(p.Cert, inCert))
	case len(inKey.keys) == 0 && separate:
		return fmt.Errorf("key %q: the file holds %s", p.Key, holdsNoKey(p.Key, inKey))
	case len(inKey.keys) == 0 && len(inCert.others) > 0:
		return fmt.Errorf("no key file is given, and beside the certificate the file holds %s", holdsNoKey(p.Cert, inCert))
	case len(inKey.keys) == 0:
		return ErrNoKey
	}
	return nil
}

// checkLeafFirst refuses a chain that begins with the issuer of what follows. That no key fits tells most of them;
// this one is left when the key is the authority's own.
func checkLeafFirst(chain []*x509.Certificate) error {
	if len(chain) > 1 && string(chain[0].RawSubject) != string(chain[1].RawSubject) && chain[1].CheckSignatureFrom(chain[0]) == nil {
		return errors.New("the chain is in the wrong order: the first certificate is an authority that issued the second; the server's own must be the first")
	}
	return nil
}

// validityWarning is empty for a certificate that is well within its time.
func validityWarning(what string, c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return fmt.Sprintf("%s expired %s: it will be refused", what, moment(c.NotAfter, now))
	case now.Before(c.NotBefore):
		return fmt.Sprintf("%s is not valid yet: it begins %s", what, moment(c.NotBefore, now))
	case c.NotAfter.Sub(now) < c.NotAfter.Sub(c.NotBefore)/10:
		return fmt.Sprintf("%s expires %s", what, moment(c.NotAfter, now))
	}
	return ""
}

// LifetimeWarning says in a sentence that c, which it calls what, is expired, not yet valid, or in the last tenth of its
// lifetime, as of now. It is empty for a certificate that is well within its time.
func LifetimeWarning(what string, c *x509.Certificate) string {
	return validityWarning(what, c, time.Now())
}

// moment says how far t is from now, in words, and when it is.
func moment(t, now time.Time) string {
	if t.After(now) {
		return fmt.Sprintf("in %s, at %s", inWords(now, t), t.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s ago, at %s", inWords(t, now), t.UTC().Format(time.RFC3339))
}

// inWords rounds the time between two moments down to the unit that says enough.
func inWords(from, to time.Time) string {
	seconds := secondsBetween(from, to)
	for _, unit := range []struct {
		name   string
		length int64
	}{{"years", 365 * 24 * 3600}, {"days", 24 * 3600}, {"hours", 3600}, {"minutes", 60}} {
		if seconds >= 2*unit.length {
			return fmt.Sprintf("%d %s", seconds/unit.length, unit.name)
		}
	}
	if seconds != 1 {
		return fmt.Sprintf("%d seconds", seconds)
	}
	return "1 second"
}

// secondsBetween rounds down. A time.Duration ends at 292 years, and certificates
// without an end at 9999 (RFC 5280, 4.1.2.5).
func secondsBetween(from, to time.Time) int64 {
	seconds := to.Unix() - from.Unix()
	if to.Nanosecond() < from.Nanosecond() {
		seconds--
	}
	return seconds
}

// ReadCertificates reads the certificates of a PEM or DER file, in the order of the file: at least one.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	chain, err := readChain(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate %q: %w", path, err)
	}
	return chain, nil
}

func readChain(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return certificatesIn(path, data)
}

// certificatesIn reads the certificates of PEM or DER: at least one.
func certificatesIn(path string, data []byte) ([]*x509.Certificate, error) {
	if certificates, err := x509.ParseCertificates(data); err == nil && len(certificates) > 0 {
		return certificates, nil
	}
	found, err := parsePEM(path, data)
	if err == nil && len(found.certificates) == 0 {
		err = fmt.Errorf("the file holds %s", holdsInstead(path, found))
	}
	if err != nil {
		return nil, err
	}
	return found.certificates, nil
}
