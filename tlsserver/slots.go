package tlsserver

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"tcps/internal/reason"
)

// slots count what is not served yet. The two kinds of slots are apart:
// who has not said hello never holds up who has.
type slots struct {
	mu      sync.Mutex
	hellos  list.List // of *Conn, the longest-waiting first
	shaking int       // handshakes that are worked on
	turns   list.List // of chan struct{}: who waits for a handshake slot, first come first served
}

// A slot is what a connection holds until its handshake has ended.
type slot struct {
	hello   *list.Element // in slots.hellos; nil after the hello
	shaking bool          // counted in slots.shaking
}

// enter lets a connection wait for its ClientHello.
func (s *slots) enter(c *Conn, limit int) *slot {
	s.mu.Lock()
	var oldest *Conn
	if s.hellos.Len() >= limit {
		oldest = s.popOldestLocked()
	}
	held := &slot{hello: s.hellos.PushBack(c)}
	s.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limitHellos))
	}
	return held
}

// evictOldest puts out the connection that has waited longest for its hello, if
// there is one.
func (s *slots) evictOldest(limit string) bool {
	s.mu.Lock()
	oldest := s.popOldestLocked()
	s.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limit))
	}
	return oldest != nil
}

// popOldestLocked is nil if nobody waits.
func (s *slots) popOldestLocked() *Conn {
	if s.hellos.Len() == 0 {
		return nil
	}
	return s.hellos.Remove(s.hellos.Front()).(*Conn)
}

var errNoTurn = errors.New("too many handshakes in progress, and none ended in time")

// turn exchanges the wait for the hello against a handshake slot, and waits
// for one until the handshake's deadline or until the connection ends.
func (s *slots) turn(held *slot, c *Conn) error {
	s.mu.Lock()
	s.leaveHellosLocked(held)
	if s.shaking < c.server.Limits.maxHandshakes() {
		s.shaking++
		held.shaking = true
		s.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	place := s.turns.PushBack(granted)
	s.mu.Unlock()

	var timeout <-chan time.Time
	if !c.deadline.IsZero() {
		timer := time.NewTimer(time.Until(c.deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	var err error
	select {
	case <-granted:
	case <-timeout:
		err = &reason.Error{Reason: reason.Timeout("handshake"), Err: errNoTurn}
	case <-c.aborted():
		err = &reason.Error{Reason: reason.Shutdown, Err: errNoTurn}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-granted: // perhaps only now: then it is ours to give back
		held.shaking = true
	default:
		s.turns.Remove(place)
	}
	return err
}

// leave gives back what the slot holds.
func (s *slots) leave(held *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveHellosLocked(held)
	s.releaseLocked(held)
}

// release gives a handshake slot back; turn asks for one again.
func (s *slots) release(held *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(held)
}

func (s *slots) releaseLocked(held *slot) {
	if !held.shaking {
		return
	}
	held.shaking = false
	if next := s.turns.Front(); next != nil {
		close(s.turns.Remove(next).(chan struct{})) // the slot goes on to the next
		return
	}
	s.shaking--
}

// leaveHellosLocked: removing an element that was evicted does nothing.
func (s *slots) leaveHellosLocked(held *slot) {
	if held.hello != nil {
		s.hellos.Remove(held.hello)
		held.hello = nil
	}
}
