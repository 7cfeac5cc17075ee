package service

import (
	"context"
	"errors"
	"sync/atomic"

	"tcps/internal/reason"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// Targets are the places that a tunnel leads to, and how to get there.
type Targets struct {
	endpoints []string
	dialer    atomic.Pointer[tlsclient.Dialer]
}

// NewTargets makes Targets of at least one endpoint, whose scheme decides
// whether TLS is spoken to it.
func NewTargets(endpoints ...string) *Targets {
	t := &Targets{endpoints: endpoints}
	t.SetDialer(&tlsclient.Dialer{})
	return t
}

// SetDialer replaces what the targets are dialled with, in one step: whom it
// trusts, what it presents. Open connections go on.
func (t *Targets) SetDialer(d *tlsclient.Dialer) { t.dialer.Store(d) }

// dial connects to a target, and first of all sends it the preamble.
func (t *Targets) dial(ctx context.Context, preamble []byte) (*tlsclient.Conn, error) {
	d := *t.dialer.Load()
	d.Preamble = preamble
	c, err := d.Dial(ctx, t.endpoints[0])
	if err != nil {
		return nil, unreached(err)
	}
	return c, nil
}

// unreached says that an error is the target's, not the client's.
func unreached(err error) error {
	why := reason.Failed
	if failed, ok := errors.AsType[*tlsclient.Error](err); ok {
		why = failed.Reason
	}
	return tlsserver.WithReason(reason.Target(why), err)
}
