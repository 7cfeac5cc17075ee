package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// problemsOf says what is wrong with c, or what peers will not take.
func problemsOf(c *x509.Certificate, now time.Time) []Problem {
	var found []Problem
	add := func(code, format string, args ...any) {
		found = append(found, Problem{code, fmt.Sprintf(format, args...)})
	}
	if text := validityWarning("it", c, now); text != "" {
		add(validityCode(c, now), "%s", text)
	}
	if text := weakKey(c.PublicKey); text != "" {
		add("weak-key", "%s", text)
	}
	if !c.IsCA || !isSelfSigned(c) { // nobody checks the signature of a root
		found = append(found, weakSignature(c.SignatureAlgorithm)...)
	}
	for _, oid := range c.UnhandledCriticalExtensions {
		add("critical-extension", "it has the critical extension %v, which tcps does not know: it is refused", oid)
	}
	if c.IsCA {
		if c.Version >= 3 && whyNoAuthority(c) != "" {
			add("wrong-usage", "%s", whyNoAuthority(c))
		}
		return found
	}
	server, client := usableAs(c, x509.ExtKeyUsageServerAuth), usableAs(c, x509.ExtKeyUsageClientAuth)
	if server && len(c.DNSNames)+len(c.IPAddresses) == 0 {
		add("no-san", "it has no alternative name (SAN) of a host: clients accept it for no server")
	}
	if !server && !client {
		add("wrong-usage", "its extended key usage lets it be neither a TLS server nor a TLS client")
	} else if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		add("wrong-usage", "its key usage does not let it sign handshakes: peers refuse it in TLS 1.3, many in TLS 1.2 too")
	}
	return found
}

func validityCode(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired"
	case now.Before(c.NotBefore):
		return "not-yet-valid"
	}
	return "expires-soon"
}

// weakKey is empty for a key that TLS can use and nobody can break.
func weakKey(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 {
			return fmt.Sprintf("an RSA key of %d bits is too weak: 2048 are the least", bits)
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return "TLS has no signatures on curve P-224; P-256, P-384 and P-521 will do"
		}
	case ed25519.PublicKey:
	default:
		return "TLS does not use keys of this kind; RSA, ECDSA and Ed25519 keys will do"
	}
	return ""
}

func weakSignature(a x509.SignatureAlgorithm) []Problem {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return []Problem{{"weak-signature", fmt.Sprintf("the signature %s can be forged: peers refuse it", a)}}
	case x509.UnknownSignatureAlgorithm:
		return []Problem{{"unknown-signature", "the signature is of a kind that Go does not know: tcps cannot verify it"}}
	}
	return nil
}
