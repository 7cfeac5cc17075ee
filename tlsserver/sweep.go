package tlsserver

import (
	"fmt"
	"time"

	"tcps/internal/reason"
)

// A sweep looks over all connections for those that take longer over something
// than their limits allow. It costs a connection nothing between: no timer, no
// look at the clock for a byte.

// sweepEvery is the time between two sweeps; 0: nothing has to be looked for.
func (l Limits) sweepEvery() time.Duration {
	shortest := time.Duration(0)
	for _, d := range []time.Duration{l.FirstByteTimeout, l.IdleTimeout, l.WriteTimeout, l.MaxAge} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return min(shortest/4, time.Second)
}

// sweepLocked has sweeps begin, once.
func (s *Server) sweepLocked() {
	every := s.Limits.sweepEvery()
	if every <= 0 || s.sweeping {
		return
	}
	s.sweeping = true
	go s.sweep(every, s.allEndedLocked())
}

func (s *Server) sweep(every time.Duration, ended <-chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ended:
			return
		}
		now := time.Now()
		for _, c := range s.open() {
			if err := s.Limits.overdue(c, now); err != nil {
				c.refuse(err)
			}
		}
	}
}

// A progress is what a sweep has seen of a connection.
type progress struct {
	begun   time.Time // when it was first seen established
	bytes   int64     // that had come and gone
	moved   time.Time // when it was first seen so
	spoken  bool      // bytes of the service have come or gone
	writing int64     // the write that was under way
	sent    int64     // that had gone
	stuck   time.Time // when both were first seen so
}

// overdue is what a connection takes too long over, as an error; nil: nothing.
func (l Limits) overdue(c *Conn, now time.Time) error {
	if l.MaxAge > 0 && now.Sub(c.opened) >= l.MaxAge {
		return tooLong("age", "connections live %v at most", l.MaxAge)
	}
	if !c.established.Load() {
		return nil // the handshake has its own deadline
	}
	p := c.progress(now)
	switch {
	case l.FirstByteTimeout > 0 && !p.spoken && now.Sub(p.begun) >= l.FirstByteTimeout:
		return tooLong("first-byte", "nobody has said anything for %v", l.FirstByteTimeout)
	case l.WriteTimeout > 0 && p.writing != 0 && now.Sub(p.stuck) >= l.WriteTimeout:
		return tooLong("write", "the peer has taken nothing for %v", l.WriteTimeout)
	case l.IdleTimeout > 0 && now.Sub(p.moved) >= l.IdleTimeout:
		return tooLong("idle", "nothing has come or gone for %v", l.IdleTimeout)
	}
	return nil
}

func tooLong(which, format string, limit time.Duration) error {
	return &reason.Error{Reason: reason.Timeout(which), Err: fmt.Errorf(format, limit)}
}

// progress is what is seen now; only a sweep may call it.
func (c *Conn) progress(now time.Time) *progress {
	raw := c.stream.Raw
	sent, writing := raw.Sent(), raw.Writing()
	bytes := raw.Received() + sent
	p := c.swept
	if p == nil {
		p = &progress{begun: now, bytes: bytes, moved: now, writing: writing, sent: sent, stuck: now}
		c.swept = p
	}
	if p.bytes != bytes {
		p.bytes, p.moved = bytes, now
		p.spoken = p.spoken || c.handedOut.Load() // whose own bytes are not counted
	}
	if p.writing != writing || p.sent != sent {
		p.writing, p.sent, p.stuck = writing, sent, now
	}
	p.spoken = p.spoken || c.BytesRead()+c.BytesWritten() > 0
	return p
}
