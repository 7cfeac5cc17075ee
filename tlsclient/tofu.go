package tlsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"tcps/internal/endpoint"
	"tcps/internal/pin"
	"tcps/internal/reason"
)

// Trust on first use. What is known of a server is looked at in the handshake,
// where a refusal is an alert; what is new is kept after it, when the server has
// proved that it has the key, and before a byte is sent.

// checkKnownHosts refuses what contradicts KnownHosts, and a file that cannot be
// read or means nothing.
func (d *Dialer) checkKnownHosts(e endpoint.Endpoint) error {
	if d.KnownHosts == nil || !e.TLS() {
		return nil
	}
	if d.Insecure || len(d.Pins) > 0 || d.RootCAs != nil || d.Revocation != nil || d.RequireOCSPStaple {
		return errors.New("KnownHosts decides alone: none of Insecure, Pins, RootCAs, Revocation and RequireOCSPStaple can be set beside it")
	}
	_, err := d.KnownHosts.Find("", "")
	return err
}

// knownAs is what a server's lines in KnownHosts begin with.
func (d *Dialer) knownAs(e endpoint.Endpoint) (at, name string) {
	name = strings.ToLower(d.nameOf(e))
	if e.IsUnix() {
		path, err := filepath.Abs(e.Path)
		if err != nil {
			path = e.Path
		}
		return endpoint.Endpoint{Scheme: e.Scheme, Path: path}.String(), name
	}
	host := strings.ToLower(e.Host)
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String() // addresses are written in many ways
	}
	return net.JoinHostPort(host, e.Port), name
}

// judgeKnown is the verdict of KnownHosts, in full and in resumed handshakes.
func (d *Dialer) judgeKnown(c *Conn, e endpoint.Endpoint, cs tls.ConnectionState) error {
	at, name := d.knownAs(e)
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the server presented no certificate")
	}
	known, err := d.KnownHosts.Find(at, name)
	if err != nil {
		return err
	}
	c.known, err = d.KnownHosts.judge(known, pin.Of(cs.PeerCertificates[0]))
	c.learned = len(known) == 0
	return asPin(err)
}

// judgeKept is the verdict on a server whose session was kept. What is not known
// is not learned from there: a session is no proof that the server has the key.
func (d *Dialer) judgeKept(e endpoint.Endpoint, chain []*x509.Certificate) error {
	at, name := d.knownAs(e)
	known, err := d.KnownHosts.Find(at, name)
	if err != nil {
		return err
	}
	if len(known) == 0 || len(chain) == 0 {
		return errors.New("its key is not known")
	}
	_, err = d.KnownHosts.judge(known, pin.Of(chain[0]))
	return err
}

// learn keeps the key of a server that was not known.
func (d *Dialer) learn(ctx context.Context, c *Conn, e endpoint.Endpoint) (err error) {
	if !c.learned {
		return nil
	}
	at, name := d.knownAs(e)
	c.known, err = d.KnownHosts.Add(ctx, at, name, pin.Of(c.stream.TLS.ConnectionState().PeerCertificates[0]))
	if err != nil {
		err = asPin(err)
		return &Error{Op: OpRemember, Endpoint: c.endpoint, Reason: reason.Of(err, "known-hosts"), Err: err}
	}
	return nil
}

func asPin(err error) error {
	if _, changed := errors.AsType[*KeyChangedError](err); changed {
		return &reason.Error{Reason: reason.Pin, Err: err}
	}
	return err
}

// KnownHost is the line of Dialer.KnownHosts by which the server was taken, and
// whether it is new. Without KnownHosts, and on plain connections, it is zero.
func (c *Conn) KnownHost() (h KnownHost, learned bool) { return c.known, c.learned }
