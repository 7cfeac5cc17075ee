package certs

import (
	"crypto/x509"
	"net"
	"net/url"
	"slices"
)

// alternatives are the subject alternative names of a certificate or a request (RFC 5280, 4.2.1.6), as they stand there.
type alternatives struct {
	dns    []string
	ips    []net.IP
	emails []string
	uris   []*url.URL
}

func alternativesOf(c *x509.Certificate) alternatives {
	return alternatives{c.DNSNames, c.IPAddresses, c.EmailAddresses, c.URIs}
}

func alternativesIn(r *x509.CertificateRequest) alternatives {
	return alternatives{r.DNSNames, r.IPAddresses, r.EmailAddresses, r.URIs}
}

// list has the kind before each name but an address, and dnsKind before a DNS name.
func (a alternatives) list(dnsKind string) []string {
	var names []string
	for _, s := range a.dns {
		names = append(names, dnsKind+s)
	}
	for _, ip := range a.ips {
		names = append(names, ip.String())
	}
	for _, s := range a.emails {
		names = append(names, "email:"+s)
	}
	for _, u := range a.uris {
		names = append(names, "uri:"+u.String())
	}
	return names
}

// inWords returns them safe to print.
func (a alternatives) inWords() []string { return printable(a.list("")) }

// asRequested returns the names as Request.Names has them: those of a client begin with its common name.
func (a alternatives) asRequested(commonName string, client bool) []string {
	switch {
	case !client:
		return a.list("")
	case commonName == "":
		return nil
	}
	return append([]string{commonName}, a.list("dns:")...)
}

// NamesOf returns the names of a server's or a client's certificate as Request.Names has them; an authority's is its
// common name.
func NamesOf(c *x509.Certificate) []string {
	if c.IsCA {
		return []string{c.Subject.CommonName}
	}
	return alternativesOf(c).asRequested(c.Subject.CommonName, isClient(c))
}

// isClient tells whether c is for clients and not for servers.
func isClient(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
}

// firstNameIn is the first name of a request for a server's certificate.
func firstNameIn(r *x509.CertificateRequest) string {
	if names := alternativesIn(r).list(""); len(names) > 0 {
		return names[0]
	}
	return r.Subject.CommonName
}

// ServerNames returns the names by which a Source over certificates finds c, in lower case and without repetitions: its
// DNS names, or its common name if it has no alternative names at all. SNI never carries an address (RFC 6066, 3), so
// addresses do not count. A nil c has none.
func ServerNames(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	names := c.DNSNames
	if len(names)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) == 0 {
		names = []string{c.Subject.CommonName}
	}
	seen := map[string]bool{"": true}
	var unique []string
	for _, name := range names {
		if name = foldName(name); !seen[name] {
			seen[name] = true
			unique = append(unique, name)
		}
	}
	return unique
}

// addTo adds n to the names of its kind of a certificate or a request.
func (n name) addTo(dns *[]string, ips *[]net.IP, emails *[]string, uris *[]*url.URL) {
	switch n.kind {
	case dnsName:
		*dns = append(*dns, n.text)
	case ipName:
		*ips = append(*ips, n.ip.AsSlice())
	case emailName:
		*emails = append(*emails, n.text)
	case uriName:
		*uris = append(*uris, n.uri)
	}
}
