package tlsserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"tcps/certs"
	"tcps/internal/reason"
	"tcps/internal/wire"
)

// layer is what is done with the TLS of a listener's connections.
type layer int

const (
	plain      layer = iota // there is none
	terminated              // it ends here
	passedOn                // only the ClientHello is looked at
)

// handshake brings a connection to where its Handler may have it. The deadline
// is set on the socket: a context would cost a goroutine.
func (s *Server) handshake(c *Conn) error {
	proxied := s.ProxyProtocol.Trusts(c.RemoteAddr())
	if c.layer == plain && !proxied {
		c.established.Store(true)
		return nil
	}
	c.slot = s.slots.enter(c, s.Limits.maxHellos())
	defer s.leaveSlots(c)
	if timeout := s.handshakeTimeout(); timeout > 0 {
		c.deadline = c.opened.Add(timeout)
		c.stream.Raw.SetDeadline(c.deadline)
	}
	if err := c.shake(proxied); err != nil {
		c.answerHTTP(err)
		if wire.IsTimeout(err) || !c.hello && !c.told {
			// Nothing was said that the peer could miss: it is gone at once.
			c.stream.Raw.SetLinger(0)
		}
		return err
	}
	c.stream.Raw.SetDeadline(time.Time{})
	c.established.Store(true)
	if c.challenge {
		return io.EOF // answered: there is nothing to serve
	}
	// SetTrust stores its value and then judges who is established: whoever
	// comes too late for that sees the new value here.
	if now := s.trust.Load(); c.layer == terminated && now != c.trust {
		return now.rulingFor(c.sni).judge(c.TLS())
	}
	return nil
}

// shake takes the steps of a handshake, in the order in which they are on the wire.
func (c *Conn) shake(proxied bool) error {
	if proxied {
		if err := c.readProxyHeader(); err != nil {
			return err
		}
		if err := c.server.admitProxied(c); err != nil {
			return err
		}
	}
	switch c.layer {
	case terminated:
		if err := c.server.startTLS(c); err != nil || c.stream.TLS == nil {
			return err
		}
		return c.stream.TLS.Handshake()
	case passedOn:
		return c.peekHello()
	}
	return nil
}

// plainHTTP is what a client hears that speaks HTTP without TLS: a browser shows
// it, and would show a reset otherwise. It is HTTP/1.0, which every client takes.
const plainHTTP = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This port speaks TLS, and got a plain HTTP request.\n"

// answerHTTP answers a plain HTTP request. crypto/tls has written nothing then.
func (c *Conn) answerHTTP(err error) {
	if reason.LooksLike(err) == "http" {
		c.told = true
		c.stream.Raw.Write([]byte(plainHTTP))
	}
}

func (s *Server) leaveSlots(c *Conn) {
	s.slots.leave(c.slot)
	c.slot = nil
}

// configForClient is called by crypto/tls when the ClientHello is there. It
// waits for a handshake slot, and reads the trust value: once, so that a
// handshake never sees parts of two.
func (s *Server) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := hello.Conn.(*transport).conn
	c.heard(hello)
	if c.internal == nil {
		if err := s.slots.turn(c.slot, c); err != nil {
			return nil, err
		}
	}
	trust := s.trust.Load()
	if source, ok := trust.whole.Source.(certs.ChallengeSource); ok {
		if config := source.ChallengeConfig(hello); config != nil {
			c.challenge = true
			return config, nil
		}
	}
	if s.RequireALPN && len(hello.SupportedProtos) == 0 {
		c.stream.Raw.Write(alertNoApplicationProtocol)
		return nil, &reason.Error{Reason: reason.ALPN, Err: errors.New("client offered no application protocol, and one is required")}
	}
	c.trust = trust
	ruling := trust.rulingFor(hello.ServerName)
	if c.internal != nil {
		return c.internal(ruling), nil
	}
	s.renewTickets(trust)
	if s.Limits.MaxConnsPerIdentity > 0 {
		return s.countingIdentity(c, ruling.config), nil
	}
	return ruling.config, nil
}

// countingIdentity is config for a connection that counts for its identity once
// it is judged: there the client can still be told.
func (s *Server) countingIdentity(c *Conn, config *tls.Config) *tls.Config {
	config = config.Clone()
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := verify(cs); err != nil {
			return err
		}
		return s.admitIdentity(c, identityOf(&cs))
	}
	return config
}

// alertNoApplicationProtocol is that alert as a record (RFC 8446, 5.1 and 6).
// crypto/tls sends it only to clients that offer some protocol; at the
// ClientHello alerts are still in the clear, and the first one counts.
var alertNoApplicationProtocol = []byte{21, 3, 3, 0, 2, 2, 120}

// tlsConfig is the crypto/tls side of a trust value.
func (s *Server) tlsConfig(t *Trust) (*tls.Config, error) {
	if err := s.checkVersions(); err != nil {
		return nil, err
	}
	if err := s.checkStartTLS(); err != nil {
		return nil, err
	}
	suites, err := s.tls12CipherSuites()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:             s.minVersion(),
		MaxVersion:             s.maxVersion(),
		CipherSuites:           suites,
		NextProtos:             s.NextProtos,
		ClientCAs:              t.ClientCAs,
		ClientAuth:             t.tlsClientAuth(),
		GetCertificate:         t.Source.Certificate,
		SessionTicketsDisabled: s.SessionTicketsDisabled,
	}
	if s.StrictSNI {
		config.GetCertificate = strictSNI(t.Source.Certificate)
	}
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if s.RequireALPN && cs.NegotiatedProtocol == "" {
			return &reason.Error{Reason: reason.ALPN, Err: errors.New("no application protocol in common, and one is required")}
		}
		return t.judge(&cs)
	}
	if !s.SessionTicketsDisabled {
		bindSessions(config, s.StrictSNI)
		s.tickets.install(config)
	}
	return config, nil
}

// strictSNI makes of a missing or unknown name the alert unrecognized_name:
// crypto/tls sends it when GetCertificate returns neither certificate nor error.
func strictSNI(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "" {
			return nil, nil
		}
		cert, err := get(hello)
		if err != nil || cert == nil {
			return nil, err
		}
		leaf, err := leafOf(cert)
		if err != nil {
			return nil, err
		}
		if leaf.VerifyHostname(hello.ServerName) != nil {
			return nil, nil
		}
		return cert, nil
	}
}

func (s *Server) minVersion() uint16 { return max(s.MinVersion, tls.VersionTLS12) }

func (s *Server) maxVersion() uint16 {
	if s.MaxVersion == 0 {
		return tls.VersionTLS13
	}
	return s.MaxVersion
}

func (s *Server) checkVersions() error {
	for _, v := range []uint16{s.MinVersion, s.MaxVersion} {
		if v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
			return fmt.Errorf("tlsserver: %s is not supported: want TLS 1.2 or TLS 1.3", tls.VersionName(v))
		}
	}
	if s.minVersion() > s.maxVersion() {
		return fmt.Errorf("tlsserver: MinVersion %s is above MaxVersion %s",
			tls.VersionName(s.minVersion()), tls.VersionName(s.maxVersion()))
	}
	return nil
}
