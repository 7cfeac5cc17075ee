package metrics

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// maxNames bounds the names whose certificates are told of: those that end first.
const maxNames = 1000

// Watch adds the figures of a service: a room's of service.Broadcast, targets' of
// service.Forward, programs' of service.Exec. Other Handlers have none. It may be
// called again where another Handler takes the place of the first.
func (m *Collector) Watch(h tlsserver.Handler) { m.handler.Store(&h) }

// ObserveTarget counts what happens to targets: it is for service.Targets.Observe.
func (m *Collector) ObserveTarget(e service.TargetEvent) {
	dialled, ok := e.(service.TargetDialled)
	if !ok {
		return
	}
	result := "ok"
	if dialled.Err != nil {
		result = dialled.Reason.Label()
	} else {
		m.dialling.WithLabelValues(dialled.Endpoint).Observe(dialled.Duration.Seconds())
	}
	m.dials.WithLabelValues(dialled.Endpoint, result).Inc()
}

// Describe is a prometheus.Collector's.
func (m *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(to)
	}
	for _, d := range m.described {
		to <- d
	}
}

// Collect is a prometheus.Collector's.
func (m *Collector) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(to)
	}
	out := sink{m, to}
	shaking, serving, sum := m.now()
	out.put(open, float64(shaking), "handshake")
	out.put(open, float64(serving), "served")
	out.put(received, float64(sum.received))
	out.put(sent, float64(sum.sent))
	for name, until := range m.expiries() {
		out.put(expiry, float64(until.Unix()), name)
	}
	if h := m.handler.Load(); h != nil {
		out.service(*h)
	}
}

// A sink takes what was looked up.
type sink struct {
	m  *Collector
	to chan<- prometheus.Metric
}

func (s sink) put(f family, value float64, labels ...string) {
	of := prometheus.GaugeValue
	if f.kind == counter {
		of = prometheus.CounterValue
	}
	s.to <- prometheus.MustNewConstMetric(s.m.described[f.name], of, value, labels...)
}

func (s sink) service(h tlsserver.Handler) {
	switch h := h.(type) {
	case *service.Broadcast:
		room := h.Stats()
		s.put(members, float64(room.Members))
		s.put(said, float64(room.Said))
		s.put(delivered, float64(room.Delivered))
		s.put(missed, float64(room.Missed))
		s.put(cut, float64(room.Cut))
	case *service.Forward:
		for _, target := range h.Stats() {
			s.put(targetOpen, float64(target.Open), target.Endpoint)
			s.put(targetUp, zeroOne(!target.Out), target.Endpoint)
		}
	case *service.Exec:
		run := h.Stats()
		s.put(programs, float64(run.Running))
		s.put(programsBegun, float64(run.Started))
	}
}

func zeroOne(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// expiries are when certificates end by the names that they are for; of several
// for a name it is the first end.
func (m *Collector) expiries() map[string]time.Time {
	ends := make(map[string]time.Time)
	trust := m.trust.Load()
	if trust == nil {
		return ends
	}
	for _, leaf := range leavesOf(trust.Source) {
		for _, name := range certs.ServerNames(leaf) {
			if known, ok := ends[name]; !ok || leaf.NotAfter.Before(known) {
				ends[name] = leaf.NotAfter
			}
		}
	}
	if len(ends) > maxNames {
		names := slices.SortedFunc(maps.Keys(ends), func(a, b string) int { return ends[a].Compare(ends[b]) })
		for _, name := range names[maxNames:] {
			delete(ends, name)
		}
	}
	return ends
}

// leavesOf are the certificates that a source presents, as far as it can say.
func leavesOf(source certs.Source) []*x509.Certificate {
	switch source := source.(type) {
	case interface{ Leaves() []*x509.Certificate }:
		return source.Leaves()
	case interface {
		Leaves() map[string]*x509.Certificate
	}:
		return slices.Collect(maps.Values(source.Leaves()))
	}
	cert, err := source.Certificate(&tls.ClientHelloInfo{})
	if err != nil || cert == nil || cert.Leaf == nil {
		return nil
	}
	return []*x509.Certificate{cert.Leaf}
}

func versionOf(cs *tls.ConnectionState) string { return tls.VersionName(cs.Version) }

// groupOf is the name of the key exchange group; none: a session that was resumed
// in TLS 1.2.
func groupOf(cs *tls.ConnectionState) string {
	if cs.CurveID == 0 {
		return "none"
	}
	return tlsclient.GroupName(cs.CurveID)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
