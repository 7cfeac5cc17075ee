package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// backdate is how much earlier than now a certificate begins, for clients whose clocks are behind;
// a short one less (backdateOf).
const backdate = time.Hour

// rootLife is how long a root lasts.
const rootLife = 10 * 365 * day

// AuthorityOptions says what a new root may sign for. The zero value permits only local names: localhost, test,
// internal, local, home.arpa with their sub-names, this machine's host name, loopback, private and link-local addresses,
// and e-mail addresses and URIs with such host names.
type AuthorityOptions struct {
	Permit        []string // more DNS names (with their sub-names), IP addresses and prefixes
	Unconstrained bool     // may sign for everything: whoever steals the key can then impersonate every host
	HostName      string   // permitted, without its sub-names if it has one label; empty: what the system says
	KeyType       KeyType  // of the root's key; zero: ECDSAP256
	Intermediate  bool     // the root signs an intermediate, which signs the rest: the root's key can be taken away then

	Encrypt    []byte     // the passphrase under which new keys are written; nil: they are not encrypted
	Passphrase Passphrase // opens keys that are there; nil: encrypted ones are ErrPassphraseNeeded
}

// Authority is a local certificate authority: a root and its key, an intermediate perhaps, and older roots that are
// trusted still. One that is kept in a folder records there what it issues (OpenLedger). Its methods may be called
// concurrently.
type Authority struct {
	root   *x509.Certificate
	older  []*x509.Certificate // trusted too, until they end; the newest first
	cross  []*x509.Certificate // the root, signed by older ones
	pool   *x509.CertPool      // of the roots
	ledger *Ledger             // nil: it is in memory only
	opens  Passphrase
	seal   []byte // the passphrase of its keys; nil: they are not encrypted

	mu      sync.Mutex
	current signer        // signs what is issued: the root or the intermediate; guarded by mu, as all below
	rootKey crypto.Signer // nil: not read yet, or not here
	failed  time.Time     // when the intermediate could not be renewed
	failure error         // why
}

// A signer is a certificate of an authority with its key.
type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority in memory, for tests and demonstrations.
func NewAuthority(o AuthorityOptions) (*Authority, error) {
	a, err := newAuthority(o)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return a, nil
}

func newAuthority(o AuthorityOptions) (*Authority, error) {
	if o.Unconstrained && len(o.Permit) > 0 {
		return nil, errors.New("an unconstrained root permits every name; leave out either")
	}
	if o.HostName == "" {
		o.HostName, _ = os.Hostname() // a machine without a name has none to permit
	}
	var c constraints
	if !o.Unconstrained {
		var err error
		if c, err = newConstraints(foldName(o.HostName), o.Permit); err != nil {
			return nil, err
		}
	}
	root, err := newRoot(o.HostName, o.KeyType, func(template *x509.Certificate) {
		if !o.Unconstrained {
			c.apply(template)
		}
	})
	if err != nil {
		return nil, err
	}
	return assemble(root, o)
}

// assemble makes an authority of a root, with an intermediate if o asks for one.
func assemble(root signer, o AuthorityOptions) (*Authority, error) {
	a := &Authority{root: root.certificate, rootKey: root.key, current: root, opens: o.Passphrase, seal: o.Encrypt}
	a.setPool()
	if o.Intermediate {
		var err error
		if a.current, err = newIntermediate(root); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Authority) setPool() {
	a.pool = x509.NewCertPool()
	for _, root := range a.roots() {
		a.pool.AddCert(root)
	}
}

// roots are all that are trusted, the newest first.
func (a *Authority) roots() []*x509.Certificate {
	return append([]*x509.Certificate{a.root}, a.older...)
}

// newRoot makes a root that signs itself. constrain adds what it may sign for.
func newRoot(host string, t KeyType, constrain func(*x509.Certificate)) (signer, error) {
	key, err := t.generate()
	if err != nil {
		return signer{}, err
	}
	template, err := authorityTemplate(host, "", key.Public())
	if err != nil {
		return signer{}, err
	}
	template.NotAfter = time.Now().Add(rootLife)
	template.MaxPathLen = 2 // room for the root that comes after it, and for an intermediate
	constrain(template)
	return signer{template, key}.certify(template, key)
}

// certify signs what template says for the public half of key.
func (s signer) certify(template *x509.Certificate, key crypto.Signer) (signer, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, s.certificate, key.Public(), s.key)
	if err != nil {
		return signer{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return signer{certificate, key}, err
}

// authorityTemplate names the machine, the year and the key in the subject, so that two are told apart in a list. what
// is empty for a root.
func authorityTemplate(host, what string, public crypto.PublicKey) (*x509.Certificate, error) {
	id, err := keyID(public)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	host = foldName(host)
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"tcps local authority"}},
		NotBefore:             now.Add(-backdate),
		SubjectKeyId:          id,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	label := "local"
	if len(host) <= 64 && checkHost(host, host) == nil {
		template.Subject.OrganizationalUnit = []string{host}
		label, _, _ = strings.Cut(host, ".")
		label = label[:min(len(label), 40)]
	}
	template.Subject.CommonName = fmt.Sprintf("tcps %s %s%d %x", label, what, now.Year(), id[:4])
	return template, nil
}

// keyID is the key identifier of RFC 7093, 2, method 1, over the whole SubjectPublicKeyInfo.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// Root returns the certificate of the root. It is shared: do not change it.
func (a *Authority) Root() *x509.Certificate { return a.root }

// RootPEM returns the roots in PEM form, for clients to trust: the one that signs first.
func (a *Authority) RootPEM() []byte { return encodeCertificates(a.roots()...) }

// Pool returns a new pool that holds the roots alone.
func (a *Authority) Pool() *x509.CertPool { return a.pool.Clone() }

// Constrained tells whether the root may only sign for certain names, of every kind.
func (a *Authority) Constrained() bool { return CheckConstrained(a.root) == nil }

// Permits tells whether the root may sign for s: a DNS name, an IP address, or a value after "dns:", "email:" or
// "uri:". The error is a *NotPermittedError if it may not; other errors say why s is no name at all.
func (a *Authority) Permits(s string) error {
	n, err := parseName(s)
	if err != nil {
		return err
	}
	return permits(a.root, n)
}

// ServerNames splits candidates, such as this machine's host name and addresses, into those that a certificate of this
// authority can carry, in their normal spelling and without repetitions, and those that it cannot.
func (a *Authority) ServerNames(candidates ...string) (names, leftOut []string) {
	seen := map[string]bool{}
	for _, s := range candidates {
		n, err := parseServerName(s)
		if err == nil {
			err = permits(a.root, n)
		}
		switch {
		case err != nil && !seen[s]:
			leftOut = append(leftOut, s)
			seen[s] = true
		case err == nil && !seen[n.text]:
			names = append(names, n.text)
			seen[n.text] = true
		}
	}
	return names, leftOut
}

// keyIDOf is the key identifier of an authority, or that which we give to one that has none.
func keyIDOf(c *x509.Certificate) []byte {
	if len(c.SubjectKeyId) > 0 {
		return c.SubjectKeyId
	}
	id, _ := keyID(c.PublicKey) // a key that cannot be encoded has signed nothing
	return id
}
