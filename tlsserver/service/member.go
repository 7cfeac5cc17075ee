package service

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
	"tcps/tlsserver"
)

// A SlowPolicy says what becomes of a member that does not take what it is sent.
type SlowPolicy int

// The policies.
const (
	DropMember SlowPolicy = iota // its connection is ended, with the reason limit:slow
	DropLines                    // it misses lines, and is told how many once it reads on
)

// patience is how long a member with a full queue may hold the others up.
const patience = time.Second

// messageOverhead is what a queued message costs beside its bytes: its place in
// the queue, which may be half empty, and what an allocation is rounded up to.
const messageOverhead = 64

// errSlow is the end of a member that does not read.
var errSlow = tlsserver.WithReason(reason.Limit("slow"), errors.New("the member does not take what it is sent, and its queue is full"))

// A Member is one who has joined a Room: its name, and the queue of what it
// was sent and has not taken yet. Its methods may be called concurrently.
type Member struct {
	name  string
	limit int // of size
	slow  SlowPolicy
	end   func() error // ends the connection at once

	counts *roomCounts // of all members

	full atomic.Bool // the queue is; set with mu held, so that Wait can look without

	mu       sync.Mutex
	ready    sync.Cond     // there is something in queue, or closed is set
	queue    [][]byte      // messages, shared with other members; guarded by mu, as all below
	size     int           // of queue and of what is being written, with overhead
	closed   bool          // no more is taken
	err      error         // why it was put out
	writing  time.Time     // when the write under way began; zero: none is
	filled   time.Time     // when full was set
	expiry   *time.Timer   // calls expire while full is set
	released chan struct{} // closed when full is reset
	hasty    bool          // it was slow, and has not caught up since: no more patience
	dropping bool          // lines, until half of the queue is free
	missed   int           // lines that it has not been told of
	missing  int           // lines, ever
}

func newMember(name string, limit int, slow SlowPolicy, end func() error) *Member {
	m := &Member{name: name, limit: limit, slow: slow, end: end, counts: new(roomCounts)}
	m.ready.L = &m.mu
	return m
}

// Name is what the member is called; others may have the same name.
func (m *Member) Name() string { return m.name }

// Wait returns when the member can be sent something, within a second: a member
// whose queue was full for that long, or took nothing of it, is slow, and then
// it loses its place or the lines that come.
func (m *Member) Wait() {
	if !m.full.Load() {
		return
	}
	m.mu.Lock()
	released := m.released
	m.mu.Unlock()
	if released != nil {
		<-released
	}
}

// Send queues a message, which must not be changed any more, and waits only
// where Wait does.
func (m *Member) Send(message []byte) {
	m.Wait()
	m.put(message)
}

// put queues a message, into a full queue too.
func (m *Member) put(message []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
	case m.dropping:
		m.missed++
		m.missing++
		m.counts.missed.Add(1)
	default:
		m.push(message)
		if m.size >= m.limit && !m.full.Load() {
			m.fill()
		}
	}
}

func (m *Member) push(message []byte) {
	if len(m.queue) == 0 {
		m.ready.Signal()
	}
	m.queue = append(m.queue, message)
	m.size += len(message) + messageOverhead
}

// fill starts the member's second. It starts earlier where a write is stuck:
// members that stopped reading together must not use it up one after another.
func (m *Member) fill() {
	m.full.Store(true)
	m.filled, m.released = time.Now(), make(chan struct{})
	m.expiry = time.AfterFunc(m.left(), m.expire)
}

// left is what is left of the member's second.
func (m *Member) left() time.Duration {
	since := m.filled
	if !m.writing.IsZero() && m.writing.Before(since) {
		since = m.writing
	}
	if m.hasty {
		return 0
	}
	return max(0, time.Until(since.Add(patience)))
}

// expire makes the member a slow one, unless it has just taken something.
func (m *Member) expire() {
	m.mu.Lock()
	left := time.Duration(0)
	if m.full.Load() {
		left = m.left()
	}
	switch {
	case !m.full.Load():
	case left > 0:
		m.expiry.Reset(left)
	case m.slow == DropLines:
		m.dropping, m.hasty = true, true
		m.release()
	default:
		m.err = errSlow
		m.counts.cut.Add(1)
		m.discard()
		defer m.end() // once mu is free
	}
	m.mu.Unlock()
}

// release lets those go on who wait for the member.
func (m *Member) release() {
	if m.full.Load() {
		m.full.Store(false)
		m.expiry.Stop()
		close(m.released)
	}
}

// discard gives up what is queued, and takes nothing any more.
func (m *Member) discard() {
	m.queue, m.closed = nil, true
	m.release()
	m.ready.Signal()
}

// close lets deliver return when it has written what is queued.
func (m *Member) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.release()
	m.ready.Signal()
}

// outcome is why the member was put out, nil if it was not, and how many lines
// it has missed.
func (m *Member) outcome() (missing int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.missing, m.err
}

// deliver writes what is queued until close, or until a write fails.
func (m *Member) deliver(w io.Writer) error {
	for batch := m.take(); batch != nil; batch = m.take() {
		if err := m.writeAll(w, batch); err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.discard()
			return err
		}
	}
	return nil
}

// take waits for messages and takes all of them; none are left after close.
func (m *Member) take() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.queue) == 0 && !m.closed {
		m.ready.Wait()
	}
	batch := m.queue
	m.queue, m.writing = nil, time.Now()
	return batch
}

// writeAll writes messages, many small ones in one write: a burst is then a few
// TLS records and system calls.
func (m *Member) writeAll(w io.Writer, batch [][]byte) error {
	buf := wire.Buffer()
	defer wire.Release(buf)
	for len(batch) > 0 {
		piece, n := gather(buf[:0], batch)
		if _, err := w.Write(piece); err != nil {
			return err
		}
		m.wrote(len(piece) + n*messageOverhead)
		m.counts.delivered.Add(int64(n))
		clear(batch[:n]) // others may have let go of them
		batch = batch[n:]
	}
	return nil
}

// gather puts as many messages into buf as it has room for, and returns how
// many; a single one is not copied.
func gather(buf []byte, batch [][]byte) (piece []byte, n int) {
	for n < len(batch) && len(buf)+len(batch[n]) <= cap(buf) {
		buf = append(buf, batch[n]...)
		n++
	}
	if n <= 1 {
		return batch[0], 1
	}
	return buf, n
}

// wrote takes note that the peer has taken what cost so much.
func (m *Member) wrote(cost int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size -= cost
	m.writing = time.Now()
	if m.size == 0 {
		m.writing, m.hasty = time.Time{}, false
	}
	if m.size > m.limit/2 {
		return
	}
	m.release()
	m.dropping = false
	if m.missed > 0 {
		m.push(missedNotice(m.missed))
		m.missed = 0
	}
}

func missedNotice(n int) []byte {
	if n == 1 {
		return []byte("* 1 line missed\n")
	}
	return fmt.Appendf(nil, "* %d lines missed\n", n)
}
