package service

import (
	"context"
	"log/slog"

	"tcps/tlsserver"
)

// A Forward is the Handler of a tunnel: each connection goes on to a target,
// which is dialled once the client's handshake is done. A client whose target
// cannot be reached is told by a clean close; the reason is target:WHY then. A
// target is named in the connection's Attrs. Set the fields before the first
// connection, and do not change them afterwards.
type Forward struct {
	// Targets are where connections go to. It is required.
	Targets *Targets
}

// ServeConn dials a target and carries bytes both ways until both sides have
// ended.
func (f *Forward) ServeConn(ctx context.Context, c *tlsserver.Conn) error {
	m, err := meet(c, f.Targets.startTLS())
	if err != nil {
		return err
	}
	target, release, err := f.Targets.dial(m.context(ctx))
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
