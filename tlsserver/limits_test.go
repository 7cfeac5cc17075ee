package tlsserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// A limitedServer is plain, and tells what it refused.
type limitedServer struct {
	*tlstest.Server
	refused chan tlsserver.Refused
}

func newLimited(t *testing.T, limits tlsserver.Limits) *limitedServer {
	t.Helper()
	s := &limitedServer{tlstest.NewUnstartedServer(t, service.Echo()), make(chan tlsserver.Refused, 100)}
	s.Config.Limits = limits
	s.Config.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if e, ok := e.(tlsserver.Refused); ok {
			s.refused <- e
		}
	})
	return s
}

// dialFrom connects from one of this machine's addresses.
func (s *limitedServer) dialFrom(t *testing.T, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// served is a connection that has said something, and got it back.
func (s *limitedServer) served(t *testing.T, c net.Conn) {
	t.Helper()
	if err := echoed(c); err != nil {
		t.Fatalf("a connection that is within the limits: %v", err)
	}
}

func echoed(c net.Conn) error {
	if _, err := io.WriteString(c, "ping"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// refusedFor waits for the end of a connection that is beyond a limit.
func (s *limitedServer) refusedFor(t *testing.T, c net.Conn, want tlsserver.Reason, says string) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatal("a connection that is beyond a limit got a byte")
	}
	e := <-s.refused
	if e.Reason != want || !strings.Contains(fmt.Sprint(e.Err), says) {
		t.Errorf("refused for %q (%v), want %q and %q", e.Reason, e.Err, want, says)
	}
	if e.Peer.String() != c.LocalAddr().String() || e.Listener.String() != s.Addr {
		t.Errorf("the event is about %v at %v", e.Peer, e.Listener)
	}
}

func (s *limitedServer) end(t *testing.T, c net.Conn) {
	t.Helper()
	c.Close()
	wantReason(t, s.Server, tlsserver.ReasonDone)
}

func TestNoMoreConnectionsThanMaxConns(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{MaxConns: 2})
	s.StartPlain()
	first, second := s.dialFrom(t, "127.0.0.1"), s.dialFrom(t, "127.0.0.1")
	s.served(t, first)
	s.served(t, second)
	s.refusedFor(t, s.dialFrom(t, "127.0.0.1"), "limit:connections", "2 connections are open")
	s.served(t, second)
	s.end(t, first)
	s.served(t, s.dialFrom(t, "127.0.0.1"))
}

// Who is silent does not keep out who is not.
func TestOfMaxConnsWhoWaitsForItsHelloGivesWay(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{MaxConns: 3})
	s.Start()
	first := dialTLS(t, s.Server, clientConfig(s.Server, tls.VersionTLS13))
	s.served(t, first)
	silent := []net.Conn{s.dialFrom(t, "127.0.0.1"), s.dialFrom(t, "127.0.0.1")}
	for range 2 {
		s.served(t, dialTLS(t, s.Server, clientConfig(s.Server, tls.VersionTLS13)))
		wantReason(t, s.Server, "limit:connections")
	}
	for _, c := range silent {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a silent connection got a byte")
		}
	}
	s.refusedFor(t, s.dialFrom(t, "127.0.0.1"), "limit:connections", "3 connections are open")
	s.served(t, first)
}

func TestNoMoreConnectionsASecondThanRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused []error
		b := newBubble(t, &tlsserver.Server{
			Handler: silent,
			Limits:  tlsserver.Limits{Rate: 3},
			Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
				if e, ok := e.(tlsserver.Refused); ok && e.Reason == "limit:rate" {
					refused = append(refused, e.Err)
				}
			}),
		})
		for second := range 3 {
			served := 0
			for range 5 {
				c := tls.Client(b.listener.dial(), b.config())
				if err := c.Handshake(); err == nil {
					served++
				}
				c.Close()
			}
			if served != 3 {
				t.Errorf("in second %d %d connections were served, want 3", second, served)
			}
			time.Sleep(time.Second)
		}
		if len(refused) != 6 {
			t.Errorf("%d were refused, want 6", len(refused))
		}
		b.close()
	})
}

func TestNoMoreConnectionsFromAnAddressThanMaxConnsPerAddress(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{MaxConnsPerAddress: 2, CountLoopback: true})
	s.StartPlain()
	first, second := s.dialFrom(t, "127.0.0.1"), s.dialFrom(t, "127.0.0.1")
	s.served(t, first)
	s.served(t, second)
	s.refusedFor(t, s.dialFrom(t, "127.0.0.1"), "limit:address", "2 connections are open from 127.0.0.1")
	s.served(t, s.dialFrom(t, "127.0.0.2"))
	s.end(t, first)
	s.served(t, s.dialFrom(t, "127.0.0.1"))
	s.refusedFor(t, s.dialFrom(t, "127.0.0.1"), "limit:address", "")
}

func TestNoMoreConnectionsASecondFromAnAddressThanRatePerAddress(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{RatePerAddress: 1, CountLoopback: true})
	s.StartPlain()
	for { // until two have come within a second
		if echoed(s.dialFrom(t, "127.0.0.1")) != nil {
			break
		}
	}
	if e := <-s.refused; e.Reason != "limit:address-rate" || !strings.Contains(e.Err.Error(), "1 connections have come from 127.0.0.1 within a second") {
		t.Errorf("refused for %q (%v), want limit:address-rate", e.Reason, e.Err)
	}
	s.served(t, s.dialFrom(t, "127.0.0.2"))
}

func TestLoopbackDoesNotCountByAddress(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{MaxConnsPerAddress: 1, RatePerAddress: 1})
	s.StartPlain()
	for range 5 {
		s.served(t, s.dialFrom(t, "127.0.0.1"))
	}
}

// The limits by address are for the client that a proxy names, and never for
// the proxy, which may be many clients.
func TestClientsOfAProxyCountEachForItself(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{MaxConnsPerAddress: 1})
	s.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: trustLoopback, Optional: true}
	s.StartPlain()
	visit := func(header string) net.Conn {
		c := s.dialFrom(t, "127.0.0.1")
		io.WriteString(c, header)
		return c
	}
	tcp4 := func(address string) string { return "PROXY TCP4 " + address + " 198.51.100.9 56324 443\r\n" }
	tcp6 := func(address string) string { return "PROXY TCP6 " + address + " 2001:db8::9 56324 443\r\n" }
	first := visit(tcp4("192.0.2.7"))
	s.served(t, first)
	s.served(t, visit(tcp4("192.0.2.8")))
	s.served(t, visit(tcp6("2001:db8:0:1::7")))
	s.served(t, visit(tcp6("2001:db8:0:2::7")))
	for header, says := range map[string]string{
		tcp4("192.0.2.7"):            "1 connections are open from 192.0.2.7",
		tcp6("2001:db8:0:1:ffff::1"): "1 connections are open from 2001:db8:0:1::/64",
		"PROXY TCP6 ::ffff:192.0.2.8 ::ffff:198.51.100.9 1 2\r\n": "1 connections are open from 192.0.2.8",
	} {
		if err := echoed(visit(header)); err == nil {
			t.Errorf("a second connection was served: %s", header)
		}
		if e := wantReason(t, s.Server, "limit:address"); !strings.Contains(e.Err.Error(), says) {
			t.Errorf("it ended with %v, want %q", e.Err, says)
		}
	}
	for range 3 { // who comes for itself: without a header, and with one that says so
		s.served(t, visit(""))
		s.served(t, visit(string(v2('\x20', 0, ""))))
	}
	s.end(t, first)
	s.served(t, visit(tcp4("192.0.2.7")))
}

func TestNoMoreConnectionsOfAnIdentityThanMaxConnsPerIdentity(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newLimited(t, tlsserver.Limits{MaxConnsPerIdentity: 1})
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		as := func(names ...string) (net.Conn, error) {
			config := withClient(clientConfig(s.Server, version), s.ClientCertificate(names...))
			c, err := tls.Dial("tcp", s.Addr, config)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { c.Close() })
			if err := echoed(c); err != nil {
				c.Close()
				return nil, err
			}
			return c, nil
		}
		alice, err := as("alice", "email:alice@example.internal")
		if err != nil {
			t.Fatal(err)
		}
		// Another certificate of the same names.
		if _, err := as("alice", "email:alice@example.internal"); alertOf(err) != "bad certificate" {
			t.Errorf("a second connection of alice: %v, want the alert bad_certificate", err)
		}
		if e := wantReason(t, s.Server, "limit:identity"); !strings.Contains(e.Err.Error(), "1 connections of alice are open") {
			t.Errorf("it ended with %v", e.Err)
		}
		if _, err := as("alice"); err != nil {
			t.Errorf("an alice of other names: %v", err)
		}
		alice.Close()
		s.WaitEnded()
		if _, err := as("alice", "email:alice@example.internal"); err != nil {
			t.Errorf("alice, after she has left: %v", err)
		}
	})
}

func TestBeyondItsMemoryTheServerKeepsWhatItHas(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{Memory: taken() + 64<<20})
	s.StartPlain()
	first := s.dialFrom(t, "127.0.0.1")
	s.served(t, first)

	ballast := make([]byte, 128<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	for { // it asks the runtime but so often
		c := s.dialFrom(t, "127.0.0.1")
		if echoed(c) != nil {
			break
		}
	}
	if e := <-s.refused; e.Reason != "limit:memory" {
		t.Errorf("refused for %q (%v), want limit:memory", e.Reason, e.Err)
	}
	s.served(t, first)

	ballast[0], ballast = 2, nil
	debug.FreeOSMemory()
	for {
		c := s.dialFrom(t, "127.0.0.1")
		if echoed(c) == nil {
			return
		}
	}
}

// taken is what this process has of the system's memory.
func taken() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

func TestBandwidthHoldsInBothDirections(t *testing.T) {
	for _, direction := range []string{"received", "sent"} {
		t.Run(direction, func(t *testing.T) {
			s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
				if direction == "sent" {
					_, err := c.Write(make([]byte, 200_000))
					return err
				}
				_, err := io.Copy(io.Discard, c)
				return err
			}))
			s.Config.Limits.Bandwidth = 400_000
			s.Start()
			c := dialTLS(t, s, clientConfig(s, tls.VersionTLS13))
			if direction == "received" {
				c.Write(make([]byte, 200_000))
				c.CloseWrite()
			}
			io.Copy(io.Discard, bufio.NewReader(c))
			c.Close()
			// A lower bound only: how much longer it takes is the machine's.
			if e := s.WaitEnded(); e.Duration.Seconds() < 0.35 {
				t.Errorf("200,000 bytes took %v at 400,000 a second, %v", e.Duration, e.Err)
			}
		})
	}
}

func TestAddressRules(t *testing.T) {
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	for _, c := range []struct {
		name  string
		rules *tlsserver.AddressRules
		from  string
		want  tlsserver.Reason // empty: served
	}{
		{"none", nil, "127.0.0.1", ""},
		{"allowed", &tlsserver.AddressRules{Allow: prefixes("127.0.0.2/32")}, "127.0.0.2", ""},
		{"not allowed", &tlsserver.AddressRules{Allow: prefixes("127.0.0.2/32", "10.0.0.0/8", "::/0")}, "127.0.0.1", "policy:allow-from"},
		{"denied", &tlsserver.AddressRules{Deny: prefixes("127.0.0.0/30")}, "127.0.0.3", "policy:deny-from=127.0.0.0/30"},
		{"not denied", &tlsserver.AddressRules{Deny: prefixes("127.0.0.0/30")}, "127.0.0.4", ""},
		{"denied, of the allowed", &tlsserver.AddressRules{Allow: prefixes("127.0.0.0/8"), Deny: prefixes("127.0.0.0/8", "127.0.0.3/32")}, "127.0.0.3", "policy:deny-from=127.0.0.3/32"},
		{"denied as an IPv6 prefix", &tlsserver.AddressRules{Deny: prefixes("::ffff:127.0.0.0/120")}, "127.0.0.3", "policy:deny-from=127.0.0.0/24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newLimited(t, tlsserver.Limits{})
			s.Config.SetAddressRules(c.rules)
			s.StartPlain()
			conn := s.dialFrom(t, c.from)
			if c.want == "" {
				s.served(t, conn)
				return
			}
			s.refusedFor(t, conn, c.want, "address "+c.from+" is refused by the rule")
		})
	}
}

func TestNewAddressRulesEndTheOpenConnectionsThatTheyRefuse(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{})
	s.StartPlain()
	stays, goes := s.dialFrom(t, "127.0.0.1"), s.dialFrom(t, "127.0.0.2")
	s.served(t, stays)
	s.served(t, goes)
	rules := &tlsserver.AddressRules{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	if ended := s.Config.SetAddressRules(rules); ended != 1 {
		t.Errorf("%d connections were ended, want 1", ended)
	}
	if _, err := goes.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that is refused goes on")
	}
	wantReason(t, s.Server, "policy:deny-from=127.0.0.2/32")
	s.served(t, stays)
}

// A proxy's own address does not matter, and what it names does.
func TestAddressRulesAreForTheClientThatAProxyNames(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{})
	s.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: trustLoopback}
	s.Config.SetAddressRules(&tlsserver.AddressRules{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	s.StartPlain()
	named := func(address string) net.Conn {
		c := s.dialFrom(t, "127.0.0.1")
		io.WriteString(c, "PROXY TCP4 "+address+" 198.51.100.9 56324 443\r\n")
		return c
	}
	open := named("192.0.2.7")
	s.served(t, open)
	if echoed(named("203.0.113.1")) == nil {
		t.Error("a client that is not allowed was served")
	}
	wantReason(t, s.Server, "policy:allow-from")
	own := s.dialFrom(t, "127.0.0.1")
	own.Write(v2('\x20', 0, ""))
	s.served(t, own) // the proxy's own health check
	s.Config.SetAddressRules(&tlsserver.AddressRules{Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}})
	wantReason(t, s.Server, "policy:deny-from=192.0.2.7/32")
	s.served(t, own)
}

// What holds is shown with defaults in the place of zeros, and -1 for none.
func TestEffectiveLimits(t *testing.T) {
	got := tlsserver.Limits{MaxConns: 40, MaxHellos: -7, Rate: 3, Memory: -5, IdleTimeout: time.Second}.Effective()
	want := tlsserver.Limits{
		MaxConns: 40, MaxConnsPerAddress: 10, MaxConnsPerIdentity: -1, Rate: 3, RatePerAddress: 200,
		MaxHellos: -1, MaxHandshakes: 256 * runtime.GOMAXPROCS(0), Memory: -1, Bandwidth: -1, IdleTimeout: time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits that hold (-want +got):\n%s", diff)
	}
	if got := (tlsserver.Limits{}).Effective(); got.MaxConns != tlsserver.DefaultMaxConns() {
		t.Errorf("%d connections by default, want %d", got.MaxConns, tlsserver.DefaultMaxConns())
	}
}
