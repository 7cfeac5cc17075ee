package certs

import (
	"math/big"
	"time"
)

// RevokedCertificate names a certificate that its issuer took back: serial numbers are unique for one issuer only.
type RevokedCertificate struct {
	IssuerKeyID []byte    // subject key identifier of the issuer
	Serial      *big.Int  // of the certificate
	At          time.Time // when it was revoked
	Reason      int       // RFC 5280, 5.3.1; 0: not specified
}
