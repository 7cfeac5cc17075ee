// Package probe finds out what a TLS server accepts. It writes ClientHellos of
// its own for what crypto/tls cannot offer, old versions, single suites, groups,
// reads no further than the answer to them, and never completes such a
// handshake; and it shakes hands with crypto/tls, believing whatever certificate
// it is shown, for what only a whole handshake tells. Everything that a server
// says is bounded.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// A Prober asks one server. Its methods may be called concurrently; do not
// change its fields while they run.
type Prober struct {
	// Dial connects to where TLS begins.
	Dial func(context.Context) (net.Conn, error)

	// ServerName is sent to the server, unless it is an address. Empty: none is.
	ServerName string

	// NextProtos are offered with each hello: for servers that insist on one.
	// Empty: none are.
	NextProtos []string

	// Timeout bounds each connection; 0: none.
	Timeout time.Duration

	// MaxConns is how many connections may be open at once; 0: 4.
	MaxConns int

	mu       sync.Mutex
	slots    chan struct{} // made with the first connection; guarded by mu
	count    int           // of connections; guarded by mu
	baseline *hello        // was answered as it should be; guarded by mu
}

// Connections is how many were made.
func (p *Prober) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// open waits for its turn and connects. The caller calls done, which ends the
// connection too, if there is one.
func (p *Prober) open(ctx context.Context) (conn net.Conn, limited context.Context, done func(), err error) {
	slots := p.turns()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if p.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, p.Timeout)
	}
	conn, err = p.Dial(limited)
	if err != nil {
		cancel()
		<-slots
		return nil, nil, nil, err
	}
	p.mu.Lock()
	p.count++
	p.mu.Unlock()
	stop := context.AfterFunc(limited, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, limited, func() {
		stop()
		conn.Close()
		cancel()
		<-slots
	}, nil
}

func (p *Prober) turns() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots == nil {
		n := p.MaxConns
		if n <= 0 {
			n = 4
		}
		p.slots = make(chan struct{}, n)
	}
	return p.slots
}

// ask sends a hello and reads the answer.
func (p *Prober) ask(ctx context.Context, h *hello) (*answer, error) {
	message, err := h.bytes()
	if err != nil {
		return nil, err
	}
	conn, limited, done, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	a := (*answer)(nil)
	if _, err = conn.Write(message); err == nil {
		a, err = readAnswer(conn)
	}
	if err != nil && limited.Err() != nil {
		err = limited.Err()
	}
	if err != nil {
		return nil, err
	}
	return a, h.check(a)
}

// check wants an answer to be one to the hello.
func (h *hello) check(a *answer) error {
	switch {
	case a.refused || a.version != h.version:
		return nil
	case !slices.Contains(h.suites, a.suite):
		return malformed("the suite %s, which was not offered", suiteName(a.suite))
	case a.group != 0 && !slices.Contains(h.groups, a.group):
		return malformed("the group %s, which was not offered", groupName(a.group))
	}
	return nil
}

// A Refusal is a server that does not take what it is offered. Within another
// error it is about something else: the name, or the application protocols.
type Refusal struct {
	Alert   string // as IANA names it; empty: there was none
	Version uint16 // that it would speak instead; 0: it does not say
}

func (r *Refusal) Error() string {
	switch {
	case r.Version != 0:
		return "it would speak " + VersionName(r.Version) + " instead"
	case r.Alert == "":
		return "it closes the connection"
	}
	return "it refuses with the alert " + r.Alert
}

// negotiate asks, and tells a server that refuses from one that is gone, or has
// had enough of us: of both it may only be seen that they close the connection.
// So a hello that was answered before is sent once more.
func (p *Prober) negotiate(ctx context.Context, h *hello) (*answer, error) {
	a, err := p.ask(ctx, h)
	p.mu.Lock()
	baseline := p.baseline
	if err == nil && !a.refused && a.version == h.version {
		p.baseline = h
	}
	p.mu.Unlock()
	switch {
	case err == nil && a.refused:
		return nil, h.refusal(a.alert)
	case err == nil && a.version != h.version:
		return nil, &Refusal{Version: a.version}
	case err == nil:
		return a, nil
	case !closesWithoutAWord(err):
		return nil, err
	}
	if baseline != nil {
		if again, err := p.ask(ctx, baseline); err != nil || again.refused {
			return nil, &reason.Error{Reason: reason.Failed, Err: errors.New("the server closes connections that it took before: it may limit how many, or be gone")}
		}
	}
	return nil, &Refusal{}
}

// refusal tells alerts about what was offered from those about something else:
// which SSL 3.0 has no way to say.
func (h *hello) refusal(alert uint8) error {
	r := &Refusal{Alert: reason.AlertName(alert)}
	switch {
	case alert == 112 && h.version > ssl30:
		return &reason.Error{Reason: reason.SNI, Err: r}
	case alert == 120 && h.version > ssl30:
		return &reason.Error{Reason: reason.ALPN, Err: r}
	}
	return r
}

func closesWithoutAWord(err error) bool {
	return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || wire.IsReset(err)
}

// A Version is what a server says to one version of TLS.
type Version struct {
	Number              uint16
	SecureRenegotiation bool // RFC 5746; up to TLS 1.2
	ExtendedMaster      bool // extended master secret, RFC 7627; up to TLS 1.2

	first uint16 // the suite that it chose
}

// Version asks for one version, with every suite and group. A *Refusal is a
// server that does not speak it; after another error that is not known.
func (p *Prober) Version(ctx context.Context, number uint16) (*Version, error) {
	a, err := p.negotiate(ctx, p.hello(number, SuitesOf(number), groups))
	if err != nil {
		return nil, err
	}
	return &Version{number, a.secureRenegotiation, a.extendedMaster, a.suite}, nil
}

// Suites finds all suites that the server accepts in a version, in the order in
// which it chooses them. With an error they are those that were found before.
func (p *Prober) Suites(ctx context.Context, v *Version) ([]Suite, error) {
	left, found := SuitesOf(v.Number), []Suite(nil)
	for chosen := v.first; ; {
		i := slices.IndexFunc(left, func(s Suite) bool { return s.ID == chosen })
		found = append(found, left[i])
		left = slices.Delete(slices.Clone(left), i, i+1)
		if len(left) == 0 {
			return found, nil
		}
		a, err := p.negotiate(ctx, p.hello(v.Number, left, groups))
		if refused(err) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		chosen = a.suite
	}
}

// Groups finds the groups over which the server agrees on keys in a version in
// which it accepts the suites given. Up to TLS 1.2 these are elliptic curves: a
// server says nothing of others before its key comes. With an error they are
// those that were found before.
func (p *Prober) Groups(ctx context.Context, version uint16, suites []Suite) (found []Group, err error) {
	if version == tls.VersionTLS13 {
		found, err = p.groupsByRetry(ctx, suites)
	} else if suites = slices.DeleteFunc(slices.Clone(suites), func(s Suite) bool { return !s.ephemeralCurves() }); len(suites) > 0 {
		curves := slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return !g.isCurve() })
		found, err = p.groupsByHalves(ctx, version, suites, curves)
	}
	slices.SortFunc(found, func(a, b Group) int { return slices.Index(groups, a) - slices.Index(groups, b) })
	return found, err
}

// groupsByRetry leaves out the group that the server asked for, each time.
func (p *Prober) groupsByRetry(ctx context.Context, suites []Suite) (found []Group, err error) {
	for left := slices.Clone(groups); len(left) > 0; {
		a, err := p.negotiate(ctx, p.hello(tls.VersionTLS13, suites, left))
		if refused(err) {
			return found, nil
		}
		if err == nil && a.group == 0 {
			err = malformed("no group")
		}
		if err != nil {
			return found, err
		}
		i := slices.IndexFunc(left, func(g Group) bool { return g.ID == a.group })
		found = append(found, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return found, nil
}

// groupsByHalves offers some curves, and where one of them is taken, each half of
// them: the ServerHello does not say which it was.
func (p *Prober) groupsByHalves(ctx context.Context, version uint16, suites []Suite, offered []Group) ([]Group, error) {
	_, err := p.negotiate(ctx, p.hello(version, suites, offered))
	switch {
	case refused(err):
		return nil, nil
	case err != nil:
		return nil, err
	case len(offered) == 1:
		return slices.Clone(offered), nil
	}
	found, err := p.groupsByHalves(ctx, version, suites, offered[:len(offered)/2])
	if err != nil {
		return found, err
	}
	more, err := p.groupsByHalves(ctx, version, suites, offered[len(offered)/2:])
	return append(found, more...), err
}

// refused reports whether an error is the server's answer to what was offered:
// a Refusal within another error is about something else.
func refused(err error) bool {
	_, ok := err.(*Refusal)
	return ok
}

func (p *Prober) hello(version uint16, suites []Suite, groups []Group) *hello {
	h := &hello{version: version, name: p.ServerName, protocols: p.NextProtos}
	for _, s := range suites {
		h.suites = append(h.suites, s.ID)
	}
	for _, g := range groups {
		h.groups = append(h.groups, g.ID)
	}
	return h
}
