package tlsserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"tcps/certs"
	"tcps/internal/reason"
)

// An Observer hears what happens to a server's connections: logs, metrics and
// tests hang here. It is called from the goroutines of the connections, at
// the same time from many, and they wait for it: it must be quick, and must not
// call Shutdown or Close. An Observer that also is a DataObserver sees the bytes.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is an Observer that is a function.
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// An Event is one of Opened, Established, Ended, Refused, AcceptFailed,
// TrustChanged, TicketKeysFailed;
// later versions may add others.
type Event interface{ event() }

// Opened says that a connection was accepted. Nothing was read from it yet.
type Opened struct{ Conn *Conn }

// Established says that the handshake has ended well (on a plain listener:
// that there is none), and that the Handler is called next.
type Established struct {
	Conn     *Conn
	Duration time.Duration // since it was accepted
}

// Ended says that a connection is closed. Each Opened is followed by one.
type Ended struct {
	Conn     *Conn
	Reason   Reason
	Err      error         // what went wrong, in full; nil at a clean end
	Duration time.Duration // since it was accepted
}

// Certificate is the one that the peer presented, accepted or not; nil if
// there was none, or if it was not looked at.
func (e Ended) Certificate() *x509.Certificate {
	if cs := e.Conn.TLS(); cs != nil && len(cs.PeerCertificates) > 0 {
		return cs.PeerCertificates[0]
	}
	if refusal, ok := errors.AsType[*PolicyError](e.Err); ok {
		return refusal.Certificate
	}
	if refusal, ok := errors.AsType[*certs.RevocationError](e.Err); ok {
		return refusal.Leaf
	}
	if verr, ok := errors.AsType[*tls.CertificateVerificationError](e.Err); ok && len(verr.UnverifiedCertificates) > 0 {
		return verr.UnverifiedCertificates[0]
	}
	return nil
}

// LooksLike says what a peer seems to speak whose first bytes were not TLS:
// http, ssh, proxy-protocol, smtp-or-ftp; empty: nothing that we know.
func (e Ended) LooksLike() string { return reason.LooksLike(e.Err) }

// Refused says that a connection was closed as it came, before anything was done
// for it: by a limit or by a rule for addresses. It has no Opened and no Ended.
type Refused struct {
	Listener, Peer net.Addr
	Reason         Reason
	Err            error // which limit it was, and what it is
}

// AcceptFailed says that accepting failed for a cause that passes, such as too
// few descriptors, and will be tried again after Delay.
type AcceptFailed struct {
	Listener net.Addr
	Err      error
	Delay    time.Duration
}

// TrustChanged says that SetTrust has replaced the trust value, and how many
// open connections its revocation or policy has ended.
type TrustChanged struct {
	Trust *Trust
	Ended int
}

// TicketKeysFailed says that the store of ticket keys could not be read or
// written; it is asked again in ten minutes.
type TicketKeysFailed struct{ Err error }

func (Opened) event()           {}
func (Established) event()      {}
func (Ended) event()            {}
func (Refused) event()          {}
func (AcceptFailed) event()     {}
func (TrustChanged) event()     {}
func (TicketKeysFailed) event() {}

// A Direction tells what arrives from what leaves.
type Direction int

// The directions, as the server sees them.
const (
	Received Direction = iota
	Sent
)

// A DataObserver sees the bytes of each read and write of a Handler. It must
// not keep or change b.
type DataObserver interface {
	Observer
	ObserveData(c *Conn, d Direction, b []byte)
}

func (s *Server) observe(e Event) {
	if s.Observer != nil {
		s.Observer.Observe(e)
	}
}

func (s *Server) observesData() bool {
	_, ok := s.Observer.(DataObserver)
	return ok
}

func (s *Server) observeData(c *Conn, d Direction, b []byte) {
	if o, ok := s.Observer.(DataObserver); ok {
		o.ObserveData(c, d, b)
	}
}
