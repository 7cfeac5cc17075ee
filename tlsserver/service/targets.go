package service

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tcps/internal/endpoint"
	"tcps/internal/reason"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// Targets are the places that a tunnel leads to, and how to get there. A client
// whose target fails gets the next one, until each has been tried once. A target
// that cannot be reached, or whose handshake fails, is left out for a second, then
// for twice as long each time that it fails again, at most for a minute; each
// time one client tries whether it is back. The last target is never left out:
// when all are out they are tried all the same. Set the fields before the first
// connection, and do not change them afterwards.
type Targets struct {
	// Balance says which target the next connection goes to.
	Balance Balance

	// Check is how Run looks whether the targets are there.
	Check Check

	// CheckEvery is the time between two checks. 0 or less: 5 s.
	CheckEvery time.Duration

	// CheckPreamble is what checks send first: where targets expect a PROXY
	// header, LocalProxyHeader.
	CheckPreamble []byte

	// ResolveEvery is how long the addresses of a host count as current; after a
	// failed dial they are looked up anew at once. A host that no longer resolves
	// keeps its last addresses. 0: 30 s; negative: they are looked up at each
	// dial.
	ResolveEvery time.Duration

	// Observe, if set, hears of targets that fail and come back. It is called
	// concurrently, and must be quick.
	Observe func(TargetEvent)

	endpoints []string
	pool      *pool
	names     *cache
	dialers   atomic.Pointer[[]*tlsclient.Dialer] // one for each target
}

// A TargetEvent is one of TargetDialled, TargetFailed, TargetBack and
// TargetUnresolved; later versions may add others.
type TargetEvent interface{ targetEvent() }

// TargetDialled says how dialling a target for a connection went. Checks are not
// told, nor what was given up because the client was gone.
type TargetDialled struct {
	Endpoint string
	Err      error            // nil: it was reached
	Reason   tlsserver.Reason // of Err; empty without one
	Duration time.Duration    // its handshake included
}

// TargetFailed says that a target has failed that was good before. That it goes
// on failing is not told again.
type TargetFailed struct {
	Endpoint string
	Err      error
}

// TargetBack says that a target is good again after some time.
type TargetBack struct {
	Endpoint string
	After    time.Duration
}

// TargetUnresolved says that a host no longer resolves, and that its last
// addresses are used.
type TargetUnresolved struct {
	Host string
	Err  error
}

func (TargetDialled) targetEvent()    {}
func (TargetFailed) targetEvent()     {}
func (TargetBack) targetEvent()       {}
func (TargetUnresolved) targetEvent() {}

// NewTargets makes Targets of at least one endpoint, whose scheme decides
// whether TLS is spoken to it.
func NewTargets(endpoints ...string) *Targets {
	t := &Targets{endpoints: endpoints, pool: newPool(len(endpoints))}
	t.names = &cache{hosts: make(map[question]*answer), period: t.resolveEvery, kept: t.unresolved}
	t.SetDialer(&tlsclient.Dialer{})
	return t
}

// SetDialer replaces what the targets are dialled with, in one step: whom it
// trusts, what it presents. Open connections go on. Sessions are resumed per
// target, and never across two calls; the Sessions of d are not used. Its
// Resolver finds what is kept for ResolveEvery.
func (t *Targets) SetDialer(d *tlsclient.Dialer) {
	t.names.resolveWith(d.Resolver)
	var all []*tlsclient.Dialer
	for range t.endpoints {
		one := *d
		one.Resolver = t.names
		one.Sessions = tls.NewLRUClientSessionCache(0)
		all = append(all, &one)
	}
	t.dialers.Store(&all)
}

// startTLS is the protocol in which targets are asked for TLS; empty: none.
func (t *Targets) startTLS() string { return (*t.dialers.Load())[0].StartTLS }

// dial connects to a target, and first of all sends it the preamble; release is
// to be called when the connection has ended.
func (t *Targets) dial(ctx context.Context, preamble []byte) (c *tlsclient.Conn, release func(), err error) {
	dialers := *t.dialers.Load()
	var failed triedError
	for len(failed.members) < len(t.endpoints) {
		a, ok := t.pool.take(t.Balance, failed.members)
		if !ok {
			break
		}
		d := *dialers[a.member]
		d.Preamble = always(preamble)
		begun := time.Now()
		c, err := t.connect(ctx, &d, t.endpoints[a.member])
		switch {
		case err == nil:
			t.tell(TargetDialled{Endpoint: t.endpoints[a.member], Duration: time.Since(begun)})
			t.tellBack(a.member, t.pool.done(a))
			return c, sync.OnceFunc(func() { t.pool.release(a) }), nil
		case ctx.Err() != nil: // it is ours that has ended
			t.pool.abandoned(a)
			return nil, nil, context.Cause(ctx)
		case isShortage(err): // and so with every other target
			t.pool.abandoned(a)
			return nil, nil, tlsserver.WithReason(reason.Descriptors, err)
		}
		t.tell(TargetDialled{t.endpoints[a.member], err, whyDialling(err), time.Since(begun)})
		t.tellFailed(a.member, t.pool.failed(a), err)
		failed.members, failed.errs = append(failed.members, a.member), append(failed.errs, err)
	}
	return nil, nil, unreached(&failed)
}

// isShortage is whether we could not dial, whatever the target is like.
func isShortage(err error) bool {
	failed, ok := errors.AsType[*tlsclient.Error](err)
	return ok && failed.Reason == reason.Descriptors
}

// always is a preamble that does not depend on the connection.
func always(b []byte) func(local, remote net.Addr) ([]byte, error) {
	return func(net.Addr, net.Addr) ([]byte, error) { return b, nil }
}

// connect dials one target. Where the addresses that are known may be old, new
// ones get a chance.
func (t *Targets) connect(ctx context.Context, d *tlsclient.Dialer, target string) (*tlsclient.Conn, error) {
	c, err := d.Dial(ctx, target)
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok || ctx.Err() != nil {
		return c, err
	}
	host := hostOf(target)
	if host == "" || !t.names.renew(ctx, host) || failed.Timeout() {
		return nil, err
	}
	return d.Dial(ctx, target)
}

// hostOf is empty for a Unix socket.
func hostOf(target string) string {
	e, _ := endpoint.Parse(target) // Dial has told of a mistake
	return e.Host
}

func (t *Targets) resolveEvery() time.Duration {
	if t.ResolveEvery == 0 {
		return 30 * time.Second
	}
	return t.ResolveEvery
}

func (t *Targets) unresolved(host string, err error) { t.tell(TargetUnresolved{host, err}) }

func (t *Targets) tellFailed(member int, out bool, err error) {
	if out {
		t.tell(TargetFailed{t.endpoints[member], err})
	}
}

func (t *Targets) tellBack(member int, was time.Duration) {
	if was > 0 {
		t.tell(TargetBack{t.endpoints[member], was})
	}
}

func (t *Targets) tell(e TargetEvent) {
	if t.Observe != nil {
		t.Observe(e)
	}
}

// A triedError is why no target could be reached: what was tried, in order. It
// wraps nothing: a certificate in there would be taken for the client's.
type triedError struct {
	members []int
	errs    []error
}

// last is why the last one could not be reached.
func (e *triedError) last() error { return e.errs[len(e.errs)-1] }

func (e *triedError) Error() string {
	var all []string
	for _, err := range e.errs {
		all = append(all, err.Error())
	}
	return strings.Join(all, "; ")
}

// whyTarget is the reason of an error that is the target's, not the client's.
func whyTarget(err error) tlsserver.Reason { return reason.Target(whyDialling(err)) }

// whyDialling is the reason of an error of dialling.
func whyDialling(err error) tlsserver.Reason {
	if failed, ok := errors.AsType[*tlsclient.Error](err); ok {
		return failed.Reason
	}
	return reason.Failed
}

// unreached says that an error is the targets', not the client's. The reason is
// that of the last one tried.
func unreached(tried *triedError) error {
	return tlsserver.WithReason(whyTarget(tried.last()), tried)
}
