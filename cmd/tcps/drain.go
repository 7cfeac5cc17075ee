package main

import (
	"context"
	"math"
	"time"
)

// shutdown drains, or closes at once when atOnce is closed, and reports whether
// connections were cut. It must come to its end whatever hangs: a log that
// nobody reads any more holds up every connection that has a line to say, and so
// must not keep the process from ending.
func (s *serving) shutdown(why string, atOnce <-chan struct{}) (cut bool) {
	ctx, stop := context.WithCancel(context.Background())
	limit := time.Duration(math.MaxInt64)
	if s.drain >= 0 {
		ctx, stop = context.WithTimeout(ctx, s.drain)
		limit = s.drain + patience + s.ending
	}
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.server.Shutdown(ctx) }()
	drain := duration(max(s.drain, 0))
	s.say(func() { s.log.Info("draining: no new connections; "+why, "drain", drain.String()) })
	select {
	case err := <-done:
		cut = err != nil
	case <-atOnce:
		s.closeNow()
		cut = true
	case <-time.After(limit):
		cut = true
	}
	if cut {
		s.say(func() { s.log.Warn("stopped; connections that had not ended were cut") })
	} else {
		s.say(func() { s.log.Info("stopped; all connections had ended") })
	}
	return cut
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
