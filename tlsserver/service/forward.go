package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"tcps/tlsclient"
	"tcps/tlsserver"
)

// A Forward is the Handler of a tunnel: each connection goes on to a target,
// which is dialled once the client's handshake is done. A client whose target
// cannot be reached is told by a clean close; the reason is target:WHY then. A
// target is named in the connection's Attrs. Set the fields before the first
// connection, and do not change them afterwards.
type Forward struct {
	// Targets are where connections go to that no route is for. Nil: those are
	// closed, for the reason sni or alpn.
	Targets *Targets

	// Routes lead some connections elsewhere.
	Routes Routes

	// ProxyOut is the version of the PROXY header, 1 or 2, that tells the target
	// who its client is: before anything else, TLS included. 0: there is none.
	ProxyOut byte
}

// ServeConn dials a target and carries bytes both ways until both sides have
// ended.
func (f *Forward) ServeConn(ctx context.Context, c *tlsserver.Conn) error {
	targets := cmp.Or(f.Routes.find(c), f.Targets)
	if targets == nil {
		return f.Routes.refusal(c)
	}
	m, err := meet(c, targets.startTLS())
	if err != nil {
		return err
	}
	target, release, err := f.dial(m.context(ctx), c, targets)
	if err != nil {
		m.refused(err)
		return err
	}
	defer release()
	c.Annotate(slog.String("target", target.Endpoint()))
	defer context.AfterFunc(ctx, target.Abort)()
	client, to, err := m.introduce(target)
	if err != nil {
		target.Close()
		return err
	}
	return relay(client, to)
}

// dial connects to one of the targets; release is to be called when the
// connection has ended.
func (f *Forward) dial(ctx context.Context, c *tlsserver.Conn, targets *Targets) (target *tlsclient.Conn, release func(), err error) {
	var preamble []byte
	if f.ProxyOut != 0 {
		if preamble, err = proxyHeader(f.ProxyOut, c); err != nil {
			return nil, nil, fmt.Errorf("make PROXY header: %w", err)
		}
	}
	return targets.dial(ctx, preamble)
}
