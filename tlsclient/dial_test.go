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

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestTheZeroDialerIsSafe(t *testing.T) {
	unknown := newAuthority(t)
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		reason tlsclient.Reason
		code   int
	}{
		{"unknown authority", func(*tls.Config) {}, "untrusted", 6},
		{"self-signed", func(c *tls.Config) { c.Certificates[0] = new(authority).issue(t, nil) }, "untrusted", 6},
		{"wrong name", func(c *tls.Config) {
			c.Certificates[0] = unknown.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 9)} })
		}, "name", 7},
		{"expired", func(c *tls.Config) {
			c.Certificates[0] = unknown.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		}, "expired", 8},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "version", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := unknown.config(t)
			c.change(config)
			endpoint := "tcps://" + serveTLS(t, config, greet)
			_, err := new(tlsclient.Dialer).Dial(t.Context(), endpoint)
			if failed := wantFailure(t, err, c.reason, c.code, "shake hands with "+endpoint); failed.NotReached {
				t.Error("NotReached is true, but there was a connection")
			}
		})
	}
}

func TestATooOldVersionIsNeverSpokenHoweverTheDialerIsSet(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	endpoint := "tcps://" + serveTLS(t, config, greet)
	d := &tlsclient.Dialer{RootCAs: a.pool(), MinVersion: tls.VersionTLS10}
	_, err := d.Dial(t.Context(), endpoint)
	wantFailure(t, err, "version", 5, "shake hands with "+endpoint)
}

func TestEachFailureOfTheHandshakeHasItsReason(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	trusted := func(change func(*x509.Certificate)) func(*testing.T) string {
		return func(t *testing.T) string {
			config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, change)}}
			return serveTLS(t, config, greet)
		}
	}
	configured := func(change func(*tls.Config)) func(*testing.T) string {
		return func(t *testing.T) string {
			config := a.config(t)
			change(config)
			return serveTLS(t, config, greet)
		}
	}
	raw := func(handle func(net.Conn)) func(*testing.T) string {
		return func(t *testing.T) string { return serve(t, handle) }
	}
	says := func(text string) func(*testing.T) string {
		return raw(func(c net.Conn) {
			io.WriteString(c, text)
			untilEnd(c)
		})
	}
	for _, c := range []struct {
		name   string
		server func(*testing.T) string
		reason tlsclient.Reason
		code   int
	}{
		{"of a foreign authority", func(t *testing.T) string { return serveTLS(t, foreign.config(t), greet) }, "untrusted", 6},
		{"for another name", trusted(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.test"}, nil }), "name", 7},
		{"for no name", trusted(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), "name", 7},
		{"expired", trusted(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired", 8},
		{"not yet valid", trusted(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "not-yet-valid", 8},
		{"a client's", trusted(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "wrong-usage", 6},
		{"TLS 1.1", configured(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), "version", 5},
		{"other ALPN", configured(func(c *tls.Config) { c.NextProtos = []string{"theirs"} }), "alpn", 5},
		{"no such name", configured(func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		}), "sni", 5},
		{"refuses by an error of its own", configured(func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("not today") }
		}), "peer-refused-us:internal_error", 10},
		{"HTTP", says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "not-tls", 5},
		{"SSH", says("SSH-2.0-OpenSSH_9.9\r\n"), "not-tls", 5},
		{"a mail server", says("220 mail.test ESMTP\r\n"), "not-tls", 5},
		{"our own greeting", says("hello\r\n"), "not-tls", 5},
		{"closed at once", raw(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.(*net.TCPConn).CloseWrite()
			untilEnd(c)
		}), "truncated", 11},
		{"cut in the middle of a record", raw(func(c net.Conn) {
			c.Write([]byte{22, 3, 3, 0, 100, 2, 0, 0})
			c.(*net.TCPConn).CloseWrite()
			untilEnd(c)
		}), "truncated", 11},
		{"reset", raw(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.(*net.TCPConn).SetLinger(0)
		}), "reset", 1},
		{"breaks the protocol", says("\x16\x03\x03\x00\x04\x0e\x00\x00\x00"), "malformed", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := "tcps://" + c.server(t)
			d := &tlsclient.Dialer{RootCAs: a.pool(), NextProtos: []string{"ours"}}
			start := time.Now()
			_, err := d.Dial(t.Context(), endpoint)
			if failed := wantFailure(t, err, c.reason, c.code, "shake hands with "+endpoint); failed.NotReached || failed.Timeout() || failed.Temporary() {
				t.Errorf("NotReached %v, Timeout %v, Temporary %v; want none", failed.NotReached, failed.Timeout(), failed.Temporary())
			}
			took(t, start, "the failure")
		})
	}
}

// x509 puts the names of a certificate that nobody has vouched for into its
// error: whoever is in between could write what they like to our terminal.
func TestAHostileCertificateWritesNothingIntoTheError(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"a.test\r\ntcps: all is well\x1b[2J"}, nil
	})}}
	addr := serveTLS(t, config, greet)
	d := &tlsclient.Dialer{ServerName: "localhost"}
	_, err := d.Dial(t.Context(), addr)
	if err == nil {
		t.Fatal("the certificate was accepted")
	}
	wantOneLine(t, err)
}

func TestWhatCannotBeReachedIsSaidSo(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	refused := l.Addr().String()
	for _, scheme := range []string{"tcps", "tcp"} {
		endpoint := scheme + "://" + refused
		_, err := new(tlsclient.Dialer).Dial(t.Context(), endpoint)
		failed := wantFailure(t, err, "failed", 1, "connect to "+endpoint)
		if !failed.NotReached || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: NotReached %v; want it, and ECONNREFUSED", err, failed.NotReached)
		}
		if strings.Count(err.Error(), refused) > 2 {
			t.Errorf("error %q repeats itself", err)
		}
	}
	missing := "unix://" + filepath.Join(t.TempDir(), "missing")
	_, err := new(tlsclient.Dialer).Dial(t.Context(), missing)
	if failed := wantFailure(t, err, "failed", 1, "connect to "+missing); !failed.NotReached || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v: NotReached %v; want it, and fs.ErrNotExist", err, failed.NotReached)
	}
}

func TestAHostNameThatDoesNotExistIsNotReached(t *testing.T) {
	d := &tlsclient.Dialer{Timeout: soon}
	_, err := d.Dial(t.Context(), "tcps://nobody.invalid:8120")
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok || !failed.NotReached {
		t.Fatalf("%v: want an Error with NotReached", err)
	}
	wantOneLine(t, err)
	if !strings.HasPrefix(err.Error(), "connect to tcps://nobody.invalid:8120: ") {
		t.Errorf("error %q does not say what was attempted on what", err)
	}
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("error %v does not wrap the *net.DNSError", err)
	}
}

func TestWhatIsNoEndpointIsRefused(t *testing.T) {
	for _, endpoint := range []string{"", "https://localhost", "localhost:http", "tcps://[::1", "unixs://"} {
		_, err := new(tlsclient.Dialer).Dial(t.Context(), endpoint)
		wantFailure(t, err, "failed", 1, "dial "+endpoint)
	}
	for _, c := range [][2]string{{"udp", "localhost:1"}, {"tcp", "localhost"}, {"", "localhost:1"}} {
		_, err := new(tlsclient.Dialer).DialContext(t.Context(), c[0], c[1])
		wantFailure(t, err, "failed", 1, "dial "+c[1])
	}
}

func TestConnectingHasADeadline(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	l := listen(t, "tcp", "127.0.0.1:0")
	endpoint := "tcps://" + l.Addr().String()
	_, err := new(tlsclient.Dialer).Dial(ctx, endpoint)
	failed := wantFailure(t, err, "timeout:connect", 4, "connect to "+endpoint)
	if !failed.NotReached || !failed.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: NotReached %v, Timeout %v; want both, and context.DeadlineExceeded", err, failed.NotReached, failed.Timeout())
	}
}

// The listener never accepts: the kernel takes the connection, and nobody speaks.
func TestTheHandshakeHasADeadline(t *testing.T) {
	endpoint := "tcps://" + listen(t, "tcp", "127.0.0.1:0").Addr().String()
	d := &tlsclient.Dialer{Timeout: 50 * time.Millisecond}
	start := time.Now()
	_, err := d.Dial(t.Context(), endpoint)
	took(t, start, "a handshake with a timeout of 50 ms")
	failed := wantFailure(t, err, "timeout:handshake", 4, "shake hands with "+endpoint)
	if failed.NotReached || !failed.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: NotReached %v, Timeout %v; want Timeout alone, and context.DeadlineExceeded", err, failed.NotReached, failed.Timeout())
	}
}

func TestTheEndOfTheContextEndsTheHandshake(t *testing.T) {
	hello := make(chan struct{})
	endpoint := "tcps://" + serve(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 5))
		close(hello)
		untilEnd(c)
	})
	for _, timeout := range []time.Duration{0, -1} {
		ctx, cancel := context.WithCancel(t.Context())
		hello = make(chan struct{})
		go func(hello <-chan struct{}) { <-hello; cancel() }(hello)
		start := time.Now()
		_, err := (&tlsclient.Dialer{Timeout: timeout}).Dial(ctx, endpoint)
		took(t, start, "a dial that was cancelled")
		wantFailure(t, err, "shutdown", 1, "shake hands with "+endpoint)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v: want context.Canceled", err)
		}
		cancel()
	}
}

func TestANegativeTimeoutIsNone(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	d := s.Dialer()
	d.Timeout = -1
	c := s.Dial(d)
	wantGreeting(t, c)
}

func TestTheTimeoutDoesNotReachIntoTheConnection(t *testing.T) {
	say := make(chan struct{})
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		<-say
		_, err := io.WriteString(c, "hello\r\n")
		return err
	}))
	d := s.Dialer()
	d.Timeout = 500 * time.Millisecond
	start := time.Now()
	c := s.Dial(d)
	<-time.After(time.Until(start.Add(600 * time.Millisecond)))
	close(say)
	wantGreeting(t, c)
}

// refusing is a server that asks for a client certificate.
func refusing(t *testing.T) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, service.Greet("hello\r\n", service.Discard()))
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	return s
}

func TestATLS13RefusalComesFromRead(t *testing.T) {
	s := refusing(t)
	for range 20 {
		c := s.Dial(s.Dialer())
		_, err := c.Read(make([]byte, 1))
		wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+s.Endpoint)
		c.Close()
	}
}

// A broken pipe or a reset must not hide what the server said.
func TestATLS13RefusalComesFromReadThoughMuchWasWritten(t *testing.T) {
	s := refusing(t)
	for range 20 {
		c := s.Dial(s.Dialer())
		for range 64 {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				break
			}
		}
		_, err := c.Read(make([]byte, 1))
		wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+s.Endpoint)
		c.Close()
	}
}

func TestATLS12RefusalComesFromTheHandshake(t *testing.T) {
	s := refusing(t)
	d := s.Dialer()
	d.MaxVersion = tls.VersionTLS12
	for range 20 {
		_, err := d.Dial(t.Context(), s.Endpoint)
		wantFailure(t, err, "peer-refused-us:handshake_failure", 10, "shake hands with "+s.Endpoint)
	}
}

func TestARefusalSaysWhatTheServerDoesNotLike(t *testing.T) {
	foreign := newAuthority(t)
	s := refusing(t)
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion = version
		d.Source = always(foreign.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil }))
		c, err := d.Dial(t.Context(), s.Endpoint)
		if err == nil {
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
		}
		if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != "peer-refused-us:unknown_ca" {
			t.Errorf("%v: want peer-refused-us:unknown_ca", err)
		}
	})
}

// always presents a certificate, whatever authorities the server names.
type always tls.Certificate

func (a always) ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert := tls.Certificate(a)
	return &cert, nil
}

func TestInsecureConnectsAndSaysWhatItWouldHaveRefused(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		for _, c := range []struct {
			name    string
			change  func(*x509.Certificate)
			roots   *x509.CertPool
			want    string
			resumes bool // crypto/tls drops the sessions of expired certificates by itself
		}{
			{"good", nil, a.pool(), "", true},
			{"unknown authority", nil, nil, "unknown authority", true},
			{"wrong name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.test"}, nil }, a.pool(), "other.test", true},
			{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, a.pool(), "expired", false},
			{"a client's", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, a.pool(), "incompatible key usage", true},
		} {
			t.Run(c.name, func(t *testing.T) {
				config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, c.change)}}
				addr := serveTLS(t, config, greet)
				d := &tlsclient.Dialer{RootCAs: c.roots, ServerName: "localhost", Insecure: true, MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(1)}
				for _, resumed := range []bool{false, c.resumes} {
					conn, err := d.Dial(t.Context(), addr)
					conn = closed(t, conn, err)
					wantGreeting(t, conn)
					if conn.TLS().DidResume != resumed {
						t.Errorf("resumed %v, want %v", conn.TLS().DidResume, resumed)
					}
					got := conn.Untrusted()
					if (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.Error(), c.want) {
						t.Errorf("resumed %v: Untrusted is %v, want it to say %q", resumed, got, c.want)
					}
					conn.Close()
				}
			})
		}
	})
}

func TestWithoutInsecureNothingIsUntrusted(t *testing.T) {
	s := tlstest.NewServer(t, service.Discard())
	if err := s.Dial(s.Dialer()).Untrusted(); err != nil {
		t.Error(err)
	}
}

// What Insecure accepted is no ticket into a Dialer that verifies, nor is what
// another authority vouched for.
func TestSessionsDoNotCarryTrustFromOneDialerToAnother(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		sessions := tls.NewLRUClientSessionCache(8)
		for _, d := range []*tlsclient.Dialer{{Insecure: true}, {RootCAs: a.pool()}} {
			d.MaxVersion, d.Sessions = version, sessions
			c, err := d.Dial(t.Context(), endpoint)
			c = closed(t, c, err)
			wantGreeting(t, c)
			c.Close()
			for _, roots := range []*x509.CertPool{nil, other.pool()} {
				strict := &tlsclient.Dialer{RootCAs: roots, MaxVersion: version, Sessions: sessions}
				_, err = strict.Dial(t.Context(), endpoint)
				wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
			}
		}
	})
}

func TestSessionsResume(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion = version
		visit := func() bool {
			c := s.Dial(d)
			wantGreeting(t, c)
			c.Close()
			return c.TLS().DidResume
		}
		for range 2 {
			if visit() {
				t.Error("without Sessions a session was resumed")
			}
		}
		d.Sessions = tls.NewLRUClientSessionCache(4)
		if visit() {
			t.Error("the first session was resumed")
		}
		if !visit() {
			t.Error("the second session was not resumed")
		}
	})
}

func TestServerNameOverridesTheHost(t *testing.T) {
	names := make(chan string, 8)
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"db.internal"}, nil
	})}}
	addr := serveTLS(t, config, func(c *tls.Conn) {
		names <- c.ConnectionState().ServerName
		untilEnd(c)
	})
	d := &tlsclient.Dialer{RootCAs: a.pool()}
	_, err := d.Dial(t.Context(), addr)
	wantFailure(t, err, "name", 7, "shake hands with tcps://"+addr)
	d.ServerName = "db.internal"
	c, err := d.Dial(t.Context(), addr)
	closed(t, c, err)
	if got := <-names; got != "db.internal" {
		t.Errorf("the server was asked for %q, want db.internal", got)
	}
	d.ServerName = "127.0.0.1"
	_, err = d.Dial(t.Context(), strings.Replace(addr, "127.0.0.1", "localhost", 1))
	wantFailure(t, err, "name", 7, "shake hands with tcps://"+strings.Replace(addr, "127.0.0.1", "localhost", 1))
}

// One server takes ECDSA alone, another names an authority: each gets the
// certificate that it can use, and one that can use none gets none.
func TestSourcePresentsTheCertificateThatTheServerAccepts(t *testing.T) {
	server := newAuthority(t)
	issuers := []*certs.Authority{certsAuthority(t), certsAuthority(t)}
	var all []tls.Certificate
	for _, a := range issuers {
		for _, kind := range []certs.KeyType{certs.RSA2048, certs.ECDSAP256} {
			issued, err := a.Issue(certs.Request{Names: []string{"alice"}, Client: true, KeyType: kind})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, issued.Certificate)
		}
	}
	source := certs.Static(all...)
	for _, c := range []struct {
		name   string
		accept *x509.CertPool
		want   *x509.Certificate
	}{
		{"the first authority", issuers[0].Pool(), all[0].Leaf},
		{"the second authority", issuers[1].Pool(), all[2].Leaf},
		{"another authority", server.pool(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				presented := make(chan []*x509.Certificate, 1)
				config := server.config(t)
				config.ClientAuth, config.ClientCAs = tls.RequestClientCert, c.accept
				addr := serveTLS(t, config, func(conn *tls.Conn) {
					presented <- conn.ConnectionState().PeerCertificates
					untilEnd(conn)
				})
				d := &tlsclient.Dialer{RootCAs: server.pool(), Source: source, MaxVersion: version}
				conn, err := d.Dial(t.Context(), addr)
				closed(t, conn, err)
				got := <-presented
				switch {
				case c.want == nil && len(got) > 0:
					t.Errorf("presented a certificate of %s, want none", got[0].Issuer)
				case c.want != nil && (len(got) == 0 || !got[0].Equal(c.want)):
					t.Errorf("presented %d certificates, want the one of %s with a key of %s", len(got), c.want.Issuer, c.want.PublicKeyAlgorithm)
				}
			})
		})
	}
	t.Run("a server without RSA", func(t *testing.T) {
		got, err := source.ClientCertificate(&tls.CertificateRequestInfo{
			Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		})
		if err != nil || !got.Leaf.Equal(all[1].Leaf) {
			t.Errorf("%v: presented another certificate than the ECDSA one", err)
		}
	})
}

func certsAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

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
