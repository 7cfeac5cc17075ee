package tlsclient

import (
	"context"
	"errors"
	"net"

	"tcps/internal/endpoint"
	"tcps/internal/starttls"
	"tcps/internal/wire"
)

func (d *Dialer) checkStartTLS(e endpoint.Endpoint) error {
	if d.StartTLS != "" && !e.TLS() {
		return errors.New("StartTLS leads to TLS, and the endpoint is plain")
	}
	return starttls.CheckClient(d.StartTLS)
}

// startTLS asks the server for TLS in its own protocol.
func (d *Dialer) startTLS(ctx context.Context, c *Conn, e endpoint.Endpoint) error {
	if d.StartTLS == "" {
		return nil
	}
	stop := context.AfterFunc(ctx, c.Abort)
	dialogue := starttls.Client{Protocol: d.StartTLS, Local: c.LocalAddr(), ServerName: d.nameOf(e), Login: starttls.LoginOf(ctx)}
	greeting, err := dialogue.Request(c.stream.Raw)
	if !stop() { // it was ended, whatever it says
		err = context.Cause(ctx)
	}
	if err != nil {
		return &Error{Op: OpStartTLS, Endpoint: c.endpoint, Reason: whyNoStartTLS(err), Err: bare(err)}
	}
	c.startTLS, c.greeting = d.StartTLS, greeting
	return nil
}

// transport is what TLS goes over.
func (d *Dialer) transport(c *Conn) net.Conn {
	if d.StartTLS == "" {
		return c.stream.Raw
	}
	return &upgraded{Conn: c.stream.Raw, injected: (&starttls.Client{Protocol: d.StartTLS}).Injected}
}

// opOf is what was being done when a handshake went wrong.
func opOf(err error) string {
	if _, ok := errors.AsType[*starttls.Injection](err); ok {
		return OpStartTLS
	}
	return opHandshake
}

// An upgraded connection began in plain. What comes before our ClientHello
// goes out is no TLS, even if it looks like it: crypto/tls would pass over some
// of it, such as a warning. What comes later must be TLS from its first byte.
type upgraded struct {
	*wire.Conn
	injected func([]byte) error

	asked    bool // the ClientHello is on its way; TLS writes one at a time
	answered bool // likewise for reading
}

func (u *upgraded) Write(b []byte) (int, error) {
	if !u.asked {
		u.asked = true
		if u.Conn.Waiting() {
			early := make([]byte, 256)
			n, _ := u.Conn.Read(early)
			return 0, u.injected(early[:n])
		}
	}
	return u.Conn.Write(b)
}

func (u *upgraded) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if !u.answered && n > 0 {
		u.answered = true
		if !beginsTLS(b[:n]) {
			return 0, u.injected(b[:n])
		}
	}
	return n, err
}

// beginsTLS: a server's first record is a handshake's or an alert, of a version
// that begins with 3 (RFC 8446, 5.1).
func beginsTLS(b []byte) bool {
	const alert, handshake = 21, 22
	return (b[0] == alert || b[0] == handshake) && (len(b) < 2 || b[1] == 3)
}

// StartTLS is the protocol in which the server was asked for TLS; empty: none.
func (c *Conn) StartTLS() string { return c.startTLS }

// Greeting is what the server said first, in plain, before it was asked for TLS:
// the lines of smtp, lmtp, imap (without its capabilities, which hold no longer),
// pop3, ftp, nntp and sieve, mysql's packet without its header; nil in other
// protocols.
func (c *Conn) Greeting() []byte { return c.greeting }
