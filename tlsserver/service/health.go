package service

import (
	"slices"
	"sync"
	"time"
)

// Balance says which target of several the next connection goes to.
type Balance int

// The ways to balance.
const (
	RoundRobin Balance = iota // each in its turn
	Least                     // the one with the fewest open connections
	First                     // the first in the order given; the next only while those before it are out
)

// A target that fails is left out for leaveOut, then for twice as long each
// time that it has failed again, at most for maxLeaveOut.
const (
	leaveOut    = time.Second
	maxLeaveOut = time.Minute
)

// A pool decides which target is tried next, from how they have done. It does
// not dial.
type pool struct {
	mu      sync.Mutex
	members []standing // guarded by mu, as all below
	turn    int        // the member that RoundRobin and Least look at first
}

// A standing is what a pool knows of one member: a target.
type standing struct {
	open     int       // connections, those that are being dialled too
	failures int       // since it was last reached; 0: it is in
	outSince time.Time // the first of these failures
	until    time.Time // when it may be tried again, if it is out
	trying   bool      // somebody tries whether it is back
	news     int       // how often it has failed or come back
}

// An attempt is to tell the pool how it went: done, abandoned or failed.
type attempt struct {
	member int
	news   int  // of the member, when the attempt began
	trial  bool // of whether an out member is back
}

func newPool(members int) *pool { return &pool{members: make([]standing, members)} }

// take picks a member that is not in tried. Those that are in go first; of
// those that are out one whose time has come is tried by one caller. When none
// of these is left, it is the one whose time comes first: the last is never
// left out.
func (p *pool) take(balance Balance, tried []int) (attempt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, chosen := time.Now(), -1
	for _, i := range p.order(balance) {
		m := &p.members[i]
		if slices.Contains(tried, i) || m.failures > 0 && (m.trying || now.Before(m.until)) {
			continue
		}
		if chosen < 0 || balance == Least && m.open < p.members[chosen].open {
			chosen = i
		}
	}
	if chosen < 0 {
		if chosen = p.soonest(tried); chosen < 0 {
			return attempt{}, false
		}
	}
	m := &p.members[chosen]
	a := attempt{member: chosen, news: m.news, trial: m.failures > 0 && !m.trying && !now.Before(m.until)}
	m.trying = m.trying || a.trial
	m.open++
	p.turn = (chosen + 1) % len(p.members)
	return a, true
}

// order is that in which the members are looked at.
func (p *pool) order(balance Balance) []int {
	all := make([]int, len(p.members))
	for i := range all {
		all[i] = i
		if balance != First {
			all[i] = (p.turn + i) % len(all)
		}
	}
	return all
}

// soonest is the member whose time comes first; -1: all are in tried.
func (p *pool) soonest(tried []int) int {
	found := -1
	for i, m := range p.members {
		if !slices.Contains(tried, i) && (found < 0 || m.until.Before(p.members[found].until)) {
			found = i
		}
	}
	return found
}

// done says that an attempt has led to a connection, which counts until it is
// released. It returns how long the member was out; 0: it was in.
func (p *pool) done(a attempt) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.back(a.member)
}

// release says that the connection of an attempt has ended.
func (p *pool) release(a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[a.member].open--
}

// abandoned says that nothing was learnt from an attempt.
func (p *pool) abandoned(a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(a)
}

// failed says that an attempt has failed. It reports whether that takes out a
// member that was in.
func (p *pool) failed(a attempt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(a)
	if p.members[a.member].news != a.news {
		return false // it began before what is known by now
	}
	return p.out(a.member)
}

func (p *pool) end(a attempt) {
	m := &p.members[a.member]
	m.open--
	if a.trial {
		m.trying = false
	}
}

// checked takes the verdict of an active check, and returns what failed or done
// would.
func (p *pool) checked(member int, good bool) (out bool, was time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if good {
		return false, p.back(member)
	}
	return p.out(member), 0
}

// out counts a failure, unless the member is left out already: those who try
// it all the same must not make it later and later.
func (p *pool) out(member int) bool {
	m, now := &p.members[member], time.Now()
	if m.failures > 0 && now.Before(m.until) {
		return false
	}
	first := m.failures == 0
	if first {
		m.outSince = now
	}
	m.until = now.Add(min(leaveOut<<min(m.failures, 10), maxLeaveOut))
	m.failures++
	m.news++
	return first
}

func (p *pool) back(member int) time.Duration {
	m := &p.members[member]
	m.trying = false
	if m.failures == 0 {
		return 0
	}
	m.failures, m.until = 0, time.Time{}
	m.news++
	return max(time.Since(m.outSince), 1)
}
