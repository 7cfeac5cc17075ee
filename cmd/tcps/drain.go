package main

import (
	"context"
	"time"
)

// A farewell is how a service ends: within so much time, sooner if somebody is in
// a hurry, or at once.
type farewell struct {
	why    string
	drain  time.Duration   // that connections have to end by themselves; negative: no limit
	hurry  <-chan struct{} // closed when they have the service's own time from then on; nil: never
	atOnce <-chan struct{} // closed when there is no time
}

// ends is a farewell within the service's own time.
func (s *serving) ends(why string, atOnce <-chan struct{}) farewell {
	return farewell{why: why, drain: s.drain, atOnce: atOnce}
}

// shutdown drains, or closes at once when atOnce is closed, and reports whether
// connections were cut. It must come to its end whatever hangs: a log that
// nobody reads any more holds up every connection that has a line to say, and so
// must not keep the process from ending.
func (s *serving) shutdown(f farewell) (cut bool) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.server.Shutdown(ctx) }()
	drain := duration(max(f.drain, 0))
	s.say(func() { s.log.Info("draining: no new connections; "+f.why, "drain", drain.String()) })
	cut = s.awaitEnd(done, stop, f)
	if cut {
		s.say(func() { s.log.Warn("stopped; connections that had not ended were cut") })
	} else {
		s.say(func() { s.log.Info("stopped; all connections had ended") })
	}
	return cut
}

// awaitEnd waits until done says how the drain has ended; stop ends it.
func (s *serving) awaitEnd(done <-chan error, stop func(), f farewell) (cut bool) {
	late, tooLate := deadlineAfter(f.drain), (<-chan time.Time)(nil)
	hurry := f.hurry
	for {
		select {
		case err := <-done:
			return err != nil
		case <-f.atOnce:
			s.closeNow()
			return true
		case <-hurry:
			hurry = nil
			late = deadlineAfter(s.drain)
		case <-late:
			stop()
			late, hurry, tooLate = nil, nil, time.After(patience+s.ending)
		case <-tooLate:
			return true
		}
	}
}

// deadlineAfter is over after d; never if that is negative.
func deadlineAfter(d time.Duration) <-chan time.Time {
	if d < 0 {
		return nil
	}
	return time.After(d)
}

// patience is how long the end of the process waits for what should not take
// any time.
const patience = time.Second

// closeNow ends all connections.
func (s *serving) closeNow() {
	within(patience, func() { s.server.Close() })
}

// say logs, and does not wait for ever for a reader.
func (s *serving) say(line func()) { within(patience, line) }

// within calls f and waits for it, but not longer than d.
func within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}
