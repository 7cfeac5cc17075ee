package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tcps/certs"
	"tcps/internal/pin"
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

// pinsAlone reports whether nothing but the key of a server is looked at.
func (d *Dialer) pinsAlone() bool { return len(d.Pins) > 0 && d.RootCAs == nil }

// judge is the verdict on a server whose chains are verified (with pins alone
// there are none), in full and in resumed handshakes: these have the chains and
// the OCSP response of the full one.
func (d *Dialer) judge(cs tls.ConnectionState) error {
	if err := d.judgePins(cs.PeerCertificates); err != nil {
		return &reason.Error{Reason: reason.Pin, Err: err}
	}
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

func (d *Dialer) judgePins(chain []*x509.Certificate) error {
	switch {
	case len(d.Pins) == 0:
		return nil
	case len(chain) == 0:
		return errors.New("the server presented no certificate, and its key is pinned")
	}
	got := pin.Of(chain[0])
	if slices.Contains(d.Pins, got) {
		return nil
	}
	return fmt.Errorf("the server's key has the pin %s, which is none of those given", pin.String(got))
}
