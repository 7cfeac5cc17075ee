package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"tcps/internal/terminal"
)

// CheckStaple judges a peer by the OCSP response that it sent along in the handshake (OCSPResponse of crypto/tls; RFC
// 6066, 8) and by the chains that were verified for it. It is good if the issuer of the leaf, or a responder that the
// issuer has appointed (RFC 6960, 4.2.2.2), says of it now that it was not revoked. An error is a *RevocationError.
func CheckStaple(response []byte, chains [][]*x509.Certificate) error {
	return judgeChains(chains, func(chain []*x509.Certificate) *RevocationError {
		refusal := &RevocationError{Leaf: chain[0], Certificate: chain[0]}
		switch {
		case len(response) == 0:
			refusal.Err = errors.New("no OCSP response is stapled to the handshake")
		case len(chain) < 2:
			refusal.Err = errors.New("nobody can answer for it: it is trusted by itself")
		default:
			refusal.Revoked, refusal.Err = readStaple(response, chain[0], chain[1], time.Now())
		}
		if refusal.Revoked == nil && refusal.Err == nil {
			return nil
		}
		return refusal
	})
}

// readStaple finds out about one certificate. The error says why that is not known.
func readStaple(data []byte, c, issuer *x509.Certificate, now time.Time) (*RevokedCertificate, error) {
	response, err := ocsp.ParseResponseForCert(data, c, nil)
	if err != nil {
		return nil, fmt.Errorf("the stapled OCSP response cannot be used: %s", terminal.Printable(err.Error()))
	}
	if err := checkResponder(response, issuer, now); err != nil {
		return nil, fmt.Errorf("the stapled OCSP response is not of the issuer %s: %w", subject(issuer), err)
	}
	if !isAbout(response, c, issuer) {
		return nil, fmt.Errorf("the stapled OCSP response is about a certificate of another issuer than %s", subject(issuer))
	}
	switch {
	case response.Status == ocsp.Revoked:
		return &RevokedCertificate{issuer.SubjectKeyId, c.SerialNumber, response.RevokedAt, response.RevocationReason}, nil
	case response.Status != ocsp.Good:
		return nil, errors.New("the stapled OCSP response says that the responder does not know it")
	case response.ThisUpdate.After(now.Add(clockSkew)):
		return nil, fmt.Errorf("the stapled OCSP response is not valid yet: it begins %s", moment(response.ThisUpdate, now))
	case response.NextUpdate.IsZero():
		return nil, errors.New("the stapled OCSP response does not say until when it holds (no nextUpdate)")
	case now.After(response.NextUpdate):
		return nil, fmt.Errorf("the stapled OCSP response expired %s", moment(response.NextUpdate, now))
	}
	return nil, nil
}

// checkResponder wants the signature of the issuer, or of a certificate that the issuer made for this purpose.
func checkResponder(response *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	err := response.CheckSignatureFrom(issuer)
	responder := response.Certificate
	if err == nil || responder == nil {
		return bareSignature(err)
	}
	if err := issuer.CheckSignature(responder.SignatureAlgorithm, responder.RawTBSCertificate, responder.Signature); err != nil {
		return bareSignature(err)
	}
	switch {
	case !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("%s has signed it, which may not answer for revocation (OCSP)", subject(responder))
	case now.Before(responder.NotBefore) || now.After(responder.NotAfter):
		return fmt.Errorf("the certificate of its responder %s is not valid now", subject(responder))
	}
	return bareSignature(response.CheckSignatureFrom(responder))
}

func bareSignature(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(terminal.Printable(err.Error()))
}

// The part of an OCSP response that says whom it is about (RFC 6960, 4.2.1), which package ocsp leaves to us: serial
// numbers are unique for one issuer only.
type (
	responseData struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []singleResponse
	}
	singleResponse struct {
		CertID struct {
			HashAlgorithm           pkix.AlgorithmIdentifier
			NameHash, IssuerKeyHash []byte
			Serial                  *big.Int
		}
	}
)

// isAbout reports whether the answer for c's serial number, the first one, means c's issuer.
func isAbout(response *ocsp.Response, c, issuer *x509.Certificate) bool {
	var data responseData
	if _, err := asn1.Unmarshal(response.TBSResponseData, &data); err != nil || !response.IssuerHash.Available() {
		return false
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return false
	}
	hash := func(b []byte) []byte {
		h := response.IssuerHash.New()
		h.Write(b)
		return h.Sum(nil)
	}
	for _, r := range data.Responses {
		if r.CertID.Serial.Cmp(c.SerialNumber) == 0 {
			return bytes.Equal(r.CertID.NameHash, hash(c.RawIssuer)) && bytes.Equal(r.CertID.IssuerKeyHash, hash(key.Key.RightAlign()))
		}
	}
	return false
}
