package main

import (
	"context"
	"errors"
	"sync"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsserver"
)

// A unit is one service of the process, from its flags to its end. What calls
// its methods, in this order, is a supervisor: open, begin, finish; or open and
// discard.
type unit struct {
	*serving
	flags     *cli.Context
	meaning   string            // of the service in its file: the same for units that do the same
	locate    func(error) error // says which service an error is about
	reloader  *reloader
	watcher   *certs.Watcher
	managed   *managed // nil: its certificates come from files, or it has none
	listeners []listening

	stop    context.CancelFunc // ends what runs beside the connections
	beside  sync.WaitGroup     // what runs beside the connections
	drained sync.Once
	ended   chan struct{} // closed when nothing of it runs any more
	cut     bool          // its connections had to be; valid when it has ended
}

// newUnit reads flags and files; configure reads what one command has beside
// the others: the endpoints and the handler. Nothing is open yet, and nothing
// runs. called is the service's name where there are several, named what differs
// by server name.
func (p *program) newUnit(c *cli.Context, called string, named []nameRules, configure func(*cli.Context, *serving) error) (*unit, error) {
	s, err := p.servingOf(c, called, named)
	if err != nil {
		return nil, err
	}
	if err := configure(c, s); err != nil {
		return nil, err
	}
	s.server.Limits = limitsOf(c, s.name)
	if s.addresses, err = addressBookOf(c, s.server, s.log); err != nil {
		return nil, err
	}
	u := &unit{serving: s, flags: c, ended: make(chan struct{}), locate: func(err error) error { return err }}
	u.reloader = &reloader{config: s.trust, server: s.server, log: s.log, prover: &prover{s.server, s.log, s.lifetimes}}
	u.watcher = certs.NewWatcher(u.reloader.paths()...) // before the files are read, so that no change is missed
	if u.managed, err = p.managedOf(c, s); err != nil {
		return nil, err
	}
	s.keepTickets(c)
	if s.secure() && u.managed == nil {
		return u, u.reloader.load(nil)
	}
	return u, nil
}

// open listens, and obtains certificates that somebody has to issue. On an
// error nothing is left open.
func (u *unit) open(ctx context.Context, listen listenFunc) (err error) {
	defer func() {
		if err != nil {
			closeAll(u.listeners)
		}
	}()
	if u.listeners, err = u.listenAll(ctx, listen); err != nil || u.managed == nil {
		return err
	}
	u.managed.manager.Changed = u.reloader.changed
	if err := u.managed.start(ctx, u.listeners); err != nil {
		return err
	}
	if err := u.reloader.load(u.managed.manager); err != nil {
		within(patience, u.managed.close)
		return err
	}
	return nil
}

// discard ends a unit that has not begun.
func (u *unit) discard() {
	closeAll(u.listeners)
	if u.managed != nil {
		within(patience, u.managed.close)
	}
}

// announce says what is served where.
func (u *unit) announce() {
	u.say(func() { u.serving.announce(u.flags, u.listeners, u.managed != nil && u.managed.acme == nil) })
}

// begin serves, until finish or the end of ctx; broken hears of a listener that
// breaks.
func (u *unit) begin(ctx context.Context, broken chan<- error) {
	ctx, u.stop = context.WithCancel(ctx)
	keepBelow(u.server.Limits.Memory, u.log)
	u.beside.Go(func() { u.addresses.watch(ctx) })
	if u.secure() {
		u.beside.Go(func() { u.reloader.watch(ctx, u.watcher) })
	}
	if u.dialling != nil && u.dialling.watcher != nil {
		u.beside.Go(func() { u.dialling.watch(ctx) })
	}
	for _, run := range u.background {
		u.beside.Go(func() { run(ctx) })
	}
	for _, l := range u.listeners {
		serve := u.server.Serve
		switch {
		case !l.endpoint.TLS():
			serve = u.server.ServePlain
		case u.passthrough:
			serve = u.server.ServePassthrough
		}
		go func() {
			err := serve(ctx, l)
			if errors.Is(err, tlsserver.ErrServerClosed) {
				return
			}
			select {
			case broken <- err:
			case <-ctx.Done():
			}
		}()
	}
}

// reload reads the unit's files anew.
func (u *unit) reload(why string) {
	if u.secure() {
		u.reloader.reload(why)
	}
	if u.dialling != nil && u.dialling.watcher != nil {
		u.dialling.reload(why)
	}
	u.addresses.reload(why)
}

// finish lets connections end in their time, and ends what is left. It returns
// when the unit has ended, to all who call it.
func (u *unit) finish(f farewell) {
	u.drained.Do(func() {
		u.cut = u.shutdown(f)
		u.close()
		close(u.ended)
	})
	<-u.ended
}

// close ends what is there beside the connections.
func (u *unit) close() {
	if killer, ok := u.server.Handler.(interface{ Kill() }); ok {
		killer.Kill() // no program outlives us
	}
	u.stop()
	u.lines.flush()
	within(patience, u.beside.Wait) // a reload may hang in a log that nobody reads
	if u.managed != nil {
		within(patience, u.managed.close)
	}
}

func (u *unit) hasEnded() bool {
	select {
	case <-u.ended:
		return true
	default:
		return false
	}
}
