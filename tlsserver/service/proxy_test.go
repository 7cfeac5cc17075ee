package service_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// headerTarget takes one connection, reads a header as go-proxyproto does, and
// returns it when the connection has said and heard "ok".
func headerTarget(t *testing.T) (endpoint string, header func() *proxyproto.Header) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	headers := make(chan *proxyproto.Header, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(headers)
				return
			}
			r := bufio.NewReader(c)
			h, err := proxyproto.Read(r)
			if err == nil {
				headers <- h
				io.Copy(c, r)
			}
			c.Close()
		}
	}()
	return "tcp://" + l.Addr().String(), func() *proxyproto.Header {
		select {
		case h := <-headers:
			if h == nil {
				t.Fatal("no header came")
			}
			return h
		case <-time.After(20 * time.Second):
			t.Fatal("no header came in time")
			panic("unreachable")
		}
	}
}

// echoed says something and has it back.
func echoed(t *testing.T, c halfConn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "abc")
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "abc" || err != nil {
		t.Fatalf("came back as %q, %v", got, err)
	}
}

func valueOf(h *proxyproto.Header, kind proxyproto.PP2Type) string {
	tlvs, _ := h.TLVs()
	for _, tlv := range tlvs {
		if tlv.Type == kind {
			return string(tlv.Value)
		}
	}
	return ""
}

// saidOfTLS is the SSL TLV in words.
func saidOfTLS(t *testing.T, h *proxyproto.Header) string {
	t.Helper()
	tlvs, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	ssl, ok := tlvparse.FindSSL(tlvs)
	if !ok {
		return "none"
	}
	version, _ := ssl.SSLVersion()
	cipher, _ := ssl.SSLCipher()
	cn, _ := ssl.ClientCN()
	return fmt.Sprintf("%s %s cn=%q verified=%v conn=%v sess=%v alpn=%q name=%q", version, cipher, cn, ssl.Verified(), ssl.ClientCertConn(), ssl.ClientCertSess(),
		valueOf(h, proxyproto.PP2_TYPE_ALPN), valueOf(h, proxyproto.PP2_TYPE_AUTHORITY))
}

func TestProxyOutTellsTheTargetItsClient(t *testing.T) {
	for _, version := range []byte{1, 2} {
		endpoint, header := headerTarget(t)
		s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: service.NewTargets(endpoint), ProxyOut: version})
		s.StartPlain()
		c := s.Dial(&tlsclient.Dialer{})
		echoed(t, c)
		h := header()
		if h.Version != version || h.SourceAddr.String() != c.LocalAddr().String() || h.DestinationAddr.String() != s.Addr {
			t.Errorf("v%d says %v to %v in v%d", version, h.SourceAddr, h.DestinationAddr, h.Version)
		}
		if got := saidOfTLS(t, h); got != "none" {
			t.Errorf("of a plain client: %s", got)
		}
	}
}

func TestProxyOutTellsOfTLS(t *testing.T) {
	endpoint, header := headerTarget(t)
	s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: service.NewTargets(endpoint), ProxyOut: 2})
	s.Trust.ClientCAs, s.Trust.ClientAuth = s.Authority.Pool(), tlsserver.ClientAuthOptional
	s.Config.NextProtos = []string{"postgresql"}
	s.Start()
	for _, test := range []struct {
		d         *tlsclient.Dialer
		version   uint16
		protos    []string
		want      string
		withAgain string // resumed
	}{
		{s.Dialer(), tls.VersionTLS13, nil, `TLSv1.3 TLS_AES_128_GCM_SHA256 cn="" verified=false conn=false sess=false alpn="" name="localhost"`, ""},
		{s.Dialer(), tls.VersionTLS12, []string{"postgresql"}, `TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 cn="" verified=false conn=false sess=false alpn="postgresql" name="localhost"`, ""},
		{
			s.DialerAs("billing"), tls.VersionTLS12, nil, `TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 cn="billing" verified=true conn=true sess=true alpn="" name="localhost"`,
			`TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 cn="billing" verified=true conn=false sess=true alpn="" name="localhost"`,
		},
	} {
		test.d.MaxVersion, test.d.NextProtos = test.version, test.protos
		test.d.Sessions = tls.NewLRUClientSessionCache(1)
		for _, want := range []string{test.want, test.withAgain} {
			if want == "" {
				continue
			}
			echoed(t, s.Dial(test.d))
			if got := saidOfTLS(t, header()); got != want {
				t.Errorf("says %s\nwant %s", got, want)
			}
		}
	}
}

func TestProxyOutNamesEverySuiteAsOpenSSLDoes(t *testing.T) {
	endpoint, header := headerTarget(t)
	s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: service.NewTargets(endpoint), ProxyOut: 2})
	s.Config.MaxVersion = tls.VersionTLS12
	s.Start()
	for suite, want := range map[uint16]string{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
	} {
		c, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost", CipherSuites: []uint16{suite}})
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, c)
		c.Close()
		if got := saidOfTLS(t, header()); !strings.Contains(got, " "+want+" ") {
			t.Errorf("says %s, want %s", got, want)
		}
	}
}

func TestProxyOutPassesOnWhatCameIn(t *testing.T) {
	endpoint, header := headerTarget(t)
	s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: service.NewTargets(endpoint), ProxyOut: 2})
	s.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	s.StartPlain()
	for _, line := range []string{"192.0.2.7:5 198.51.100.9:443", "[2001:db8::7]:5 [2001:db8::9]:443", "[2001:db8::7]:5 198.51.100.9:443"} {
		from, to, _ := strings.Cut(line, " ")
		in := proxyproto.HeaderProxyFromAddrs(1, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		b, err := in.Format()
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, s.Dial(&tlsclient.Dialer{Preamble: func(net.Addr, net.Addr) ([]byte, error) { return b, nil }}))
		if h := header(); h.SourceAddr.String() != in.SourceAddr.String() || h.DestinationAddr.String() != in.DestinationAddr.String() {
			t.Errorf("says %v to %v, want %s", h.SourceAddr, h.DestinationAddr, line)
		}
	}
}

func TestProxyOutOfAClientWithoutAnAddress(t *testing.T) {
	for _, version := range []byte{1, 2} {
		endpoint, header := headerTarget(t)
		s := &tlsserver.Server{Handler: &service.Forward{Targets: service.NewTargets(endpoint), ProxyOut: version}}
		at := "unix://" + t.TempDir() + "/s"
		l, err := tlsserver.Listen(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.ServePlain(context.Background(), l) }()
		c, err := (&tlsclient.Dialer{}).Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, c)
		c.Close()
		if h := header(); h.Version != version || !h.Command.IsLocal() {
			t.Errorf("v%d says %v of %v", version, h.Command, h.SourceAddr)
		}
		s.Close()
		<-served
	}
}

func TestProxyOutComesBeforeTLSToTheTarget(t *testing.T) {
	target := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		_, err := io.WriteString(c, c.RemoteAddr().String())
		return err
	}))
	target.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	target.Start()
	targets := service.NewTargets(target.Endpoint)
	targets.SetDialer(target.Dialer())
	s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: targets, ProxyOut: 2})
	s.StartPlain()
	c := s.Dial(&tlsclient.Dialer{})
	if got, err := io.ReadAll(c); string(got) != c.LocalAddr().String() || err != nil {
		t.Errorf("the target saw %q, %v; want %s", got, err, c.LocalAddr())
	}
}

func TestAProxyHeaderOfOurOwn(t *testing.T) {
	for _, version := range []byte{1, 2} {
		endpoint, header := headerTarget(t)
		d := &tlsclient.Dialer{Preamble: func(local, remote net.Addr) ([]byte, error) {
			return service.OwnProxyHeader(version, local, remote)
		}}
		c, err := d.Dial(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, c)
		c.Close()
		h := header()
		if h.Version != version || h.SourceAddr.String() != c.LocalAddr().String() || h.DestinationAddr.String() != c.RemoteAddr().String() {
			t.Errorf("v%d says %v to %v in v%d; the connection is from %v to %v", version, h.SourceAddr, h.DestinationAddr, h.Version, c.LocalAddr(), c.RemoteAddr())
		}
	}
}

func TestProxyHeaderOfChecksNamesNobody(t *testing.T) {
	for _, version := range []byte{1, 2} {
		endpoint, header := headerTarget(t)
		targets := service.NewTargets(endpoint)
		targets.Check, targets.CheckEvery, targets.CheckPreamble = service.CheckTLS, time.Hour, service.LocalProxyHeader(version)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { targets.Run(ctx); close(done) }()
		if h := header(); h.Version != version || !h.Command.IsLocal() {
			t.Errorf("v%d says %v", version, h.Command)
		}
		cancel()
		<-done
	}
}

// named is a target that says its name and ends.
func named(t *testing.T, name string) *service.Targets {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		_, err := io.WriteString(c, name)
		return err
	}))
	s.StartPlain()
	return service.NewTargets(s.Endpoint)
}

func TestRoutes(t *testing.T) {
	forward := &service.Forward{
		Targets: named(t, "else"),
		Routes: service.Routes{
			Names:  map[string]*service.Targets{"a.localhost": named(t, "a"), "*.localhost": named(t, "any"), "localhost": named(t, "localhost")},
			Protos: map[string]*service.Targets{"h2": named(t, "h2")},
		},
	}
	s := tlstest.NewUnstartedServer(t, forward)
	s.Config.NextProtos = []string{"h2", "x"}
	s.Start()
	visit := func(name string, protos ...string) string {
		c, err := tls.Dial("tcp", s.Addr, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protos})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	for _, test := range []struct {
		name, proto, want string
	}{
		{"a.localhost", "", "a"},
		{"A.LocalHost", "", "a"},
		{"b.localhost", "", "any"},
		{"b.a.localhost", "", "else"},
		{"localhost", "", "localhost"},
		{"example.org", "", "else"},
		{"", "", "else"},
		{"", "h2", "h2"},
		{"example.org", "h2", "h2"},
		{"a.localhost", "h2", "a"}, // the name decides first
		{"example.org", "x", "else"},
	} {
		var protos []string
		if test.proto != "" {
			protos = []string{test.proto}
		}
		if got := visit(test.name, protos...); got != test.want {
			t.Errorf("%q with %q led to %q, want %q", test.name, test.proto, got, test.want)
		}
	}
}

func TestRoutesAndNowhereElse(t *testing.T) {
	for _, test := range []struct {
		routes service.Routes
		want   tlsserver.Reason
	}{
		{service.Routes{Names: map[string]*service.Targets{"a.localhost": named(t, "a")}}, tlsserver.ReasonSNI},
		{service.Routes{Protos: map[string]*service.Targets{"h2": named(t, "h2")}}, tlsserver.ReasonALPN},
	} {
		s := tlstest.NewServer(t, &service.Forward{Routes: test.routes})
		c := s.Dial(s.Dialer())
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("got %q, %v; want a clean end", got, err)
		}
		c.Close()
		if e := s.WaitEnded(); e.Reason != test.want || e.Err == nil {
			t.Errorf("ended for %s: %v", e.Reason, e.Err)
		}
	}
}

func TestRoutesOfTLSThatGoesThrough(t *testing.T) {
	target := func() (*tlstest.Server, *service.Targets) {
		s := tlstest.NewServer(t, service.Echo())
		return s, service.NewTargets("tcp://" + s.Addr)
	}
	a, toA := target()
	b, toB := target()
	forward := &service.Forward{Routes: service.Routes{
		Names:  map[string]*service.Targets{"localhost": toA},
		Protos: map[string]*service.Targets{"spoken-by-b": toB},
	}}
	s := tlstest.NewUnstartedServer(t, forward)
	s.StartPassthrough()
	c, err := a.Dialer().Dial(t.Context(), s.Endpoint) // the certificate is a's own
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoed(t, c)
	d, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: b.Authority.Pool(), ServerName: "127.0.0.1", NextProtos: []string{"x", "spoken-by-b"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	echoed(t, d)
}
