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

// A ticket is what a connection holds until its handshake has ended.
type ticket struct {
	hello   *list.Element // in admission.hellos; nil after the hello
	shaking bool          // counted in admission.shaking
}

// enter lets a connection wait for its ClientHello.
func (a *admission) enter(c *Conn, limit int) *ticket {
	a.mu.Lock()
	var oldest *Conn
	if a.hellos.Len() >= limit && a.hellos.Len() > 0 {
		oldest = a.hellos.Remove(a.hellos.Front()).(*Conn)
	}
	t := &ticket{hello: a.hellos.PushBack(c)}
	a.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limitHellos))
	}
	return t
}

// evictOldest puts out the connection that has waited longest for its hello.
func (a *admission) evictOldest(limit string) {
	a.mu.Lock()
	var oldest *Conn
	if a.hellos.Len() > 0 {
		oldest = a.hellos.Remove(a.hellos.Front()).(*Conn)
	}
	a.mu.Unlock()
	if oldest != nil {
		oldest.abort(reason.Limit(limit))
	}
}

var errNoTurn = errors.New("too many handshakes in progress, and none ended in time")

// turn exchanges the wait for the hello against a handshake slot, and waits
// for one until the handshake's deadline or until the connection ends.
func (a *admission) turn(t *ticket, c *Conn) error {
	a.mu.Lock()
	a.leaveHellosLocked(t)
	if a.shaking < c.server.Limits.maxHandshakes() {
		a.shaking++
		t.shaking = true
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
		t.shaking = true
	default:
		a.turns.Remove(place)
	}
	return err
}

// leave gives back what the ticket holds.
func (a *admission) leave(t *ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaveHellosLocked(t)
	a.releaseLocked(t)
}

// release gives a handshake slot back; turn asks for one again.
func (a *admission) release(t *ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(t)
}

func (a *admission) releaseLocked(t *ticket) {
	if !t.shaking {
		return
	}
	t.shaking = false
	if next := a.turns.Front(); next != nil {
		close(a.turns.Remove(next).(chan struct{})) // the slot goes on to the next
		return
	}
	a.shaking--
}

// leaveHellosLocked: removing an element that was evicted does nothing.
func (a *admission) leaveHellosLocked(t *ticket) {
	if t.hello != nil {
		a.hellos.Remove(t.hello)
		t.hello = nil
	}
}
