package tlsserver

import (
	"container/list"
	"sync"
	"time"
)

// maxRemembered is of how many keys a tally keeps the rate when nothing of them
// is open: some 10 MB. When there are more, the one that was quiet for longest
// is forgotten, as if it had never come.
const maxRemembered = 1 << 16

// A tally counts by key what is open, and how fast more comes. It holds an entry
// for each key of which something is open, and a bounded number of others.
// The zero value is empty.
type tally[K comparable] struct {
	mu      sync.Mutex
	entries map[K]*entry[K]
	quiet   list.List // of *entry, those with nothing open; the longest-quiet first
}

type entry[K comparable] struct {
	key   K
	open  int
	rate  meter
	place *list.Element // in quiet; nil: something is open
}

// enter counts one more of key, unless maxOpen are open or more than rate come a
// second: then it returns which of the two.
func (t *tally[K]) enter(now time.Time, key K, maxOpen, rate int) (held *entry[K], full, fast bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key]
	if e == nil {
		if t.entries == nil {
			t.entries = make(map[K]*entry[K])
		}
		e = &entry[K]{key: key}
		t.entries[key] = e
	} else if e.place != nil {
		t.quiet.Remove(e.place)
		e.place = nil
	}
	if e.open >= maxOpen {
		full = true
	} else if !e.rate.take(now, rate) {
		fast = true
	} else {
		e.open++
	}
	t.settle(now, e)
	return e, full, fast
}

// leave gives back what enter has counted.
func (t *tally[K]) leave(now time.Time, e *entry[K]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.open--
	t.settle(now, e)
}

// settle forgets what need not be remembered.
func (t *tally[K]) settle(now time.Time, e *entry[K]) {
	if e.open == 0 {
		e.place = t.quiet.PushBack(e)
	}
	for front := t.quiet.Front(); front != nil; front = t.quiet.Front() {
		oldest := front.Value.(*entry[K])
		if t.quiet.Len() <= maxRemembered && !oldest.rate.rested(now) {
			return
		}
		t.quiet.Remove(front)
		delete(t.entries, oldest.key)
	}
}

// A meter is a token bucket that holds what comes in a second, as one time (the
// generic cell rate algorithm, ITU-T I.371). The zero value is full. Its clock
// is the monotonic one: it does not jump.
type meter struct {
	due time.Time // when the bucket is full again
}

// take takes a token of so many a second, if there is one.
func (m *meter) take(now time.Time, rate int) bool {
	interval := time.Second / time.Duration(rate)
	if m.due.Before(now) {
		m.due = now
	}
	if m.due.Add(interval).Sub(now) > time.Second {
		return false
	}
	m.due = m.due.Add(interval)
	return true
}

func (m *meter) rested(now time.Time) bool { return !m.due.After(now) }
