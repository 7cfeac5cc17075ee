package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tcps/internal/reason"
	"tcps/internal/terminal"
)

// Reason is the one word for why a certificate is refused: the same as a tlsclient.Reason.
type Reason = reason.Reason

// Usage is what a certificate is to be used for.
type Usage string

// The usages. The zero value means UsageAny.
const (
	UsageAny    Usage = "any"
	UsageServer Usage = "server"
	UsageClient Usage = "client"
)

// VerifyOptions says what a certificate is verified against. The zero value asks only whether an authority that the
// system trusts issued it, for whatever use.
type VerifyOptions struct {
	Roots *x509.CertPool // nil: the system's
	Name  string         // host name or IP address that it has to be for; empty: any
	Usage Usage
	At    time.Time // zero: the present

	// Revocation is asked about each certificate of the chain but the root; it knows of the present only. Nil: nobody is.
	Revocation *Revocation
}

// VerifyError says why a certificate is refused.
type VerifyError struct {
	Reason  Reason
	Last    *x509.Certificate // the last of the chain that was found: the one that is refused, or whose issuer is missing
	Missing bool              // the certificate of the issuer of Last is missing
	Err     error
}

func (e *VerifyError) Error() string { return e.Err.Error() }
func (e *VerifyError) Unwrap() error { return e.Err }

// LoadChain reads the certificates of a PEM, DER or PKCS#12 file, in its order; keys beside them are not looked at. ask
// is for the passphrase of PKCS#12; nil: such a file is ErrPassphraseNeeded.
func LoadChain(path string, ask Passphrase) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("load certificate %q: %w", path, err)
	}
	return chainIn(path, data, ask)
}

// ReadChain reads what r holds, as LoadChain does; name is for errors, and for ask.
func ReadChain(name string, r io.Reader, ask Passphrase) ([]*x509.Certificate, error) {
	data, err := readUpTo(r, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("load certificate %q: %w", name, err)
	}
	return chainIn(name, data, ask)
}

func chainIn(name string, data []byte, ask Passphrase) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	var err error
	if !isPKCS12(data) {
		chain, err = certificatesIn(name, data)
	} else if found, e := readPKCS12(name, data, ask); e == nil {
		chain = found.certificates
	} else {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("load certificate %q: %w", name, err)
	}
	return chain, nil
}

// Verify judges the first certificate of a chain as a peer would to which the chain is presented. It returns the way
// from it to a root. The error is a *VerifyError.
func Verify(chain []*x509.Certificate, o VerifyOptions) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("verify: there is no certificate")
	}
	if o.At.IsZero() {
		o.At = time.Now()
	}
	ways, err := o.verify(chain, o.At)
	if err != nil {
		return nil, o.explain(chain, err)
	}
	if o.Revocation != nil {
		if err := o.Revocation.Check(ways); err != nil {
			return nil, refusedAsRevoked(err, chain[0])
		}
	}
	return shortest(ways), nil
}

// refusedAsRevoked names the certificate that is revoked, if one is.
func refusedAsRevoked(err error, last *x509.Certificate) *VerifyError {
	if revoked, ok := errors.AsType[*RevocationError](err); ok && revoked.Certificate != nil {
		last = revoked.Certificate
	}
	return &VerifyError{Reason: reason.Revoked, Last: last, Err: err}
}

func shortest(ways [][]*x509.Certificate) []*x509.Certificate {
	return slices.MinFunc(ways, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
}

// verify returns every way to a root.
func (o VerifyOptions) verify(chain []*x509.Certificate, at time.Time) (ways [][]*x509.Certificate, err error) {
	usage := x509.ExtKeyUsageAny
	switch o.Usage {
	case UsageServer:
		usage = x509.ExtKeyUsageServerAuth
	case UsageClient:
		usage = x509.ExtKeyUsageClientAuth
	}
	options := x509.VerifyOptions{
		Roots: o.Roots, Intermediates: x509.NewCertPool(), DNSName: o.Name,
		CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	return chain[0].Verify(options)
}

// explain finds what is wrong where crypto/x509 only says that no way to a root was found.
func (o VerifyOptions) explain(chain []*x509.Certificate, err error) *VerifyError {
	switch why := reason.Of(&tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}, ""); why {
	case reason.Name:
		return &VerifyError{Reason: why, Last: chain[0], Err: fmt.Errorf("it is for %s, not for %q", hostsOf(chain[0]), o.Name)}
	case reason.WrongUsage:
		return &VerifyError{Reason: why, Last: chain[0], Err: fmt.Errorf("its extended key usage, or that of its authority, does not let it be a TLS %s", o.Usage)}
	}
	var path []*x509.Certificate
	for _, i := range pathFrom(0, chain) {
		path = append(path, chain[i])
	}
	if e := outsideItsTime(path, o.At); e != nil {
		return e
	}
	if ways, err := o.verify(chain, commonTime(path)); err == nil { // the root itself is too old, or too young
		if e := outsideItsTime(shortest(ways), o.At); e != nil {
			return e
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		return &VerifyError{Reason: reason.Untrusted, Last: chain[0], Err: errors.New(terminal.Printable(err.Error()))}
	}
	last := path[len(path)-1]
	return &VerifyError{reason.Untrusted, last, !isSelfSigned(last), errors.New(whyUnknown(path, chain))}
}

func hostsOf(c *x509.Certificate) string {
	if hosts := (alternatives{dns: c.DNSNames, ips: c.IPAddresses}).inWords(); len(hosts) > 0 {
		return strings.Join(hosts, ", ")
	}
	return "no host"
}

// outsideItsTime finds the first certificate of a path that is not valid at a moment.
func outsideItsTime(path []*x509.Certificate, at time.Time) *VerifyError {
	for n, c := range path {
		what := "it"
		if n > 0 {
			what = fmt.Sprintf("the certificate of its authority %s", subject(c))
		}
		if at.After(c.NotAfter) {
			return &VerifyError{Reason: reason.Expired, Last: c, Err: fmt.Errorf("%s expired %s", what, moment(c.NotAfter, at))}
		}
		if at.Before(c.NotBefore) {
			return &VerifyError{Reason: reason.NotYetValid, Last: c, Err: fmt.Errorf("%s is not valid yet: it begins %s", what, moment(c.NotBefore, at))}
		}
	}
	return nil
}

// commonTime is the first moment at which all certificates of a path are valid, if there is one.
func commonTime(path []*x509.Certificate) time.Time {
	latest := path[0].NotBefore
	for _, c := range path {
		if c.NotBefore.After(latest) {
			latest = c.NotBefore
		}
	}
	return latest
}

// whyUnknown says how the chain ends short of a known root.
func whyUnknown(path, chain []*x509.Certificate) string {
	last := path[len(path)-1]
	what := "it"
	if len(path) > 1 {
		what = subject(last)
	}
	namesake := func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, last.RawIssuer) }
	weak := weakSignature(last.SignatureAlgorithm)
	switch {
	case len(weak) > 0 && !isSelfSigned(last):
		return fmt.Sprintf("%s was issued by %s, and %s", what, nameInWords(last.Issuer), weak[0].Text)
	case isSelfSigned(last) && len(path) == 1:
		return "it is self-signed, and not one of the authorities that are trusted"
	case isSelfSigned(last):
		return fmt.Sprintf("the chain ends with the root %s, which is not one of the authorities that are trusted", what)
	case slices.ContainsFunc(chain, namesake):
		return fmt.Sprintf("%s was issued by %s, but the certificate of that name in the chain has another key", what, nameInWords(last.Issuer))
	}
	return fmt.Sprintf("%s was issued by %s, whose certificate is neither in the chain nor one of the authorities that are trusted", what, nameInWords(last.Issuer))
}
