package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
)

// A supervisor runs the services of a process until a signal ends it. The first
// SIGINT or SIGTERM drains them, the second ends them at once; SIGHUP reads
// their files anew, and the file that says which they are; SIGUSR2 starts a
// process that takes its place.
type supervisor struct {
	process          *process
	signals, hangups chan os.Signal
	upgrades         chan os.Signal
	replaced         chan struct{} // closed when another process serves
	broken           chan error    // hears of a listener that breaks
	atOnce           chan struct{} // closed when everything is to end at once

	// reread says which services there are to be, now that these run: some of
	// them, and new ones. Nil: they stay as they are.
	reread func(running []*unit) (next []*unit, err error)

	mu      sync.Mutex
	units   []*unit // that serve; guarded by mu
	leaving []*unit // that drain since they are no longer wanted; guarded by mu
	ending  bool    // the process ends; guarded by mu
}

// newSupervisor heeds SIGHUP and SIGUSR2 from now on.
func newSupervisor() *supervisor {
	s := &supervisor{
		signals: make(chan os.Signal, 2), hangups: make(chan os.Signal, 1), upgrades: make(chan os.Signal, 1),
		replaced: make(chan struct{}), broken: make(chan error), atOnce: make(chan struct{}),
	}
	notifyHangup(s.hangups)
	notifyUpgrade(s.upgrades)
	// Whoever reads the log may go away. (Ignoring it would be inherited by the
	// programs of exec.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return s
}

func (s *supervisor) release() {
	signal.Stop(s.hangups)
	signal.Stop(s.upgrades)
}

// run serves the units until a signal has ended all of them.
func (s *supervisor) run(ctx context.Context, units []*unit) error {
	if err := openAll(ctx, units, s.process.listen); err != nil {
		return err
	}
	if err := s.process.bound(units); err != nil {
		discardAll(units)
		return err
	}
	defer s.process.ended()
	// Never stopped: one that comes too late must not change the exit status.
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, u := range units {
		u.announce()
	}
	s.begin(ctx, units)
	s.units = units
	s.process.serving(units)
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		s.heed(ctx)
	}()
	err := s.wait(ctx)
	cancel()
	within(patience, func() { <-hung }) // it may hang in a log that nobody reads
	return err
}

// openAll opens all units, or none.
func openAll(ctx context.Context, units []*unit, listen listenFunc) error {
	for i, u := range units {
		if err := u.open(ctx, listen); err != nil {
			discardAll(units[:i])
			return u.locate(err)
		}
	}
	return nil
}

func discardAll(units []*unit) {
	for _, u := range units {
		u.discard()
	}
}

func (s *supervisor) begin(ctx context.Context, units []*unit) {
	for _, u := range units {
		u.begin(ctx, s.broken)
	}
}

// wait ends everything: by a signal, because a listener is broken, or because
// another process has taken over.
func (s *supervisor) wait(ctx context.Context) error {
	ends := func(u *unit) farewell { return u.ends("another signal ends at once", s.atOnce) }
	select {
	case err := <-s.broken:
		close(s.atOnce)
		s.end(ends)
		return failure(err)
	case <-ctx.Done():
		close(s.atOnce)
		s.end(ends)
		return failure(ctx.Err())
	case <-s.signals:
		go s.hear(s.atOnce)
	case <-s.replaced:
		hurry := make(chan struct{})
		ends = func(*unit) farewell { return s.process.replacedBy(hurry, s.atOnce) }
		go s.hear(hurry, s.atOnce)
	}
	if s.end(ends) {
		return exitStatus(exitFailed)
	}
	return nil
}

// hear closes one after the other, at a signal each.
func (s *supervisor) hear(then ...chan struct{}) {
	for _, c := range then {
		<-s.signals
		close(c)
	}
}

// end ends all units, each with its farewell, and reports whether connections
// had to be cut.
func (s *supervisor) end(farewellOf func(*unit) farewell) (cut bool) {
	s.mu.Lock()
	s.ending = true
	units := slices.Concat(s.units, s.leaving)
	s.mu.Unlock()
	s.process.ending(s.isReplaced())
	var finishing sync.WaitGroup
	for _, u := range units {
		finishing.Go(func() { u.finish(farewellOf(u)) })
	}
	finishing.Wait()
	return slices.ContainsFunc(units, func(u *unit) bool { return u.cut })
}

func (s *supervisor) isReplaced() bool {
	select {
	case <-s.replaced:
		return true
	default:
		return false
	}
}

// heed reads everything anew when somebody asks for it, or has another process
// take over, until ctx ends: one after the other, since each needs to know which
// units there are.
func (s *supervisor) heed(ctx context.Context) {
	for {
		select {
		case <-s.hangups:
			s.reload(ctx)
		case <-s.upgrades:
			s.upgrade()
		case <-ctx.Done():
			return
		}
	}
}

// reload has what runs read its files anew, what drains too, and replaces what is
// no longer to run as it does.
func (s *supervisor) reload(ctx context.Context) {
	before, ending := s.alive()
	if s.reread != nil && !ending {
		running := s.running()
		next, err := s.reread(running)
		if err == nil {
			err = s.replace(ctx, running, next)
		}
		if err != nil {
			s.refuse(err)
			return
		}
	}
	for _, u := range before {
		u.reload("SIGHUP")
	}
}

// alive are the units that serve or drain, and whether the process ends.
func (s *supervisor) alive() (units []*unit, ending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = slices.DeleteFunc(s.leaving, (*unit).hasEnded)
	return slices.Concat(s.units, s.leaving), s.ending
}

// refuse says why nothing has changed, and what to do.
func (s *supervisor) refuse(err error) {
	attrs := []any{"err", err}
	if p, ok := errors.AsType[*problem](err); ok && len(p.hints) > 0 {
		attrs = append(attrs, "hint", p.hints[0])
	}
	s.process.log.Error("reload refused, all services go on as they are", attrs...)
}

// replace has next run instead of what runs: units that are in both are not
// touched. On an error nothing has changed.
func (s *supervisor) replace(ctx context.Context, running, next []*unit) error {
	gone, come := without(running, next), without(next, running)
	if err := s.process.mayBecome(next); err != nil {
		return err
	}
	heirs := inherit(gone, s.process.listen)
	if err := openAll(ctx, come, heirs.listen); err != nil {
		return err
	}
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		discardAll(come)
		return errors.New("the process ends")
	}
	settled := heirs.settle()
	s.begin(ctx, come) // before anybody can end them
	s.units, s.leaving = next, append(s.leaving, gone...)
	s.mu.Unlock()
	for _, u := range gone {
		go u.finish(u.ends("the file no longer has the service as it was", s.atOnce))
	}
	for _, u := range come {
		u.announce()
	}
	if settled != nil {
		s.process.log.Error("the mode or owner of a socket stays as it was", "err", settled)
	}
	s.process.log.Info("file reloaded", "services", len(next), "begun", len(come), "ended", len(gone))
	return nil
}

// without are the units that others has not.
func without(units, others []*unit) []*unit {
	return slices.DeleteFunc(slices.Clone(units), func(u *unit) bool { return slices.Contains(others, u) })
}

func (s *supervisor) running() []*unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units
}
