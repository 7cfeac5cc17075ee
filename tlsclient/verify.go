package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"tcps/certs"
	"tcps/internal/reason"
)

// verify is the verdict of crypto/tls on a server's certificate.
func verify(cs *tls.ConnectionState, roots *x509.CertPool, name string) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the server presented no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, cert := range cs.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := cs.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}

// judge is the verdict on a server whose chains are verified, in full and in
// resumed handshakes: these have the chains and the OCSP response of the full one.
func (d *Dialer) judge(cs tls.ConnectionState) error {
	if d.Revocation != nil {
		if err := d.Revocation.Check(cs.VerifiedChains); err != nil {
			return &reason.Error{Reason: reason.Revoked, Err: err}
		}
	}
	if d.RequireOCSPStaple {
		if err := certs.CheckStaple(cs.OCSPResponse, cs.VerifiedChains); err != nil {
			return &reason.Error{Reason: reason.Revoked, Err: err}
		}
	}
	return nil
}
