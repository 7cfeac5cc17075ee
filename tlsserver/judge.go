package tlsserver

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"tcps/internal/reason"
)

// A Visitor is a client about whom Judge is asked. The zero value asks for no
// name and has no certificate.
type Visitor struct {
	// Addr is the address that it has; the zero value: none that rules look at.
	Addr netip.Addr

	// ServerName is the name that it asks for; empty: none.
	ServerName string

	// Chain is the certificate that it presents, its own first. It needs no key:
	// that the client has it is taken for granted.
	Chain []*x509.Certificate

	// Version is the TLS version that it speaks, which decides over some alerts.
	// 0: the highest that the server speaks.
	Version uint16
}

// A Verdict says what becomes of a Visitor, and why.
type Verdict struct {
	Reason Reason // done: it is let in; else as Ended has it
	Err    error  // as Ended has it; nil: it is let in

	// Alert is the name of the alert by which the client is refused (RFC 8446,
	// 6), as bad_certificate. Empty: it is let in, or closed without one.
	Alert string

	Version uint16 // that was spoken

	// Names are those of the NameTrust that holds for the name that was asked
	// for; nil: the Trust's own values do.
	Names []string

	Asked bool // a client certificate is asked for

	// Identity is what rules see of the client. Nil: it has presented no
	// certificate, was not asked for one, or was refused before any rule.
	Identity *Identity

	// Rule is the rule that decided, as in the reason: deny-cn=mallory, or
	// allow-cn,allow-ou where none of these matched; of a client that is let in
	// the first allow rule that matched. Empty: no rule had to decide.
	Rule string

	// Matches are all rules that match, those that deny first, whichever of them
	// decided: deny-cn=mallory, allow-ou=staff.
	Matches []string
}

// Judge has the server complete a handshake with itself, over memory, up to
// where it has judged the client, and says what it thinks of it: names, versions
// and protocols, authorities, lists and rules are those of the steps that every
// handshake takes. It is not observed, counted, limited or resumed, and reaches
// no Handler; Policy.Check is asked. The visitor offers all of NextProtos.
// It works at any time after SetTrust, also before Serve and after Close. The
// error is nil whenever there is a verdict.
func (s *Server) Judge(ctx context.Context, v Visitor) (*Verdict, error) {
	if s.trust.Load() == nil {
		return nil, ErrNoTrust
	}
	rules := s.addressRules.Load()
	rule, matches := rules.explain(v.Addr)
	if err := rules.judge(v.Addr); err != nil {
		refusal, _ := errors.AsType[*AddressError](err)
		return &Verdict{Reason: reason.Of(err, ""), Err: err, Rule: refusal.Rule, Matches: matches}, nil
	}
	j := &judgement{Verdict: Verdict{Reason: reason.Failed}}
	if err := j.reach(ctx, s, v); err != nil {
		return nil, fmt.Errorf("tlsserver: judge a client that asks for %q: %w", v.ServerName, err)
	}
	if j.Rule == "" && j.Err == nil {
		j.Rule = rule
	}
	j.Matches = append(matches, j.Matches...)
	return &j.Verdict, nil
}

// A judgement is a Verdict that is being reached.
type judgement struct {
	Verdict
	reached bool // the server has judged the client
}

func (j *judgement) reach(ctx context.Context, s *Server, v Visitor) error {
	c, far := s.internalPipe()
	visitor := newPatient(far)
	defer visitor.Close()
	c.internal = j.config
	served := make(chan error, 1)
	go func() {
		defer c.stream.Raw.Conn.Close()
		served <- c.shakeInternally(ctx)
	}()
	client := tls.Client(visitor, s.visitorConfig(v))
	clientErr := client.HandshakeContext(ctx)
	if clientErr == nil { // with TLS 1.3 the verdict comes now
		_, clientErr = client.Read(make([]byte, 1))
	}
	visitor.Close()
	err := <-served
	j.Version = client.ConnectionState().Version
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case j.reached && j.Err == nil: // whether it has its key is not asked
		j.Reason = reason.Done
		return nil
	case reason.Alert(clientErr) == "":
		return clientErr // it could not even present itself
	}
	j.Err, j.Reason, j.Alert = err, c.why(err), reason.Alert(clientErr)
	return nil
}

// config is that of a ruling, but it keeps the verdict.
func (j *judgement) config(r *ruling) *tls.Config {
	config := r.config.Clone()
	config.SessionTicketsDisabled = true
	j.Names, j.Asked = r.names, config.ClientAuth != tls.NoClientCert
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		j.reached, j.Err = true, verify(cs)
		j.Identity = identityOf(&cs)
		j.Rule, j.Matches = r.Policy.explain(j.Identity, j.Err)
		return j.Err
	}
	return config
}

// explain finds the rule that decided, and all that match.
func (p *Policy) explain(id *Identity, verdict error) (rule string, matches []string) {
	if p == nil {
		return "", nil
	}
	for _, r := range p.Deny {
		if r.Matches(id) {
			matches = append(matches, "deny-"+r.String())
		}
	}
	for _, r := range p.Allow {
		if r.Matches(id) {
			matches = append(matches, "allow-"+r.String())
			if rule == "" && verdict == nil {
				rule = "allow-" + r.String()
			}
		}
	}
	if refusal, ok := errors.AsType[*PolicyError](verdict); ok {
		rule = refusal.Rule
	}
	return rule, matches
}

// visitorConfig is the client's side.
func (s *Server) visitorConfig(v Visitor) *tls.Config {
	config := s.internalClient(v.ServerName)
	if v.Version != 0 {
		config.MinVersion, config.MaxVersion = v.Version, v.Version
	}
	cert := new(tls.Certificate)
	for _, link := range v.Chain {
		cert.Certificate = append(cert.Certificate, link.Raw)
	}
	if len(v.Chain) > 0 {
		cert.Leaf, cert.PrivateKey = v.Chain[0], noKey{v.Chain[0].PublicKey}
	}
	// Whatever authorities the server names: it is to judge.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	return config
}

// noKey signs nothing: the server has judged the certificate when the
// signature comes.
type noKey struct{ public crypto.PublicKey }

func (k noKey) Public() crypto.PublicKey { return k.public }

func (k noKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return []byte("none"), nil }

// A patient is an end of net.Pipe whose writes do not wait for the other one: a
// server that refuses a client in the middle of what it says would wait for it
// to listen, and it for the server.
type patient struct {
	net.Conn
	writes chan []byte
	done   chan struct{}
	ended  sync.WaitGroup
	once   sync.Once
}

func newPatient(nc net.Conn) *patient {
	p := &patient{Conn: nc, writes: make(chan []byte, 64), done: make(chan struct{})}
	p.ended.Go(p.pump)
	return p
}

func (p *patient) pump() {
	for {
		select {
		case b := <-p.writes:
			if _, err := p.Conn.Write(b); err != nil {
				return // reading tells why
			}
		case <-p.done:
			return
		}
	}
}

// Write never waits: a handshake has fewer flights than there is room for.
func (p *patient) Write(b []byte) (int, error) {
	select {
	case p.writes <- append([]byte(nil), b...):
		return len(b), nil
	default:
		return 0, net.ErrClosed
	}
}

// Close waits until nothing is written any more.
func (p *patient) Close() error {
	p.once.Do(func() { close(p.done) })
	err := p.Conn.Close()
	p.ended.Wait()
	return err
}
