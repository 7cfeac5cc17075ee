package tlsclient

import (
	"context"
	"errors"

	"tcps/internal/endpoint"
	"tcps/internal/starttls"
)

func (d *Dialer) checkStartTLS(e endpoint.Endpoint) error {
	if d.StartTLS != "" && !e.TLS() {
		return errors.New("StartTLS leads to TLS, and the endpoint is plain")
	}
	return starttls.Check(d.StartTLS)
}

// startTLS asks the server for TLS in its own protocol.
func (d *Dialer) startTLS(ctx context.Context, c *Conn) error {
	if d.StartTLS == "" {
		return nil
	}
	stop := context.AfterFunc(ctx, c.Abort)
	dialogue := starttls.Client{Protocol: d.StartTLS, Local: c.LocalAddr(), Login: starttls.LoginOf(ctx)}
	greeting, err := dialogue.Request(c.stream.Raw)
	if !stop() { // it was ended, whatever it says
		err = context.Cause(ctx)
	}
	if err != nil {
		return &Error{Op: "ask for TLS at", Endpoint: c.endpoint, Reason: whyNoHandshake(err), Err: bare(err)}
	}
	c.startTLS, c.greeting = d.StartTLS, greeting
	return nil
}

// StartTLS is the protocol in which the server was asked for TLS; empty: none.
func (c *Conn) StartTLS() string { return c.startTLS }

// Greeting is what the server said first, in plain, before it was asked for TLS:
// the lines of smtp, imap (without its capabilities, which hold no longer) and
// pop3, mysql's packet without its header; nil in other protocols.
func (c *Conn) Greeting() []byte { return c.greeting }
