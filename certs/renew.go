package certs

import "crypto/x509"

// The kinds of certificates in a ledger.
const (
	KindServer       = "server"
	KindClient       = "client"
	KindIntermediate = "intermediate"
	KindRoot         = "root"
)

// KindOf tells whose certificate c is.
func KindOf(c *x509.Certificate) string {
	switch {
	case c.IsCA && string(c.RawSubject) == string(c.RawIssuer):
		return KindRoot
	case c.IsCA:
		return KindIntermediate
	case isClient(c):
		return KindClient
	}
	return KindServer
}

func isClient(c *x509.Certificate) bool {
	for _, usage := range c.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth {
			return false
		}
	}
	return len(c.ExtKeyUsage) > 0
}

// NamesOf returns the names of a server's or a client's certificate as Request.Names has them; an authority's is its
// common name.
func NamesOf(c *x509.Certificate) []string {
	if c.IsCA {
		return []string{c.Subject.CommonName}
	}
	return namesOfCSR(&x509.CertificateRequest{
		Subject: c.Subject, DNSNames: c.DNSNames, IPAddresses: c.IPAddresses, EmailAddresses: c.EmailAddresses, URIs: c.URIs,
	}, isClient(c))
}
