package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/internal/pin"
	"tcps/internal/reason"
)

// verify is the verdict of crypto/tls on a server's certificate.
func verify(cs *tls.ConnectionState, roots *x509.CertPool, name string) ([][]*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		return nil, errors.New("the server presented no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, cert := range cs.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := cs.PeerCertificates[0].Verify(options)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return chains, nil
}

// pinsAlone reports whether nothing but the key of a server is looked at.
func (d *Dialer) pinsAlone() bool { return len(d.Pins) > 0 && d.RootCAs == nil }

// judge is the verdict on a server, in full and in resumed handshakes: these
// have the certificates and the OCSP response of the full one.
func (d *Dialer) judge(c *Conn, e endpoint.Endpoint, cs tls.ConnectionState, name string) error {
	c.presented = presented{cs.PeerCertificates, cs.OCSPResponse}
	if d.RequireALPN && cs.NegotiatedProtocol == "" {
		return &reason.Error{Reason: reason.ALPN, Err: errors.New("the server chose none of the application protocols that were offered")}
	}
	if d.KnownHosts != nil {
		return d.judgeKnown(c, e, cs)
	}
	if d.Insecure { // the verdict that crypto/tls would have given is kept for the caller
		_, c.untrusted = verify(&cs, d.RootCAs, name)
		return nil
	}
	// Chains that come out of a file are no proof of anything, and those of a session
	// that was found by what is sent as the name were verified for another one.
	if !d.pinsAlone() && (len(cs.VerifiedChains) == 0 || cs.DidResume && (d.keepsSessions() || d.sni(name) != name)) {
		var err error
		if cs.VerifiedChains, err = verify(&cs, d.RootCAs, name); err != nil {
			return err
		}
	}
	return d.judgeVerified(cs)
}

// judgeVerified goes on where the chains are verified; with pins alone there
// are none.
func (d *Dialer) judgeVerified(cs tls.ConnectionState) error {
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
