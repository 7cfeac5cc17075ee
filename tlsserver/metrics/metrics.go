// Package metrics counts what happens in a tlsserver.Server for Prometheus. It
// is the only package of the library that needs Prometheus' client: who counts
// otherwise writes a tlsserver.Observer of their own.
//
// docs/metrics.md has all names, and what to alert on.
package metrics

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"tcps/tlsserver"
)

// A Collector counts what happens to the connections of one Server (or of
// several that are one service to who watches): it is its Observer, and a
// prometheus.Collector that is registered as any other.
//
//	m := metrics.New("db", nil)
//	server.Observer = m
//	registry.MustRegister(m)
//
// Make it with New. Its methods may be called concurrently.
type Collector struct {
	next tlsserver.Observer

	all       []prometheus.Collector      // those that follow
	described map[string]*prometheus.Desc // what is looked up when somebody asks

	accepted, acceptFailed, trusted, ticketsFailed *prometheus.CounterVec // without labels
	refused, ended, failed                         *prometheus.CounterVec // by reason
	handshakes, policyRefused, reloads, dials      *prometheus.CounterVec
	handshaking, living                            prometheus.Observer
	dialling                                       *prometheus.HistogramVec // by target
	reloaded                                       prometheus.Gauge

	trust   atomic.Pointer[tlsserver.Trust]   // that holds; nil: none does
	handler atomic.Pointer[tlsserver.Handler] // see Watch; nil: there is none

	mu   sync.Mutex
	open map[*tlsserver.Conn]bool // whether each is established; guarded by mu
	gone bytes                    // of those that have ended; guarded by mu
}

// bytes that came and went.
type bytes struct{ received, sent int64 }

// New makes a Collector for a service: its name is the label service of all that
// is counted, so that one Registerer takes the Collectors of several. Events go
// on to next, which may be a tlsserver.DataObserver too; nil: nobody else wants
// them.
func New(service string, next tlsserver.Observer) *Collector {
	m := &Collector{next: next, open: make(map[*tlsserver.Conn]bool)}
	m.define(prometheus.Labels{"service": service})
	return m
}

// Observer is what a Server should have: m itself, but where next wants to see
// the bytes, and so makes connections slower, it does too.
func (m *Collector) Observer() tlsserver.Observer {
	if data, ok := m.next.(tlsserver.DataObserver); ok {
		return withData{m, data}
	}
	return m
}

// withData lets a DataObserver see the bytes.
type withData struct {
	*Collector
	data tlsserver.DataObserver
}

func (w withData) ObserveData(c *tlsserver.Conn, d tlsserver.Direction, b []byte) {
	w.data.ObserveData(c, d, b)
}

// Observe counts an event. It is what a Server calls.
func (m *Collector) Observe(e tlsserver.Event) {
	switch e := e.(type) {
	case tlsserver.Opened:
		m.accepted.WithLabelValues().Inc()
		m.setOpen(e.Conn, false)
	case tlsserver.Established:
		m.setOpen(e.Conn, true)
		m.established(e)
	case tlsserver.Ended:
		m.endedOf(e)
	case tlsserver.Refused:
		m.refused.WithLabelValues(e.Reason.Label()).Inc()
		m.countPolicy(e.Reason)
	case tlsserver.AcceptFailed:
		m.acceptFailed.WithLabelValues().Inc()
	case tlsserver.TrustChanged:
		m.trust.Store(e.Trust)
		m.trusted.WithLabelValues().Inc()
	case tlsserver.TicketKeysFailed:
		m.ticketsFailed.WithLabelValues().Inc()
	}
	if m.next != nil {
		m.next.Observe(e)
	}
}

// Reloaded counts a reload of files, by what came of it. Who reloads says so: a
// Server hears only of what was good (tlsserver.TrustChanged).
func (m *Collector) Reloaded(err error) {
	if err != nil {
		m.reloads.WithLabelValues("refused").Inc()
		m.reloaded.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.reloaded.Set(1)
}

func (m *Collector) setOpen(c *tlsserver.Conn, established bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[c] = established
}

func (m *Collector) established(e tlsserver.Established) {
	cs := e.Conn.TLS()
	if cs == nil {
		return // plain, or passed on
	}
	m.handshaking.Observe(e.Duration.Seconds())
	m.handshakes.WithLabelValues(versionOf(cs), groupOf(cs), yesNo(cs.DidResume)).Inc()
}

func (m *Collector) endedOf(e tlsserver.Ended) {
	m.mu.Lock()
	established := m.open[e.Conn]
	delete(m.open, e.Conn)
	m.gone.received += e.Conn.BytesRead()
	m.gone.sent += e.Conn.BytesWritten()
	m.mu.Unlock()
	label := e.Reason.Label()
	m.ended.WithLabelValues(label).Inc()
	m.living.Observe(e.Duration.Seconds())
	if !established && e.Err != nil {
		m.failed.WithLabelValues(label).Inc()
	}
	m.countPolicy(e.Reason)
}

// countPolicy counts by the kind of rule that refused, without its value: kinds
// are few, and values are whatever somebody has configured.
func (m *Collector) countPolicy(why tlsserver.Reason) {
	if rule, ok := strings.CutPrefix(string(why), "policy:"); ok {
		kind, _, _ := strings.Cut(rule, "=")
		m.policyRefused.WithLabelValues(kind).Inc()
	}
}

// now is how many connections are open, and what came and went, on those too.
func (m *Collector) now() (shaking, serving int, sum bytes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum = m.gone
	for c, established := range m.open {
		if established {
			serving++
		}
		sum.received += c.BytesRead()
		sum.sent += c.BytesWritten()
	}
	return len(m.open) - serving, serving, sum
}
