package tlsclient

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/internal/reason"
	"tcps/internal/wire"
)

// A Dialer connects to servers. Its zero value is safe: it verifies servers
// against the system's roots, speaks TLS 1.2 and 1.3, and gives up after ten
// seconds. Its fields say, in this order, whom it trusts, who it is, what it
// negotiates, the way to the server, and the times. Its methods may be called
// concurrently; do not change its fields while they run.
type Dialer struct {
	// RootCAs are the authorities that may vouch for servers. Nil: those of
	// the system.
	RootCAs *x509.CertPool

	// ServerName is the name that the server's certificate must have. Empty: the
	// host of the endpoint. It is required for TLS on Unix sockets, unless names
	// do not count: with Insecure, KnownHosts, and Pins without RootCAs.
	ServerName string

	// Pins are the SHA-256 digests of public keys (SubjectPublicKeyInfo), one of
	// which the server's certificate must have, in full and in resumed
	// handshakes. Without RootCAs exactly these keys are taken, whoever signed
	// the certificate, whatever its name and dates; with RootCAs both must hold.
	// Empty: any key.
	Pins [][sha256.Size]byte

	// KnownHosts takes the place of authorities: trust on first use. A server's
	// key is taken whoever signed the certificate, whatever its name and dates, if
	// it is the one of that endpoint and ServerName in the file, or if there is
	// none yet; then it is kept, before Dial returns. Another key is refused with
	// a *KeyChangedError. Conn.KnownHost says which it was. Dial refuses it
	// together with RootCAs, Pins, Insecure, Revocation and RequireOCSPStaple, and
	// fails if the file cannot be read or written. Nil: authorities decide.
	KnownHosts *KnownHosts

	// Revocation knows which certificates of those that RootCAs vouch for were
	// taken back; sessions are judged anew when they are resumed. Nil: nothing
	// is known to be.
	Revocation *certs.Revocation

	// RequireOCSPStaple refuses servers that do not send along what their
	// authority says of their certificate now (RFC 6066, 8).
	RequireOCSPStaple bool

	// Insecure takes any certificate, of anybody; Conn.Untrusted says why it would
	// have been refused. Dial refuses it together with Pins, and with Revocation
	// and RequireOCSPStaple: these judge a chain to an authority, and none is
	// asked (so neither do they go with Pins without RootCAs).
	Insecure bool

	// Source has the certificates that servers may ask for. Nil: none.
	Source certs.ClientSource

	// SNI is the name that is sent to the server (RFC 6066, 3), which may choose
	// its certificate by it; what the certificate must have stays ServerName.
	// Empty: ServerName, unless that is an address. NoSNI: none is sent.
	SNI string

	// MinVersion and MaxVersion are TLS versions. 0: TLS 1.2 and TLS 1.3; Dial
	// refuses others than these two.
	MinVersion, MaxVersion uint16

	// NextProtos are the application protocols to offer (RFC 7301), preferred
	// first. Empty: none is offered.
	NextProtos []string

	// RequireALPN refuses a server that chooses none of NextProtos, which must be
	// set then. False: it is taken all the same, and
	// Conn.TLS().NegotiatedProtocol is empty.
	RequireALPN bool

	// CurvePreferences are the key exchange groups to offer. Their order is that
	// of crypto/tls, hybrids first, whatever it is here. Empty: all.
	CurvePreferences []tls.CurveID

	// Sessions keeps sessions for resumption; a SessionFile does so on disk. Nil:
	// none are resumed.
	Sessions tls.ClientSessionCache

	// KeyLogWriter gets the secrets of each session, in the format of
	// SSLKEYLOGFILE: who has them can read what was recorded of the connection.
	// Nil: nobody does.
	KeyLogWriter io.Writer

	// StartTLS is the protocol in which the server is asked for TLS, in plain:
	// postgres, mysql, smtp, lmtp, imap, pop3, ftp (AUTH TLS, for the control
	// connection), nntp, sieve, ldap, xmpp, xmpp-server or irc. The two of xmpp
	// name the server as its certificate does. Dial refuses others, and plain
	// endpoints. Empty: TLS from the first byte.
	StartTLS string

	// Via is the proxy that leads to servers: socks5://HOST:PORT (RFC 1928, also
	// written socks5h) or http://HOST:PORT (CONNECT: RFC 9110, 9.3.6). Its User
	// is who we are there, told in plain (RFC 1929, RFC 7617). The proxy resolves
	// the names of servers: Network, LocalAddr and Resolver mean the way to it.
	// Unix sockets are refused. ParseVia reads one. Nil: none.
	Via *url.URL

	// Network restricts TCP to tcp4 or tcp6; others are refused by Dial. Empty
	// or tcp: both are raced against each other (RFC 8305).
	Network string

	// LocalAddr is the address to connect from; the zero value: any.
	LocalAddr netip.Addr

	// Preamble returns what is sent to the server before anything else, TLS
	// included: a PROXY header, for instance. The addresses are those of our
	// socket, once it is connected; with Via the remote one is the proxy's. It
	// is called concurrently. An error of it ends dialling. Nil: nothing is.
	Preamble func(local, remote net.Addr) ([]byte, error)

	// Resolver finds the addresses of a host; all are tried (RFC 8305). Nil: the
	// system does both.
	Resolver Resolver

	// Timeout bounds all that Dial does: Via, connecting, Preamble, StartTLS and
	// the handshake together. 0: 10 s; negative: none.
	Timeout time.Duration

	// LingerTimeout bounds the wait for the server's end in Conn.Close, which
	// keeps a reset from destroying bytes that the server has not read yet.
	// 0: 5 s; negative: no wait.
	LingerTimeout time.Duration
}

func (d *Dialer) timeout() time.Duration { return orDefault(d.Timeout, 10*time.Second) }
func (d *Dialer) linger() time.Duration  { return orDefault(d.LingerTimeout, 5*time.Second) }

// orDefault reads a timeout field: 0 is the default, negative is 0: none.
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

// Dial connects to an endpoint (tcps://host:port, tcp://host:port,
// unixs:///path, unix:///path; the scheme decides whether TLS is spoken), and
// shakes hands. An error is an *Error.
func (d *Dialer) Dial(ctx context.Context, s string) (*Conn, error) {
	e, err := endpoint.Parse(s)
	if err != nil {
		return nil, &Error{Op: OpDial, Endpoint: s, Reason: reason.Failed, Err: err}
	}
	return d.dial(ctx, e)
}

// DialContext dials TLS, with the signature that http.Transport.DialTLSContext
// and others want. The network is tcp, tcp4, tcp6 or unix.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	e := endpoint.Endpoint{Scheme: endpoint.TCPS}
	var err error
	switch network {
	case "unix":
		e.Scheme, e.Path = endpoint.UnixS, addr
	case "tcp", "tcp4", "tcp6":
		e.Host, e.Port, err = net.SplitHostPort(addr)
	default:
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, &Error{Op: OpDial, Endpoint: addr, Reason: reason.Failed, Err: err}
	}
	if network != "tcp" && network != "unix" {
		restricted := *d
		restricted.Network = network
		d = &restricted
	}
	return d.dial(ctx, e)
}

// DialBare connects to a TLS endpoint as Dial does, as far as where TLS begins:
// behind the Preamble and the words of StartTLS. What it returns is not encrypted:
// it is for those who shake hands by themselves. What comes in plain where TLS has
// to begin after StartTLS is an error of its methods. HandshakeError makes an
// *Error of those; that of DialBare is one.
func (d *Dialer) DialBare(ctx context.Context, s string) (net.Conn, error) {
	e, err := endpoint.Parse(s)
	if err != nil {
		return nil, &Error{Op: OpDial, Endpoint: s, Reason: reason.Failed, Err: err}
	}
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.reach(ctx, e)
	if err != nil {
		return nil, err
	}
	c.stream.Raw.SetLinger(d.linger())
	return d.transport(c), nil
}

func (d *Dialer) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if timeout := d.timeout(); timeout > 0 {
		return context.WithTimeout(ctx, timeout)
	}
	return context.WithCancel(ctx)
}

func (d *Dialer) dial(ctx context.Context, e endpoint.Endpoint) (*Conn, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.reach(ctx, e)
	if err != nil {
		return nil, err
	}
	if e.TLS() {
		watch := stopwatch{last: time.Now()}
		err := d.handshake(ctx, c, e)
		if err == nil {
			err = d.learn(ctx, c, e)
		}
		if err != nil {
			c.stream.Raw.Close()
			return nil, err
		}
		watch.lap(&c.timing.Handshake)
	}
	c.stream.Raw.SetLinger(d.linger()) // only now: the end of ctx must end a handshake at once
	return c, nil
}

// reach connects, and says what is to be said before TLS.
func (d *Dialer) reach(ctx context.Context, e endpoint.Endpoint) (*Conn, error) {
	if err := d.check(e); err != nil {
		return nil, &Error{Op: OpDial, Endpoint: e.String(), Reason: reason.Failed, Err: err}
	}
	watch := stopwatch{last: time.Now()}
	nc, err := d.connect(ctx, e)
	if err != nil {
		return nil, notConnected(e, err)
	}
	raw := wire.NewConn(nc)
	c := &Conn{stream: wire.Stream{Raw: raw}, endpoint: e.String()}
	watch.lap(&c.timing.Connect)
	if d.Via != nil {
		c.via = viaName(d.Via)
	}
	if err := d.sendPreamble(ctx, raw); err != nil {
		raw.Close()
		return nil, &Error{Op: opWrite, Endpoint: e.String(), Reason: reason.Of(err, "connect"), Err: bare(err)}
	}
	if err := d.startTLS(ctx, c, e); err != nil {
		raw.Close()
		return nil, err
	}
	if d.StartTLS != "" {
		watch.lap(&c.timing.StartTLS)
	}
	return c, nil
}

// notConnected is what went wrong before there was a connection to the server. A
// proxy that refuses who we are has been reached, and is a peer.
func notConnected(e endpoint.Endpoint, err error) *Error {
	why := reason.Of(err, "connect")
	return &Error{Op: opConnect, Endpoint: e.String(), Reason: why, NotReached: why != ReasonProxyAuthentication, Err: err}
}

// check refuses a way to the server that cannot be, and known hosts that cannot be
// read, before anybody is dialled. checkTrust and checkOffer follow where TLS begins.
func (d *Dialer) check(e endpoint.Endpoint) error {
	if err := d.checkStartTLS(e); err != nil {
		return err
	}
	if err := d.checkVia(e); err != nil {
		return err
	}
	return d.checkKnownHosts(e)
}

// sendPreamble waits no longer than ctx for a peer that takes nothing.
func (d *Dialer) sendPreamble(ctx context.Context, raw *wire.Conn) error {
	if d.Preamble == nil {
		return nil
	}
	b, err := d.Preamble(raw.LocalAddr(), raw.RemoteAddr())
	if err != nil || len(b) == 0 {
		return err
	}
	stop := context.AfterFunc(ctx, raw.Abort)
	_, err = raw.Write(b)
	if !stop() {
		return ctx.Err()
	}
	return err
}

func (d *Dialer) connect(ctx context.Context, e endpoint.Endpoint) (net.Conn, error) {
	if d.Via != nil {
		return d.connectVia(ctx, e)
	}
	return d.connectTo(ctx, e)
}

func (d *Dialer) connectTo(ctx context.Context, e endpoint.Endpoint) (net.Conn, error) {
	network := e.Network()
	switch d.Network {
	case "", "tcp":
	case "tcp4", "tcp6":
		if network == "tcp" {
			network = d.Network
		}
	default:
		return nil, net.UnknownNetworkError(d.Network)
	}
	dialer := net.Dialer{}
	if d.LocalAddr.IsValid() && network != "unix" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.LocalAddr, 0))
	}
	dial := dialer.DialContext
	if d.Resolver != nil && network != "unix" && !isAddress(e.Host) {
		dial = d.dialResolved(&dialer)
	}
	nc, err := dial(ctx, network, e.Address())
	if err != nil {
		return nil, bare(err)
	}
	return nc, nil
}

func (d *Dialer) handshake(ctx context.Context, c *Conn, e endpoint.Endpoint) error {
	fail := func(err error) error {
		return &Error{Op: opOf(err), Endpoint: e.String(), Reason: whyNoHandshake(err), Err: bare(err)}
	}
	config, err := d.config(c, e)
	if err != nil {
		return fail(err)
	}
	c.stream.TLS = tls.Client(d.transport(c), config)
	if err := c.stream.TLS.HandshakeContext(ctx); err != nil {
		if isOurs(err) {
			c.stream.Raw.SetLinger(alertLinger)
		}
		if c.stream.TLS.ConnectionState().Version == 0 { // there was no ServerHello
			err = reason.BeforeHello(refusedHello(err))
		}
		return fail(err)
	}
	return nil
}

// alertLinger is how long a server may take to read why we refuse it: its log
// has our alert then, and not a reset.
const alertLinger = 250 * time.Millisecond

// nameOf is whom we want to talk to.
func (d *Dialer) nameOf(e endpoint.Endpoint) string {
	name, _, _ := strings.Cut(e.Host, "%") // the zone of an address is this machine's affair
	return cmp.Or(d.ServerName, name)
}

// checkTrust refuses trust that contradicts itself. It is asked where TLS begins:
// DialBare has no use for the answer.
func (d *Dialer) checkTrust(name string) error {
	switch {
	case name == "" && !d.Insecure && !d.pinsAlone() && d.KnownHosts == nil:
		return errors.New("no name to verify the server's certificate by: set ServerName")
	case d.Insecure && len(d.Pins) > 0:
		return errors.New("both Pins and Insecure are set: Pins say which keys are taken, and Insecure takes any")
	case (d.Insecure || d.pinsAlone()) && (d.Revocation != nil || d.RequireOCSPStaple):
		return errors.New("neither Revocation nor RequireOCSPStaple can judge what Insecure or Pins alone take: no chain is verified")
	}
	return nil
}

// config is the crypto/tls side of the Dialer for one connection.
func (d *Dialer) config(c *Conn, e endpoint.Endpoint) (*tls.Config, error) {
	name := d.nameOf(e)
	if err := d.checkTrust(name); err != nil {
		return nil, err
	}
	if err := d.checkOffer(); err != nil {
		return nil, err
	}
	config := &tls.Config{
		RootCAs:            d.RootCAs,
		ServerName:         d.sni(name),
		MinVersion:         max(d.MinVersion, tls.VersionTLS12),
		MaxVersion:         d.MaxVersion,
		NextProtos:         d.NextProtos,
		CurvePreferences:   d.CurvePreferences,
		KeyLogWriter:       d.KeyLogWriter,
		ClientSessionCache: d.sessions(c, e, name),
	}
	if d.Source != nil {
		config.GetClientCertificate = d.Source.ClientCertificate
	}
	// Where crypto/tls does not verify, or not the name that counts, judge does.
	config.InsecureSkipVerify = d.Insecure || d.pinsAlone() || d.KnownHosts != nil || config.ServerName != name
	config.VerifyConnection = func(cs tls.ConnectionState) error { return d.judge(c, e, cs, name) }
	return config, nil
}
