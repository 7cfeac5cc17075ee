package metrics_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/metrics"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// A counted is a server whose Observer is a Collector.
type counted struct {
	*tlstest.Server
	collector *metrics.Collector
	registry  *prometheus.Registry
}

func newCounted(t testing.TB, h tlsserver.Handler) counted {
	t.Helper()
	c := counted{tlstest.NewUnstartedServer(t, h), metrics.New("test", nil), prometheus.NewPedanticRegistry()}
	c.Config.Observer = c.collector
	c.collector.Watch(h)
	c.registry.MustRegister(c.collector)
	return c
}

// values are all that a scrape would see: name{label="value",…} without the label
// service, and of histograms the number of what was observed.
func (c counted) values(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, one := range f.Metric {
			var labels []string
			for _, l := range one.Label {
				if l.GetName() != "service" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				} else if l.GetValue() != "test" {
					t.Errorf("%s is of the service %q", f.GetName(), l.GetValue())
				}
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			all[name] = one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func (c counted) want(t testing.TB, want map[string]float64) {
	t.Helper()
	got := c.values(t)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if t.Failed() {
		for name, value := range got {
			t.Log(name, value)
		}
	}
}

func say(t testing.TB, c io.ReadWriter, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
}

// The bytes of connections that are open count too, and not twice once these have
// ended.
func TestConnectionsAndTheirBytesAreCounted(t *testing.T) {
	s := newCounted(t, service.Echo())
	s.Start()
	d := s.Dialer()
	d.Sessions = tls.NewLRUClientSessionCache(1)
	first := s.Dial(d)
	say(t, first, "hello")
	s.want(t, map[string]float64{
		`tcps_connections_open{state="served"}`: 1, "tcps_connections_accepted_total": 1,
		"tcps_received_bytes_total": 5, "tcps_sent_bytes_total": 5, "tcps_connection_duration_seconds": 0,
		`tcps_handshakes_total{group="X25519MLKEM768",resumed="no",version="TLS 1.3"}`: 1,
		"tcps_handshake_duration_seconds":                                              1,
	})
	first.Close()
	s.WaitEnded()
	second := s.Dial(d)
	say(t, second, "again!")
	s.want(t, map[string]float64{
		`tcps_connections_open{state="served"}`: 1, `tcps_connections_ended_total{reason="done"}`: 1,
		"tcps_received_bytes_total": 11, "tcps_sent_bytes_total": 11, "tcps_connection_duration_seconds": 1,
		`tcps_handshakes_total{group="X25519MLKEM768",resumed="yes",version="TLS 1.3"}`: 1,
	})
}

func TestRefusalsAreCountedByReasonAndKindOfRule(t *testing.T) {
	s := newCounted(t, service.Echo())
	s.Config.Limits.MaxConnsPerAddress, s.Config.Limits.CountLoopback = 1, true
	rule, err := tlsserver.ParseRule(tlsserver.RuleCN, "mallory")
	if err != nil {
		t.Fatal(err)
	}
	s.Trust.ClientCAs, s.Trust.Policy = s.Authority.Pool(), &tlsserver.Policy{Deny: []tlsserver.Rule{rule}}
	s.Start()
	for _, hello := range []string{"GET / HTTP/1.1\r\n\r\n", ""} {
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, hello)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		s.WaitEnded()
	}
	if c, err := s.DialerAs("mallory").Dial(t.Context(), s.Endpoint); err == nil {
		c.Read(make([]byte, 1))
		c.Close()
	}
	s.WaitEnded()
	c := s.Dial(s.DialerAs("alice"))
	say(t, c, "x")
	if over, err := s.DialerAs("alice").Dial(t.Context(), s.Endpoint); err == nil {
		over.Close()
	}
	s.Config.SetAddressRules(&tlsserver.AddressRules{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s.WaitEnded()
	s.want(t, map[string]float64{
		`tcps_handshake_failures_total{reason="not-tls"}`: 1, `tcps_connections_ended_total{reason="not-tls"}`: 1,
		`tcps_handshake_failures_total{reason="closed-before-hello"}`: 1, `tcps_handshake_failures_total{reason="policy"}`: 1,
		`tcps_policy_refusals_total{rule="deny-cn"}`: 1, `tcps_policy_refusals_total{rule="deny-from"}`: 1,
		`tcps_connections_refused_total{reason="limit:address"}`: 1, `tcps_connections_ended_total{reason="policy"}`: 2,
		`tcps_connections_open{state="served"}`: 0, `tcps_connections_open{state="handshake"}`: 0,
	})
}

func TestCertificatesAndReloadsAreTold(t *testing.T) {
	s := newCounted(t, service.Echo())
	s.Start()
	leaf, err := s.Trust.Source.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, map[string]float64{
		`tcps_certificate_expiry_timestamp_seconds{name="localhost"}`: float64(leaf.Leaf.NotAfter.Unix()),
		"tcps_trust_changes_total":                                    1, "tcps_last_reload_successful": 1,
	})
	s.collector.Reloaded(errors.New("the key belongs to another certificate"))
	s.want(t, map[string]float64{`tcps_reloads_total{result="refused"}`: 1, "tcps_last_reload_successful": 0})
	s.collector.Reloaded(nil)
	s.want(t, map[string]float64{`tcps_reloads_total{result="ok"}`: 1, "tcps_last_reload_successful": 1})
}

// Whoever configures a name may make it long; that there are many of them is bounded.
func TestCertificatesOfManyNamesAreBounded(t *testing.T) {
	leaf := &x509.Certificate{NotAfter: time.Unix(2000, 0)}
	for i := range 5000 {
		leaf.DNSNames = append(leaf.DNSNames, fmt.Sprintf("n%d.test", i))
	}
	soon := &x509.Certificate{NotAfter: time.Unix(1000, 0), DNSNames: []string{"soon.test"}}
	s := counted{nil, metrics.New("test", nil), prometheus.NewPedanticRegistry()}
	s.registry.MustRegister(s.collector)
	s.collector.Observe(tlsserver.TrustChanged{Trust: &tlsserver.Trust{Source: leaves{leaf, soon}}})
	n := 0
	for name := range s.values(t) {
		if strings.HasPrefix(name, "tcps_certificate_expiry_timestamp_seconds") {
			n++
		}
	}
	if n != 1000 {
		t.Errorf("%d names, want 1000", n)
	}
	s.want(t, map[string]float64{`tcps_certificate_expiry_timestamp_seconds{name="soon.test"}`: 1000})
}

type leaves []*x509.Certificate

func (l leaves) Leaves() []*x509.Certificate { return l }
func (leaves) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, errors.ErrUnsupported
}

func TestARoomsFiguresAreTold(t *testing.T) {
	s := newCounted(t, &service.Broadcast{})
	s.Start()
	first := s.Dial(s.Dialer())
	welcome := make([]byte, 8)
	for _, c := range []net.Conn{first, s.Dial(s.Dialer())} {
		if _, err := io.ReadFull(c, welcome); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(first, "one\n")
	first.Close()
	s.WaitEnded()
	s.want(t, map[string]float64{"tcps_room_members": 1, "tcps_room_messages_total": 1, "tcps_room_slow_members_total": 0, "tcps_room_missed_total": 0})
	if got := s.values(t)["tcps_room_deliveries_total"]; got < 2 {
		t.Errorf("%v deliveries, want the two welcomes and more", got)
	}
}

func TestATunnelsTargetsAreTold(t *testing.T) {
	good := tlstest.NewServer(t, service.Greet("x", service.Discard()))
	l, err := net.Listen("tcp", "127.0.0.1:0") // that nobody listens on soon
	if err != nil {
		t.Fatal(err)
	}
	bad := "tcp://" + l.Addr().String()
	l.Close()
	targets := service.NewTargets(bad, good.Endpoint)
	targets.Balance = service.First
	targets.SetDialer(good.Dialer())
	s := newCounted(t, &service.Forward{Targets: targets})
	targets.Observe = s.collector.ObserveTarget
	s.StartPlain()
	c := s.Dial(&tlsclient.Dialer{})
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.want(t, map[string]float64{
		fmt.Sprintf("tcps_target_up{target=%q}", bad): 0, fmt.Sprintf("tcps_target_up{target=%q}", good.Endpoint): 1,
		fmt.Sprintf("tcps_target_connections_open{target=%q}", good.Endpoint):          1,
		fmt.Sprintf("tcps_target_dials_total{result=\"ok\",target=%q}", good.Endpoint): 1,
		fmt.Sprintf("tcps_target_dials_total{result=\"failed\",target=%q}", bad):       1,
		fmt.Sprintf("tcps_target_dial_duration_seconds{target=%q}", good.Endpoint):     1,
		`tcps_connections_open{state="served"}`:                                        1, "tcps_handshake_duration_seconds": 0,
	})
	c.Close()
}

// Who wraps another Observer takes nothing from it: it hears all, and sees the
// bytes if it wants to, but only then do connections pay for that.
func TestEventsAndBytesGoOn(t *testing.T) {
	seen := &seer{}
	m := metrics.New("test", seen)
	if _, ok := m.Observer().(tlsserver.DataObserver); !ok {
		t.Fatal("the bytes do not go on")
	}
	m.Observer().(tlsserver.DataObserver).ObserveData(nil, tlsserver.Sent, []byte("x"))
	m.Observer().Observe(tlsserver.TicketKeysFailed{})
	if !slices.Equal(seen.heard, []string{"x", "tlsserver.TicketKeysFailed"}) {
		t.Errorf("heard %q", seen.heard)
	}
	if _, ok := metrics.New("test", tlsserver.ObserverFunc(func(tlsserver.Event) {})).Observer().(tlsserver.DataObserver); ok {
		t.Error("bytes are observed for nobody")
	}
}

type seer struct{ heard []string }

func (s *seer) Observe(e tlsserver.Event) { s.heard = append(s.heard, fmt.Sprintf("%T", e)) }

func (s *seer) ObserveData(_ *tlsserver.Conn, _ tlsserver.Direction, b []byte) {
	s.heard = append(s.heard, string(b))
}
