package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"tcps/internal/terminal"
)

// Pin returns the base64 form of the SHA-256 digest of c's SubjectPublicKeyInfo, which names its key whoever signs it.
func Pin(c *x509.Certificate) string { return pinOf(c.RawSubjectPublicKeyInfo) }

func pinOf(publicKeyInfo []byte) string {
	sum := sha256.Sum256(publicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Fingerprint returns the SHA-256 digest of c in hexadecimal, upper case, as other programs write it.
func Fingerprint(c *x509.Certificate) string { return fmt.Sprintf("%X", sha256.Sum256(c.Raw)) }

// OneLine says in one line whom c is for, who issued it and how long it lasts, safe to print on a terminal.
func OneLine(c *x509.Certificate) string {
	line := subject(c)
	if names := alternativesOf(c).inWords(); len(names) > 0 {
		line += ", names " + strings.Join(names, " ")
	}
	now := time.Now()
	return fmt.Sprintf("%s, issued by %s, until %s (%s)", line, issuerName(c), c.NotAfter.UTC().Format(time.DateOnly), relative(c.NotAfter, now))
}

// Describe says in words, a line each, what c is, for whom, by whom, for how long, with what key, what it may
// do, and what is wrong with it. What comes out of the certificate is made safe to print on a terminal.
func Describe(c *x509.Certificate) string {
	return DescribeCertificate(c, time.Now()).String()
}

// CertificateDescription says what one certificate is.
type CertificateDescription struct {
	Kind        CertificateKind `json:"kind"`
	SelfSigned  bool            `json:"self_signed"` // by its names: subject and issuer are the same
	Subject     string          `json:"subject"`
	Names       []string        `json:"names,omitempty"` // as Request.Names has them
	Issuer      string          `json:"issuer"`
	Serial      string          `json:"serial"` // hexadecimal
	NotBefore   time.Time       `json:"not_before"`
	NotAfter    time.Time       `json:"not_after"`
	Key         string          `json:"key"` // type and size
	Signature   string          `json:"signature"`
	Usages      []string        `json:"usages,omitempty"` // names of RFC 5280: digitalSignature, serverAuth; an OID where there is none
	Constraints []string        `json:"constraints,omitempty"`
	OCSP        []string        `json:"ocsp,omitempty"` // where to ask whether it is revoked
	CRL         []string        `json:"crl,omitempty"`  // where the lists are on which it would be
	MustStaple  bool            `json:"must_staple,omitempty"`
	SHA256      string          `json:"sha256"`
	Pin         string          `json:"pin"`
	Problems    []Problem       `json:"problems,omitempty"`

	now time.Time // what "in 3 days" counts from
}

// CertificateKind is what a certificate is for.
type CertificateKind string

// The kinds of certificates.
const (
	KindRoot            CertificateKind = "root"
	KindIntermediate    CertificateKind = "intermediate"
	KindServer          CertificateKind = "server"
	KindClient          CertificateKind = "client"
	KindServerAndClient CertificateKind = "server-and-client"
	KindAny             CertificateKind = "any"   // it does not say for what
	KindOther           CertificateKind = "other" // for nothing that TLS does
)

// DescribeCertificate says what c is and, as of now, what is wrong with it.
func DescribeCertificate(c *x509.Certificate, now time.Time) CertificateDescription {
	return CertificateDescription{
		Kind:        kindOf(c),
		SelfSigned:  isSelfSigned(c),
		Subject:     subject(c),
		Names:       alternativesOf(c).inWords(),
		Issuer:      nameInWords(c.Issuer),
		Serial:      fmt.Sprintf("%x", c.SerialNumber),
		NotBefore:   c.NotBefore.UTC(),
		NotAfter:    c.NotAfter.UTC(),
		Key:         keyInWords(c.PublicKey),
		Signature:   c.SignatureAlgorithm.String(),
		Usages:      usagesOf(c.KeyUsage, c.ExtKeyUsage, c.UnknownExtKeyUsage),
		Constraints: constraintsInWords(c),
		OCSP:        printable(c.OCSPServer),
		CRL:         printable(c.CRLDistributionPoints),
		MustStaple:  mustStaple(c),
		SHA256:      Fingerprint(c),
		Pin:         Pin(c),
		Problems:    problemsOf(c, now),
		now:         now,
	}
}

// String says it in words, a line each.
func (d CertificateDescription) String() string {
	var w words
	w.line("certificate", "%s", d.kindInWords())
	w.line("subject", "%s", d.Subject)
	if len(d.Names) > 0 {
		w.line("names", "%s", strings.Join(d.Names, ", "))
	}
	if d.SelfSigned {
		w.line("issuer", "itself")
	} else {
		w.line("issuer", "%s", d.Issuer)
	}
	w.line("serial", "%s", d.Serial)
	w.line("valid from", "%s (%s)", d.NotBefore.Format(time.RFC3339), relative(d.NotBefore, d.now))
	w.line("valid until", "%s (%s)", d.NotAfter.Format(time.RFC3339), relative(d.NotAfter, d.now))
	w.line("key", "%s", d.Key)
	w.line("signature", "%s", d.Signature)
	if len(d.Usages) > 0 {
		w.line("may", "%s", usagesInWords(d.Usages))
	}
	for _, constraint := range d.Constraints {
		w.line("constraint", "%s", constraint)
	}
	for _, url := range d.OCSP {
		w.line("OCSP at", "%s", url)
	}
	for _, url := range d.CRL {
		w.line("CRL at", "%s", url)
	}
	if d.MustStaple {
		w.line("must", "be served with an OCSP staple")
	}
	w.line("SHA-256", "%s", d.SHA256)
	w.line("pin", "%s", d.Pin)
	w.problems(d.Problems)
	return w.String()
}

func (d CertificateDescription) kindInWords() string {
	text := map[CertificateKind]string{
		KindRoot: "root of a certificate authority", KindIntermediate: "intermediate certificate authority",
		KindServer: "of a server", KindClient: "of a client", KindServerAndClient: "of a server or a client",
		KindAny: "for any use", KindOther: "of another purpose",
	}[d.Kind]
	if d.SelfSigned && d.Kind != KindRoot {
		text += ", self-signed"
	}
	return text
}

func kindOf(c *x509.Certificate) CertificateKind {
	server, client := usableAs(c, x509.ExtKeyUsageServerAuth), usableAs(c, x509.ExtKeyUsageClientAuth)
	switch {
	case c.IsCA && isSelfSigned(c):
		return KindRoot
	case c.IsCA:
		return KindIntermediate
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		return KindAny
	case server && client:
		return KindServerAndClient
	case server:
		return KindServer
	case client:
		return KindClient
	}
	return KindOther
}

func isSelfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

func subject(c *x509.Certificate) string { return nameInWords(c.Subject) }

func issuer(c *x509.Certificate) string {
	if isSelfSigned(c) {
		return "itself"
	}
	return nameInWords(c.Issuer)
}

// issuerName is the short form of the issuer: its common name if it has one.
func issuerName(c *x509.Certificate) string {
	if !isSelfSigned(c) && c.Issuer.CommonName != "" {
		return terminal.Printable(c.Issuer.CommonName)
	}
	return issuer(c)
}

func nameInWords(n pkix.Name) string {
	if text := terminal.Printable(n.String()); text != "" {
		return text
	}
	return "no subject"
}

func printable(values []string) []string {
	values = slices.Clone(values)
	for i, v := range values {
		values[i] = terminal.Printable(v)
	}
	return values
}

func relative(t, now time.Time) string {
	if t.After(now) {
		return "in " + inWords(now, t)
	}
	return inWords(t, now) + " ago"
}
