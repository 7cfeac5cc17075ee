package tlsserver

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"net/netip"
	"strings"

	"tcps/internal/pin"
)

// An Identity is what a peer's certificate says of it.
type Identity struct {
	// Verified reports whether an authority vouches for the names. Without
	// one, the peer was let in by its pin, and the names are empty: anybody
	// can write any name into a certificate.
	Verified bool

	CommonName          string
	OrganizationalUnits []string
	DNSNames            []string
	EmailAddresses      []string
	IPAddresses         []netip.Addr
	URIs                []string

	// Pin is the SHA-256 of the public key (SubjectPublicKeyInfo, RFC 5280, 4.1).
	Pin [sha256.Size]byte

	// Certificate is the certificate itself. It must not be changed.
	Certificate *x509.Certificate
}

func identityOf(cs *tls.ConnectionState) *Identity {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	cert := cs.PeerCertificates[0]
	id := &Identity{
		Verified:    len(cs.VerifiedChains) > 0,
		Pin:         pin.Of(cert),
		Certificate: cert,
	}
	if !id.Verified {
		return id
	}
	id.CommonName = cert.Subject.CommonName
	id.OrganizationalUnits = cert.Subject.OrganizationalUnit
	id.DNSNames = cert.DNSNames
	id.EmailAddresses = cert.EmailAddresses
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			id.IPAddresses = append(id.IPAddresses, addr.Unmap())
		}
	}
	for _, uri := range cert.URIs {
		id.URIs = append(id.URIs, uri.String())
	}
	return id
}

// String is the peer in one word for a log: its common name, else its first
// URI, DNS name or e-mail address, else its pin.
func (id *Identity) String() string {
	if id == nil {
		return ""
	}
	for _, names := range [][]string{{id.CommonName}, id.URIs, id.DNSNames, id.EmailAddresses} {
		if len(names) > 0 && strings.TrimSpace(names[0]) != "" {
			return names[0]
		}
	}
	return "pin:" + pin.String(id.Pin)
}

// key is what an identity counts as: all that an authority vouches for, which a
// renewed certificate has too, or else the public key.
func (id *Identity) key() string {
	if !id.Verified {
		return string(id.Pin[:])
	}
	names := string(id.Certificate.RawSubject)
	for _, extension := range id.Certificate.Extensions {
		if extension.Id.Equal(subjectAltName) {
			names += string(extension.Value)
		}
	}
	return names
}

// subjectAltName is the extension of names (RFC 5280, 4.2.1.6).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
