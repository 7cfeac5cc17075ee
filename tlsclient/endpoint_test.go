package tlsclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestAWholeVisitOnEachKindOfEndpoint(t *testing.T) {
	dir, err := os.MkdirTemp("", "tcps") // t.TempDir may be longer than a socket's path can be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := tlstest.NewUnstartedServer(t, service.Echo())
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, scheme := range []string{"tcps", "tcp", "unixs", "unix"} {
		t.Run(scheme, func(t *testing.T) {
			network, addr := "tcp", "127.0.0.1:0"
			if strings.HasPrefix(scheme, "unix") {
				network, addr = "unix", filepath.Join(dir, scheme)
			}
			l := listen(t, network, addr)
			serve := s.Config.Serve
			if !strings.HasSuffix(scheme, "s") {
				serve = s.Config.ServePlain
			}
			served := make(chan error, 1)
			go func() { served <- serve(ctx, l) }()
			t.Cleanup(func() { l.Close(); <-served })

			endpoint := scheme + "://" + l.Addr().String()
			c, err := s.Dialer().Dial(t.Context(), endpoint)
			c = closed(t, c, err)
			if secure := c.TLS() != nil; secure != strings.HasSuffix(scheme, "s") {
				t.Errorf("TLS is spoken: %v", secure)
			}
			if c.RemoteAddr().String() != l.Addr().String() || c.LocalAddr() == nil {
				t.Errorf("remote address %v, local address %v", c.RemoteAddr(), c.LocalAddr())
			}
			if c.TLS() == nil && (c.ID() != "" || c.Untrusted() != nil) {
				t.Errorf("a plain connection has the ID %q, Untrusted %v", c.ID(), c.Untrusted())
			}
			io.WriteString(c, "abc")
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(c); string(b) != "abc" || err != nil {
				t.Errorf("read %q, %v; want abc and the end", b, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
}

func TestAUnixSocketNeedsAServerName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if len(path) > 100 {
		t.Skipf("the temporary folder's path is too long for a socket: %d bytes", len(path))
	}
	l := listen(t, "unix", path)
	serveOn(t, l, untilEnd)
	_, err := new(tlsclient.Dialer).Dial(t.Context(), "unixs://"+path)
	wantFailure(t, err, "failed", 1, "shake hands with unixs://"+path)
	if !strings.Contains(err.Error(), "ServerName") {
		t.Errorf("error %q does not say what to do", err)
	}
}

func TestNetworkRestrictsTheFamily(t *testing.T) {
	a := newAuthority(t)
	addr := serveTLS(t, a.config(t), greet)
	_, port, _ := net.SplitHostPort(addr)
	endpoint := "tcps://localhost:" + port
	c, err := (&tlsclient.Dialer{RootCAs: a.pool(), Network: "tcp4"}).Dial(t.Context(), endpoint)
	if c = closed(t, c, err); !addrOf(c.RemoteAddr()).Is4() {
		t.Errorf("tcp4 has dialled %v", c.RemoteAddr())
	}
	_, err = (&tlsclient.Dialer{RootCAs: a.pool(), Network: "tcp6"}).Dial(t.Context(), endpoint)
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || !failed.NotReached {
		t.Errorf("tcp6 to a server on 127.0.0.1 alone: %v; want it not reached", err)
	}
	_, err = (&tlsclient.Dialer{RootCAs: a.pool()}).DialContext(t.Context(), "tcp6", addr)
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || !failed.NotReached {
		t.Errorf("DialContext with tcp6 to %s: %v; want it not reached", addr, err)
	}
}

func addrOf(a net.Addr) netip.Addr { return a.(*net.TCPAddr).AddrPort().Addr() }

func TestLocalAddrIsDialledFrom(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere 127.0.0.2 is no address of the machine")
	}
	s := tlstest.NewServer(t, service.Discard())
	d := s.Dialer()
	d.LocalAddr = netip.MustParseAddr("127.0.0.2")
	c := s.Dial(d)
	if got := addrOf(c.LocalAddr()); got != d.LocalAddr {
		t.Errorf("dialled from %v, want %v", got, d.LocalAddr)
	}
	d.LocalAddr = netip.MustParseAddr("192.0.2.1") // TEST-NET-1 (RFC 5737) is nobody's
	_, err := d.Dial(t.Context(), s.Endpoint)
	if failed := wantFailure(t, err, "failed", 1, "connect to "+s.Endpoint); !failed.NotReached || !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("%v: want EADDRNOTAVAIL, not reached", err)
	}
}

// A name with addresses of both families is reached by whichever answers.
func TestLocalhostIsReachedOnEitherFamily(t *testing.T) {
	a := newAuthority(t)
	ips, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			if !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Unmap() == netip.MustParseAddr(host) }) {
				t.Skipf("on this machine localhost is %v", ips)
			}
			l := listen(t, "tcp", net.JoinHostPort(host, "0"))
			config := a.config(t)
			serveOn(t, l, func(nc net.Conn) { greet(tls.Server(nc, config)) })
			_, port, _ := net.SplitHostPort(l.Addr().String())
			start := time.Now()
			c, err := (&tlsclient.Dialer{RootCAs: a.pool()}).Dial(t.Context(), "localhost:"+port)
			wantGreeting(t, closed(t, c, err))
			took(t, start, "reaching localhost on "+host)
		})
	}
}

func TestAnIPv6AddressIsDialled(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} })}}
	serveOn(t, l, func(nc net.Conn) { greet(tls.Server(nc, config)) })
	c, err := (&tlsclient.Dialer{RootCAs: a.pool(), Network: "tcp6"}).Dial(t.Context(), "tcps://"+l.Addr().String())
	wantGreeting(t, closed(t, c, err))
}

func TestDialContextServesHTTPTransport(t *testing.T) {
	a := newAuthority(t)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s", r.URL.Path, tls.VersionName(r.TLS.Version))
	}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.TLS = a.config(t)
	web.StartTLS()
	defer web.Close()
	transport := &http.Transport{DialTLSContext: (&tlsclient.Dialer{RootCAs: a.pool()}).DialContext}
	defer transport.CloseIdleConnections()
	for range 2 {
		r, err := (&http.Client{Transport: transport}).Get(web.URL + "/page")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if string(b) != "/page over TLS 1.3" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
	}
	stranger := &http.Transport{DialTLSContext: new(tlsclient.Dialer).DialContext}
	_, err := (&http.Client{Transport: stranger}).Get(web.URL)
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != "untrusted" {
		t.Errorf("through http: %v; want the *Error, untrusted", err)
	}
}

func TestDialContextDialsUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if len(path) > 100 {
		t.Skipf("the temporary folder's path is too long for a socket: %d bytes", len(path))
	}
	a := newAuthority(t)
	config := a.config(t)
	serveOn(t, listen(t, "unix", path), func(nc net.Conn) { greet(tls.Server(nc, config)) })
	c, err := (&tlsclient.Dialer{RootCAs: a.pool(), ServerName: "localhost"}).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantGreeting(t, c)
}

func TestALPNIsNegotiated(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.NextProtos = []string{"b", "a"}
	d := &tlsclient.Dialer{RootCAs: a.pool(), NextProtos: []string{"a", "b"}}
	c, err := d.Dial(t.Context(), serveTLS(t, config, greet))
	if got := closed(t, c, err).TLS().NegotiatedProtocol; got != "b" {
		t.Errorf("negotiated %q, want the server's choice, b", got)
	}
}
