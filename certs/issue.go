package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// defaultLife is how long an issued certificate lasts if the request does not say.
const defaultLife = 90 * day

// appleLife is the longest life of a server's certificate that macOS and iOS accept from a root that the user added.
const appleLife = 825 * day

// Request says what certificate to issue.
type Request struct {
	// Names of a server: DNS names, with a wildcard as the first label or none, and IP addresses.
	// Of a client: first its common name, any printable text of up to 64 bytes; then alternative names as
	// "dns:NAME", "email:ADDRESS" or "uri:URI".
	Names   []string
	Client  bool          // a client's certificate, else a server's; never both
	For     time.Duration // how long it lasts from now, at most as long as its issuer; zero: 90 days; negative: refused
	KeyType KeyType       // zero: ECDSAP256
}

// firstName is what errors call the certificate.
func (r Request) firstName() string {
	if len(r.Names) == 0 {
		return "no name"
	}
	return fmt.Sprintf("%q", r.Names[0])
}

// Issued is a new certificate with its private key; without it, if it was signed for a request.
type Issued struct {
	Certificate tls.Certificate // with Leaf
	CertPEM     []byte
	KeyPEM      []byte   // PKCS#8; nil without the key
	Warnings    []string // sentences about what will not work everywhere

	fileName string       // what Write calls the files
	forget   func() error // takes it off the record; nobody has it then
}

// Issue makes a key and signs a certificate for it. A name outside the constraints of the root is a
// *NotPermittedError. What Issue returns has been verified against the root. It is sent with what leads to the root: the
// intermediate, and after a rollover the root that the older one signed.
func (a *Authority) Issue(r Request) (*Issued, error) {
	issued, err := a.issue(r)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", r.firstName(), err)
	}
	return issued, nil
}

func (a *Authority) issue(r Request) (*Issued, error) {
	if len(r.Names) == 0 {
		return nil, errors.New("at least one name is needed")
	}
	key, err := r.KeyType.generate()
	if err != nil {
		return nil, err
	}
	issued, err := a.certify(r, key.Public())
	if err != nil {
		return nil, err
	}
	issued.Certificate.PrivateKey = key
	issued.KeyPEM, err = encodeKey(key)
	return issued, err
}

// certify signs a certificate for a public key; the private one is not known here.
func (a *Authority) certify(r Request, public crypto.PublicKey) (*Issued, error) {
	by, err := a.signer()
	if err != nil {
		return nil, err
	}
	issued := &Issued{}
	template, err := a.template(r, by.certificate, issued)
	if err != nil {
		return nil, err
	}
	if template.SubjectKeyId, err = keyID(public); err != nil {
		return nil, err
	}
	if _, ok := public.(*rsa.PublicKey); ok {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	leaf, err := a.sign(template, by, public)
	if err != nil {
		return nil, err
	}
	if err := a.ledger.record(leaf); err != nil {
		return nil, err
	}
	issued.forget = func() error { return a.ledger.forget(leaf) }
	chain := append([]*x509.Certificate{leaf}, a.chain(by)...)
	issued.Certificate.Leaf = leaf
	for _, c := range chain {
		issued.Certificate.Certificate = append(issued.Certificate.Certificate, c.Raw)
	}
	issued.CertPEM = encodeCertificates(chain...)
	return issued, nil
}

// sign makes the certificate and verifies it as a peer will: a mistake of ours must not leave this machine.
func (a *Authority) sign(template *x509.Certificate, by signer, public crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, public, by.key) // the serial number is 159 random bits
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	intermediates := x509.NewCertPool()
	for _, c := range a.chain(by) {
		intermediates.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: a.pool, Intermediates: intermediates, KeyUsages: template.ExtKeyUsage})
	return leaf, err
}

// template checks the request and adds to issued its warnings and file name.
func (a *Authority) template(r Request, by *x509.Certificate, issued *Issued) (*x509.Certificate, error) {
	t := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	if err := a.setValidity(t, r, by, issued); err != nil {
		return nil, err
	}
	if r.Client {
		return t, a.setClientNames(t, r.Names, issued)
	}
	return t, a.setServerNames(t, r.Names, issued)
}

// setValidity keeps the certificate within the time of by, its issuer.
func (a *Authority) setValidity(t *x509.Certificate, r Request, by *x509.Certificate, issued *Issued) error {
	now, life := time.Now(), r.For
	switch {
	case life == 0:
		life = defaultLife
	case life < 0:
		return fmt.Errorf("a certificate cannot last %v", life)
	}
	what := "root"
	if by != a.root {
		what = "intermediate"
	}
	if now.After(by.NotAfter) {
		if what == "intermediate" {
			return fmt.Errorf("the intermediate expired %s, and there is no new one: %w", moment(by.NotAfter, now), a.whyNotRenewed())
		}
		return fmt.Errorf("the root expired %s: make a new one with tcps certs init --force", moment(by.NotAfter, now))
	}
	if now.Before(by.NotBefore) {
		return fmt.Errorf("the %s is not valid yet, it begins %s: look at the clock of this machine", what, moment(by.NotBefore, now))
	}
	t.NotBefore, t.NotAfter = later(now.Add(-backdateOf(life)), by.NotBefore), now.Add(life)
	if t.NotAfter.After(by.NotAfter) {
		t.NotAfter = by.NotAfter
		issued.warn("it ends with its %s, %s", what, moment(t.NotAfter, now))
	}
	if !r.Client && t.NotAfter.Sub(t.NotBefore) > appleLife {
		issued.warn("macOS and iOS refuse certificates of servers that last longer than %d days", appleLife/day)
	}
	return nil
}

func (i *Issued) warn(format string, args ...any) {
	i.Warnings = append(i.Warnings, fmt.Sprintf(format, args...))
}

// setServerNames makes the first DNS name the common name too, if that can hold it (64 characters). An address cannot be:
// where it stands alone, OpenSSL takes it for a DNS name and refuses it by the root's constraints.
func (a *Authority) setServerNames(t *x509.Certificate, names []string, issued *Issued) error {
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, s := range names {
		n, err := parseServerName(s)
		if err != nil {
			return err
		}
		if err := a.addName(t, n); err != nil {
			return err
		}
		if issued.fileName == "" {
			issued.fileName = n.text
		}
		if len(t.DNSNames) == 1 && n.kind == dnsName && len(n.text) <= 64 {
			t.Subject.CommonName = n.text
		}
		if strings.HasPrefix(n.text, "*.") && strings.Count(n.text, ".") == 1 {
			issued.warn("OpenSSL matches no host with %s: it wants two labels after the wildcard", n.text)
		}
	}
	return nil
}

func (a *Authority) setClientNames(t *x509.Certificate, names []string, issued *Issued) error {
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	commonName := names[0]
	if err := checkCommonName(commonName); err != nil {
		return err
	}
	for _, s := range names[1:] {
		n, err := parseClientName(s)
		if err != nil {
			return err
		}
		if err := a.addName(t, n); err != nil {
			return err
		}
	}
	t.Subject = pkix.Name{CommonName: commonName}
	issued.fileName = commonName
	if len(t.DNSNames) == 0 && looksLikeDNS(commonName) && permits(a.root, name{kind: dnsName, text: commonName, host: strings.ToLower(commonName)}) != nil {
		issued.warn("OpenSSL takes the client name %q for a DNS name and will refuse it by the constraints of the root; a name without dots works everywhere", commonName)
	}
	return nil
}

// addName adds n to the alternative names if the root may sign for it.
func (a *Authority) addName(t *x509.Certificate, n name) error {
	if err := permits(a.root, n); err != nil {
		return err
	}
	n.addTo(&t.DNSNames, &t.IPAddresses, &t.EmailAddresses, &t.URIs)
	return nil
}
