package tlsserver

import (
	"container/list"
	"errors"
	"runtime"
	"sync"
	"time"

	"tcps/internal/reason"
)

// Limits bound what connections may cost together. Zero fields: the defaults
// that each names; negative: no limit.
type Limits struct {
	// MaxHellos is how many connections may wait for their ClientHello. When
	// they run short the one that has waited longest is put out, so slow
	// clients never keep others out. Default: 10,000.
	MaxHellos int

	// MaxHandshakes is how many handshakes may be worked on at once, from the
	// ClientHello on; those that wait for the peer do not count. One more
	// waits for its turn, within its HandshakeTimeout. Default: 256 for each
	// processor.
	MaxHandshakes int
}

func (l Limits) maxHellos() int { return countOrDefault(l.MaxHellos, 10_000) }
func (l Limits) maxHandshakes() int {
	return countOrDefault(l.MaxHandshakes, 256*runtime.GOMAXPROCS(0))
}

func countOrDefault(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return int(^uint(0) >> 1)
	}
	return n
}

// The names of the limits, as in the reason limit:WHICH.
const (
	limitHellos      = "hellos"
	limitDescriptors = "descriptors"
)

// admission counts what is not served yet. The two kinds of slots are apart:
// who has not said hello never holds up who has.
type admission struct {
	mu      sync.Mutex
	hellos  list.List // of *Conn, the longest-waiting first
	shaking int       // handshakes that are worked on
	turns   list.List // of chan struct{}: who waits for a handshake slot, first come first served
}

// A slot is what a connection holds until its handshake has ended.
type slot struct {
	hello   *list.Element // in admission.hellos; nil after the hello
	shaking bool          // counted in admission.shaking
}

// enter lets a connection wait for its ClientHello.
func (a *admission) enter(c *Conn, limit int) *slot {
	a.mu.Lock()
	var oldest *Conn
	if a.hellos.Len() >= limit {
		oldest = a.popOldestLocked()
	}
	held := &slot{hello: a.hellos.PushBack(c)}
	a.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limitHellos))
	}
	return held
}

// evictOldest puts out the connection that has waited longest for its hello.
func (a *admission) evictOldest(limit string) {
	a.mu.Lock()
	oldest := a.popOldestLocked()
	a.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limit))
	}
}

// popOldestLocked is nil if nobody waits.
func (a *admission) popOldestLocked() *Conn {
	if a.hellos.Len() == 0 {
		return nil
	}
	return a.hellos.Remove(a.hellos.Front()).(*Conn)
}

var errNoTurn = errors.New("too many handshakes in progress, and none ended in time")

// turn exchanges the wait for the hello against a handshake slot, and waits
// for one until the handshake's deadline or until the connection ends.
func (a *admission) turn(held *slot, c *Conn) error {
	a.mu.Lock()
	a.leaveHellosLocked(held)
	if a.shaking < c.server.Limits.maxHandshakes() {
		a.shaking++
		held.shaking = true
		a.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	place := a.turns.PushBack(granted)
	a.mu.Unlock()

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
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-granted: // perhaps only now: then it is ours to give back
		held.shaking = true
	default:
		a.turns.Remove(place)
	}
	return err
}

// leave gives back what the slot holds.
func (a *admission) leave(held *slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaveHellosLocked(held)
	a.releaseLocked(held)
}

// release gives a handshake slot back; turn asks for one again.
func (a *admission) release(held *slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(held)
}

func (a *admission) releaseLocked(held *slot) {
	if !held.shaking {
		return
	}
	held.shaking = false
	if next := a.turns.Front(); next != nil {
		close(a.turns.Remove(next).(chan struct{})) // the slot goes on to the next
		return
	}
	a.shaking--
}

// leaveHellosLocked: removing an element that was evicted does nothing.
func (a *admission) leaveHellosLocked(held *slot) {
	if held.hello != nil {
		a.hellos.Remove(held.hello)
		held.hello = nil
	}
}
