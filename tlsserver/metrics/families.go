package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// A kind is what Prometheus calls the type of a metric.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// A family is a metric with all its labels but service.
type family struct {
	name   string
	kind   kind
	labels []string
	help   string
}

// The families that are filled as events come.
var (
	accepted      = family{"tcps_connections_accepted_total", counter, nil, "Connections that were accepted and not refused at once."}
	refused       = family{"tcps_connections_refused_total", counter, []string{"reason"}, "Connections that were closed as they came, by a limit or a rule for addresses."}
	ended         = family{"tcps_connections_ended_total", counter, []string{"reason"}, "Connections that have ended, by reason."}
	living        = family{"tcps_connection_duration_seconds", histogram, nil, "Time from accepting a connection to its end."}
	handshakes    = family{"tcps_handshakes_total", counter, []string{"version", "group", "resumed"}, "TLS handshakes that ended well."}
	failed        = family{"tcps_handshake_failures_total", counter, []string{"reason"}, "Connections that ended before their handshake had, by reason."}
	handshaking   = family{"tcps_handshake_duration_seconds", histogram, nil, "Time from accepting a connection to the good end of its TLS handshake."}
	policyRefused = family{"tcps_policy_refusals_total", counter, []string{"rule"}, "Clients that a rule has refused, by kind of rule."}
	acceptFailed  = family{"tcps_accept_failures_total", counter, nil, "Times that accepting failed for a cause that passes, as too few descriptors."}
	trustChanged  = family{"tcps_trust_changes_total", counter, nil, "Times that certificates and rules for clients were replaced."}
	ticketsFailed = family{"tcps_ticket_key_failures_total", counter, nil, "Times that the store of session ticket keys could not be read or written."}
	reloads       = family{"tcps_reloads_total", counter, []string{"result"}, "Reloads of files: ok or refused."}
	reloadedWell  = family{"tcps_last_reload_successful", gauge, nil, "Whether the last reload of files was ok; 1 before the first."}
	dials         = family{"tcps_target_dials_total", counter, []string{"target", "result"}, "Dials of a tunnel's targets: ok, or the reason."}
	dialling      = family{"tcps_target_dial_duration_seconds", histogram, []string{"target"}, "Time that dialling a target took, its handshake included, where it was reached."}
)

// The families whose values are looked up when somebody asks.
var (
	open          = family{"tcps_connections_open", gauge, []string{"state"}, "Connections that are open: in their handshake, or served."}
	received      = family{"tcps_received_bytes_total", counter, nil, "Bytes that came from clients, open connections included; without those of TLS."}
	sent          = family{"tcps_sent_bytes_total", counter, nil, "Bytes that were sent to clients, open connections included; without those of TLS."}
	expiry        = family{"tcps_certificate_expiry_timestamp_seconds", gauge, []string{"name"}, "When the certificate for a name ends, as Unix time."}
	members       = family{"tcps_room_members", gauge, nil, "Members of the room."}
	said          = family{"tcps_room_messages_total", counter, nil, "Messages that members have said."}
	delivered     = family{"tcps_room_deliveries_total", counter, nil, "Messages that were written to a member."}
	missed        = family{"tcps_room_missed_total", counter, nil, "Messages that slow members have not got."}
	cut           = family{"tcps_room_slow_members_total", counter, nil, "Members that were put out because they did not read."}
	targetOpen    = family{"tcps_target_connections_open", gauge, []string{"target"}, "Connections to a target, those that are being dialled too."}
	targetUp      = family{"tcps_target_up", gauge, []string{"target"}, "Whether a target is in: 1, or 0 while it is left out since it failed."}
	programs      = family{"tcps_programs_running", gauge, nil, "Programs that run for connections."}
	programsBegun = family{"tcps_programs_started_total", counter, nil, "Programs that were started for connections."}

	whenAsked = []family{open, received, sent, expiry, members, said, delivered, missed, cut, targetOpen, targetUp, programs, programsBegun}
)

// The bounds of histograms, in seconds: of what should be quick, and of lives.
var (
	durationBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	lifeBounds     = []float64{.01, .1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600}
)

// define makes the families that are filled as events come, and describes the others.
func (m *Collector) define(labels prometheus.Labels) {
	add := func(c prometheus.Collector) { m.all = append(m.all, c) }
	count := func(f family) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name, Help: f.help, ConstLabels: labels}, f.labels)
		if len(f.labels) == 0 {
			v.WithLabelValues() // 0 is a figure too
		}
		add(v)
		return v
	}
	measure := func(f family, bounds []float64) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.name, Help: f.help, ConstLabels: labels, Buckets: bounds}, f.labels)
		add(v)
		return v
	}
	m.accepted, m.refused, m.ended, m.failed = count(accepted), count(refused), count(ended), count(failed)
	m.handshakes, m.policyRefused, m.acceptFailed = count(handshakes), count(policyRefused), count(acceptFailed)
	m.trusted, m.ticketsFailed, m.reloads, m.dials = count(trustChanged), count(ticketsFailed), count(reloads), count(dials)
	m.living = measure(living, lifeBounds).WithLabelValues()
	m.handshaking = measure(handshaking, durationBounds).WithLabelValues()
	m.dialling = measure(dialling, durationBounds)
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{Name: reloadedWell.name, Help: reloadedWell.help, ConstLabels: labels})
	m.reloaded.Set(1)
	add(m.reloaded)
	m.described = make(map[string]*prometheus.Desc)
	for _, f := range whenAsked {
		m.described[f.name] = prometheus.NewDesc(f.name, f.help, f.labels, labels)
	}
}
