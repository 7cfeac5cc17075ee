// Package pin reads and makes pins: the SHA-256 of a public key, by which it is
// known whoever signed it.
package pin

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Pin is the SHA-256 of a SubjectPublicKeyInfo (RFC 5280, 4.1).
type Pin = [sha256.Size]byte

// Of is the pin of a certificate's key.
func Of(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// Parse reads a pin as openssl, curl (sha256//…) and we print it: 32 bytes in
// base64 or hex.
func Parse(s string) (Pin, error) {
	for _, prefix := range []string{"sha256//", "sha256/", "sha256:", "pin:"} {
		s = strings.TrimPrefix(s, prefix)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	}
	if err != nil || len(b) != sha256.Size {
		return Pin{}, fmt.Errorf("not the base64 or hex of %d bytes (the SHA-256 of a public key; \"tcps certs show\" prints it)", sha256.Size)
	}
	return Pin(b), nil
}

// String writes a pin as Parse reads it.
func String(p Pin) string { return base64.StdEncoding.EncodeToString(p[:]) }
