package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// A gate stands before an issuer, and is the only place that decides when a name may be tried again: whoever asks
// earlier (certmagic's maintenance, a handshake, the loop) does not reach the issuer. So it is never hammered.
type gate struct {
	log   *slog.Logger
	quiet bool // what an issuer of our own does at once is not worth a line

	starts *starts // nil: restarts are not counted

	mu    sync.Mutex
	tries map[string]*try // of names that may have to wait; guarded by mu, as all below
	timer *time.Timer     // of the next attempt that is due
}

// A try is what is known of the attempts for a name.
type try struct {
	failures int
	err      error     // of the last one; nil: it succeeded
	next     time.Time // before which there is none
}

// backOff is the time from one failure to the next attempt, by the number of failures; the last one repeats. An ACME
// authority counts failed validations by the hour (Let's Encrypt: 5 for an account and name).
var backOff = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour,
}

// errNotYet is what the gate answers to who comes before the time.
var errNotYet = errors.New("an attempt failed a short while ago, and it is not yet time for another")

func newGate(log *slog.Logger, quiet bool) *gate {
	g := &gate{log: log, quiet: quiet, tries: make(map[string]*try), timer: time.NewTimer(0)}
	g.timer.Stop()
	return g
}

// wrap puts the gate before an issuer.
func (g *gate) wrap(inner certmagic.Issuer) certmagic.Issuer {
	gated := gatedIssuer{gate: g, inner: inner}
	if info, ok := inner.(certmagic.RenewalInfoGetter); ok {
		return gatedACME{gated, info}
	}
	return gated
}

type gatedIssuer struct {
	gate  *gate
	inner certmagic.Issuer
}

// gatedACME passes on what certmagic looks for in an issuer of its own kind.
type gatedACME struct {
	gatedIssuer
	certmagic.RenewalInfoGetter
}

func (i gatedIssuer) IssuerKey() string { return i.inner.IssuerKey() }

// shortestAsking is how long at least an authority is not asked again when to renew a certificate.
const shortestAsking = 10 * time.Minute

// GetRenewalInfo asks the authority when to renew (RFC 9773). certmagic does so at every look once that is due, be it that
// the authority does not answer.
func (i gatedACME) GetRenewalInfo(ctx context.Context, c certmagic.Certificate) (acme.RenewalInfo, error) {
	about := "when to renew " + c.Names[0] // no name has spaces
	if !i.gate.ready(about) {
		return acme.RenewalInfo{}, errNotYet
	}
	info, err := i.RenewalInfoGetter.GetRenewalInfo(ctx, c)
	if err == nil {
		i.gate.wait(about, shortestAsking)
	} else if t := i.gate.note(ctx, about, err); t != nil {
		i.gate.log.Warn("the authority did not say when to renew", "name", c.Names[0], "err", t.err, "next", t.next.UTC().Format(time.RFC3339))
	}
	return info, err
}

// PreCheck lets an issuer refuse names that it never signs for. Nobody is asked at a terminal, whatever certmagic says.
func (i gatedIssuer) PreCheck(ctx context.Context, names []string, _ bool) error {
	checker, ok := i.inner.(certmagic.PreChecker)
	if !ok {
		return nil
	}
	if err := checker.PreCheck(ctx, names, false); err != nil {
		for _, name := range names {
			err = i.gate.fail(ctx, name, err)
		}
		return certmagic.ErrNoRetry{Err: err}
	}
	return nil
}

// Issue makes one attempt, if it is time for one. certmagic must not try again by itself: ErrNoRetry.
func (i gatedIssuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	name := firstNameIn(csr)
	failures, ok := i.gate.enter(name)
	if !ok {
		return nil, certmagic.ErrNoRetry{Err: errNotYet}
	}
	if err := i.gate.start(ctx, name); err != nil {
		return nil, certmagic.ErrNoRetry{Err: err}
	}
	i.gate.log.Log(ctx, i.gate.level(), "obtaining a certificate", "name", name, "issuer", i.inner.IssuerKey(), "attempt", failures+1)
	ctx = context.WithValue(ctx, certmagic.AttemptsCtxKey, &failures) // after the first, ACME asks the staging authority first
	issued, err := i.inner.Issue(ctx, csr)
	if err != nil {
		return nil, certmagic.ErrNoRetry{Err: i.gate.fail(ctx, name, err)}
	}
	i.gate.starts.succeed(ctx, name)
	i.gate.rest(name, issued.Certificate)
	return issued, nil
}

// enter reports whether an attempt may be made now, and how many failed before.
func (g *gate) enter(name string) (failures int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.tries[name]
	if t == nil {
		return 0, true
	}
	return t.failures, !time.Now().Before(t.next)
}

// A noted error is one that the gate knows of already.
type noted struct{ error }

func (n noted) Unwrap() error { return n.error }

func (g *gate) level() slog.Level {
	if g.quiet {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// done notes how an attempt ended that did not fail at the issuer: at the storage, for instance.
func (g *gate) done(ctx context.Context, name string, err error) {
	if err == nil {
		g.clear(name)
		return
	}
	if _, ok := errors.AsType[noted](err); !ok && !errors.Is(err, errNotYet) {
		g.fail(ctx, name, err)
	}
}

// clear forgets failures.
func (g *gate) clear(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.tries[name]; t != nil && (t.err != nil || !time.Now().Before(t.next)) {
		delete(g.tries, name)
	}
}

// longestRest is how long at most a name has to wait after a success.
const longestRest = time.Hour

// rest keeps a name from being renewed before half of the time that its certificate has left: where our clock is wrong,
// or an authority asks for a renewal at once, each new certificate is due already.
func (g *gate) rest(name string, chain []byte) {
	rest := longestRest
	if found, err := parsePEM(name, chain); err == nil && len(found.certificates) > 0 {
		if half := time.Until(found.certificates[0].NotAfter) / 2; half > 0 {
			rest = min(rest, half)
		}
	}
	g.wait(name, rest)
}

// wait sets the time of the next attempt after a success.
func (g *gate) wait(name string, rest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries[name] = &try{next: time.Now().Add(rest)}
	g.schedule()
}

// fail notes a failure to obtain a certificate, and says so.
func (g *gate) fail(ctx context.Context, name string, err error) error {
	if t := g.note(ctx, name, err); t != nil {
		g.log.Error("no certificate was obtained", "name", name, "err", t.err, "next", t.next.UTC().Format(time.RFC3339))
	}
	return noted{err}
}

// note sets the time of the next attempt after a failure. That we end is none: nil.
func (g *gate) note(ctx context.Context, name string, err error) *try {
	if ctx.Err() != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	t := try{failures: 1}
	if before := g.tries[name]; before != nil {
		t.failures += before.failures
	}
	t.err, t.next = inWordsOf(err), time.Now().Add(backOff[min(t.failures, len(backOff))-1])
	g.tries[name] = &t
	g.schedule()
	return &t
}

// forget drops the tries of names that nobody asks for any more. The caller holds mu.
func (g *gate) forget() {
	longest := backOff[len(backOff)-1]
	maps.DeleteFunc(g.tries, func(_ string, t *try) bool { return time.Since(t.next) > longest })
}

// schedule sets the timer to the earliest attempt that is to come. The caller holds mu.
func (g *gate) schedule() {
	var first time.Time
	for _, t := range g.tries {
		if first.IsZero() || t.next.Before(first) {
			first = t.next
		}
	}
	g.timer.Reset(time.Until(first))
}

// due is ready when the next attempt is.
func (g *gate) due() <-chan time.Time { return g.timer.C }

func (g *gate) ready(name string) bool {
	_, ok := g.enter(name)
	return ok
}

// held reports whether a name had to wait, after a failure or after a success: certmagic's maintenance may have come in
// that time, was refused, and takes that for a failure of its own, so the attempt is left to the loop.
func (g *gate) held(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tries[name] != nil
}

// state is what a client that is refused may be told of a name.
func (g *gate) state(name string) (next time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.tries[name]
	switch {
	case t == nil:
		return time.Time{}, nil
	case time.Now().After(t.next):
		return time.Time{}, t.err
	}
	return t.next, t.err
}
