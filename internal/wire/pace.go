package wire

import (
	"sync"
	"time"
)

// How a pace is kept: what was not used within paceBurst is lost, who waits does
// so for what paceChunk brings, and looks every paceLook whether it still should.
const (
	paceBurst = 100 * time.Millisecond
	paceChunk = 25 * time.Millisecond
	paceLook  = 50 * time.Millisecond
)

// A pace bounds the bytes a second in one direction. Nil: it does not.
type pace struct {
	rate int // bytes a second

	mu       sync.Mutex
	due      time.Time // when all that was taken is paid for; guarded by mu
	deadline time.Time // of who waits; guarded by mu
}

// SetPace bounds the bytes a second that are read, and as many that are written.
// It must be called before the first of them; 0 or less: no bound.
func (c *Conn) SetPace(bytesPerSecond int) {
	if bytesPerSecond > 0 {
		c.in, c.out = &pace{rate: bytesPerSecond}, &pace{rate: bytesPerSecond}
	}
}

// await waits until bytes may go, and returns how many of want. Where the
// connection cannot go on it returns at once: whoever tries will hear why.
func (p *pace) await(c *Conn, want int) int {
	if p == nil {
		return want
	}
	for {
		may, wait := p.allowance(time.Now())
		if may > 0 || wait <= 0 || c.isClosed() || c.Aborted() {
			return min(want, max(may, 1))
		}
		time.Sleep(wait)
	}
}

// allowance is how many bytes may go now, or how long to wait before looking
// again; neither when the deadline is over.
func (p *pace) allowance(now time.Time) (may int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	oneByte := time.Second / time.Duration(p.rate)
	if earliest := now.Add(-max(paceBurst, oneByte)); p.due.Before(earliest) {
		p.due = earliest
	}
	wait = paceLook
	if !p.deadline.IsZero() {
		wait = min(wait, p.deadline.Sub(now))
	}
	chunk := max(paceChunk, oneByte)
	return int(now.Sub(p.due).Seconds() * float64(p.rate)), min(wait, p.due.Sub(now)+chunk)
}

// took pays for n bytes.
func (p *pace) took(n int) {
	if p == nil || n <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
}

// setDeadline is when waiting is of no use any more.
func (p *pace) setDeadline(t time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
}
