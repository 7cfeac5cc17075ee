package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// A Handshake is a whole one with crypto/tls, with whatever certificate.
type Handshake struct {
	// Version is the only one to speak. 0: TLS 1.2 and 1.3, with Old 1.0 to 1.3.
	Version uint16

	// Old offers everything that crypto/tls knows, and not only what it offers by
	// itself.
	Old bool

	// NextProtos are the application protocols to offer. Nil: those of the Prober.
	NextProtos []string

	// Ticket keeps the session; with one it is resumed. Nil: neither.
	Ticket *Ticket

	// Wait is for what the server sends by itself after a handshake of TLS 1.3: a
	// ticket, or that it does not want us.
	Wait bool

	// Certificate is for a server that asks for one. Nil: it gets none.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
}

// An Outcome is what came of a Handshake.
type Outcome struct {
	// State is what is known, as far as the handshake came: with an error
	// PeerCertificates may be there, and CurveID is not.
	State tls.ConnectionState

	// Remote is the server's address; nil: there was no connection.
	Remote net.Addr

	// Request is how the server asked for a certificate; nil: it did not.
	Request *tls.CertificateRequestInfo

	// Err is why the handshake failed, or in TLS 1.3 how the server refused us
	// right after it.
	Err error
}

// patience is how long Wait waits at most: some servers send nothing.
const patience = time.Second

// Handshake shakes hands with the server, and ends the connection.
func (p *Prober) Handshake(ctx context.Context, h Handshake) *Outcome {
	o := &Outcome{}
	if h.Ticket == nil && h.Wait {
		h.Ticket = &Ticket{} // that it comes says that we are let in
	}
	raw, limited, done, err := p.open(ctx)
	if err != nil {
		o.Err = err
		return o
	}
	defer done()
	o.Remote = raw.RemoteAddr()
	conn := tls.Client(raw, p.config(h, o))
	if o.Err = conn.HandshakeContext(limited); o.Err != nil {
		switch {
		case limited.Err() != nil:
			o.Err = limited.Err()
		case conn.ConnectionState().Version == 0:
			o.Err = reason.BeforeHello(o.Err)
		}
		return o
	}
	o.State = conn.ConnectionState()
	if o.State.Version == tls.VersionTLS13 && h.Wait {
		o.Err = h.settle(conn)
	}
	p.learn(&o.State)
	conn.Close()
	return o
}

// learn keeps what the server agreed to, for the moment when it no longer seems to.
func (p *Prober) learn(s *tls.ConnectionState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.baseline == nil {
		p.baseline = p.hello(s.Version, []Suite{{ID: s.CipherSuite}}, groups)
	}
}

func (p *Prober) config(h Handshake, o *Outcome) *tls.Config {
	config := &tls.Config{
		ServerName: p.ServerName, NextProtos: h.NextProtos,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // what is wrong with the certificate is told, whatever it is
		VerifyConnection: func(s tls.ConnectionState) error {
			o.State = s
			return nil
		},
		GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			o.Request = r
			if h.Certificate != nil {
				return h.Certificate(r)
			}
			return &tls.Certificate{}, nil
		},
	}
	if h.Old {
		config.MinVersion = tls.VersionTLS10
		for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			config.CipherSuites = append(config.CipherSuites, s.ID)
		}
	}
	if h.NextProtos == nil {
		config.NextProtos = p.NextProtos
	}
	if h.Version != 0 {
		config.MinVersion, config.MaxVersion = h.Version, h.Version
	}
	if h.Ticket != nil {
		config.ClientSessionCache = h.Ticket
	}
	return config
}

// settle reads until a ticket comes, a refusal, anything else, or nothing for a
// while. Data, an end and silence are none of them errors. A reset is one: it may
// stand for a refusal, or have destroyed it.
func (h *Handshake) settle(conn *tls.Conn) error {
	conn.SetReadDeadline(time.Now().Add(patience))
	h.Ticket.came = func() { conn.SetReadDeadline(time.Unix(1, 0)) }
	_, err := conn.Read(make([]byte, 1))
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || wire.IsReset(err)) {
		return err
	}
	return nil
}

// A Ticket is a session that a server gave for resumption: a cache of one. It is
// for one handshake at a time.
type Ticket struct {
	session *tls.ClientSessionState
	came    func()
}

// Get is for crypto/tls.
func (t *Ticket) Get(string) (*tls.ClientSessionState, bool) { return t.session, t.session != nil }

// Put is for crypto/tls.
func (t *Ticket) Put(_ string, session *tls.ClientSessionState) {
	if session == nil { // it is used up, or of no use
		t.session = nil
		return
	}
	t.session = session
	if t.came != nil {
		t.came()
	}
}

// Came reports whether there is one.
func (t *Ticket) Came() bool { return t.session != nil }
