package tlsserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tcps/certs"
	"tcps/internal/reason"
)

// ClientAuth says whether clients must present a certificate.
type ClientAuth int

// The modes of client authentication.
const (
	ClientAuthDefault  ClientAuth = iota // required if there is anything to judge a certificate by, else none
	ClientAuthRequired                   // a valid certificate is required
	ClientAuthOptional                   // a certificate is asked for; if one comes it must be valid
	ClientAuthNone                       // no certificate is asked for
)

// ParseClientAuth reads require, optional or none.
func ParseClientAuth(s string) (ClientAuth, error) {
	switch s {
	case "require":
		return ClientAuthRequired, nil
	case "optional":
		return ClientAuthOptional, nil
	case "none":
		return ClientAuthNone, nil
	}
	return 0, fmt.Errorf("unknown mode of client authentication %q: want require, optional or none", s)
}

// A Trust is what a server presents and whom it lets in. It is one value, so
// that a handshake never sees parts of two; do not change it after SetTrust.
type Trust struct {
	// Source has the server's certificates. It is required.
	Source certs.Source

	// ClientCAs are the authorities that vouch for clients. Nil: none; only
	// pins can let a client with a certificate in then.
	ClientCAs *x509.CertPool

	// ClientAuth is the mode. ClientAuthNone together with ClientCAs or allow
	// rules is refused: it cannot be meant.
	ClientAuth ClientAuth

	// Revocation knows which certificates of those that ClientCAs vouch for
	// were taken back. It needs ClientCAs. Nil: nothing is known to be.
	Revocation *certs.Revocation

	// Policy decides who of those that ClientCAs vouch for may connect. Nil:
	// all of them.
	Policy *Policy

	// Names are the server names for which other authorities, another mode,
	// other lists or other rules hold than the ones above, which are for
	// clients that ask for any other name, or for none. A session resumes only
	// under the name that it was made for, and so never takes what one name let
	// in to another one.
	//
	// The client chooses which name it asks for. So the rules of a name guard
	// only what the Handler gives to clients of that name alone (Conn.ServerName;
	// behind Listener the tls.ConnectionState has it): where it does the same for
	// all of them, the laxest rules decide who gets it. A Handler that is told a
	// name again inside the stream (HTTP's Host) must refuse one that is not
	// Conn.ServerName (RFC 9110, 7.4). With StrictSNI the ones above are left for
	// those names for which there is a certificate.
	Names []NameTrust

	// KeepRefused lets the connections that are open live on when this value
	// is set, though its Revocation or Policy refuse them. Handshakes, resumed
	// ones too, are refused in any case.
	KeepRefused bool
}

// acmeTLS1 is the application protocol of the tls-alpn challenge.
const acmeTLS1 = "acme-tls/1"

// SetTrust checks t as a whole, and then replaces the current value in one
// step. A handshake that has begun ends under the old one, and its client is
// then judged by the new one too. Open connections that the new revocation or
// policy refuses are ended, during a drain too, judged by the chain that was
// verified for them; those whose authority is gone live on. On an error nothing
// has changed.
func (s *Server) SetTrust(t *Trust) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("tlsserver: %w", err)
	}
	s.awaitTicketKeys()
	used, err := s.inUse(t)
	if err != nil {
		return err
	}
	if _, ok := t.Source.(certs.ChallengeSource); ok && slices.Contains(s.NextProtos, acmeTLS1) {
		return fmt.Errorf("tlsserver: the application protocol %s is for ACME challenges only (RFC 8737)", acmeTLS1)
	}
	s.trust.Store(used)
	s.observe(TrustChanged{Trust: t, Ended: s.judgeAnew(used)})
	return nil
}

// judgeAnew ends the open connections that t refuses.
func (s *Server) judgeAnew(t *trust) int {
	ended := 0
	if t.whole.KeepRefused || !t.judges() {
		return 0
	}
	for _, c := range s.open() {
		cs := c.TLS()
		if cs == nil {
			continue
		}
		if refusal := t.rulingFor(c.ServerName()).judge(cs); refusal != nil {
			c.refuse(refusal)
			ended++
		}
	}
	return ended
}

func (t *Trust) check() error {
	switch {
	case t == nil:
		return errors.New("the trust value is nil")
	case t.Source == nil:
		return errors.New("the trust value has no source of certificates")
	}
	if err := t.checkClients(); err != nil {
		return err
	}
	return t.checkNames()
}

// checkClients checks what t says of clients.
func (t *Trust) checkClients() error {
	if err := t.Policy.check(); err != nil {
		return err
	}
	judged := t.ClientCAs != nil || t.Policy.allowsPins()
	switch {
	case t.ClientAuth < ClientAuthDefault || t.ClientAuth > ClientAuthNone:
		return fmt.Errorf("unknown mode of client authentication %d", t.ClientAuth)
	case t.ClientAuth == ClientAuthNone && (judged || t.Policy.hasRules()):
		return errors.New("client authentication is none, but there are authorities or rules for clients")
	case (t.ClientAuth == ClientAuthRequired || t.ClientAuth == ClientAuthOptional) && !judged:
		return errors.New("client certificates are asked for, but there is no authority and no allowed pin to judge them by")
	case t.ClientCAs == nil && t.Revocation != nil:
		return errors.New("revocation needs authorities: who was let in by a pin alone has no issuer that could revoke the certificate")
	case t.ClientCAs == nil && t.Policy.needsAuthority():
		return errors.New("rules other than pins need an authority: anybody can write any name into a certificate")
	}
	return nil
}

// tlsClientAuth is the mode in crypto/tls' terms. Without authorities the pins
// alone decide (admit), whoever signed the certificate.
// With allow rules a client without a certificate never gets in, and is told
// so by the alert for that.
func (t *Trust) tlsClientAuth() tls.ClientAuthType {
	pinsOnly := t.ClientCAs == nil
	switch {
	case pinsOnly && !t.Policy.allowsPins():
		return tls.NoClientCert
	case pinsOnly:
		return tls.RequireAnyClientCert
	case t.ClientAuth == ClientAuthOptional && len(t.Policy.allow()) == 0:
		return tls.VerifyClientCertIfGiven
	default:
		return tls.RequireAndVerifyClientCert
	}
}

// judges reports whether judge can refuse anybody.
func (t *Trust) judges() bool { return t.Policy != nil || t.Revocation != nil }

// judge is the verdict on a peer, in the handshake, full or resumed, and later.
// A resumed session has the chains that were verified when it was made.
func (t *Trust) judge(cs *tls.ConnectionState) error {
	if t.Revocation != nil && len(cs.PeerCertificates) > 0 {
		if err := t.Revocation.Check(cs.VerifiedChains); err != nil {
			return &reason.Error{Reason: reason.Revoked, Err: err}
		}
	}
	if t.Policy == nil {
		return nil
	}
	return t.Policy.judge(identityOf(cs))
}

func leafOf(cert *tls.Certificate) (*x509.Certificate, error) {
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	if len(cert.Certificate) == 0 {
		return nil, errors.New("the source returned an empty certificate")
	}
	return x509.ParseCertificate(cert.Certificate[0])
}
