package tlsclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
		{"old suites", configured(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}), "no-shared-cipher", 5},
		{"no group", configured(func(c *tls.Config) {
			c.MaxVersion, c.CurvePreferences = tls.VersionTLS12, []tls.CurveID{tls.X25519MLKEM768}
		}), "no-shared-cipher", 5},
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
		}), "closed-before-hello", 1},
		{"cut in the middle of a record", raw(func(c net.Conn) {
			c.Write([]byte{22, 3, 3, 0, 100, 2, 0, 0})
			c.(*net.TCPConn).CloseWrite()
			untilEnd(c)
		}), "closed-before-hello", 1},
		{"reset", raw(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.(*net.TCPConn).SetLinger(0)
		}), "closed-before-hello", 1},
		{"cut behind its hello", raw(func(c net.Conn) {
			helloOnly(c, a.issue(t, nil))
			c.(*net.TCPConn).CloseWrite()
			untilEnd(c)
		}), "truncated", 11},
		{"reset behind its hello", raw(func(c net.Conn) {
			helloOnly(c, a.issue(t, nil))
			io.ReadFull(c, make([]byte, 5)) // of what the client answers
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

// helloOnly sends the first flight of a server of TLS 1.2, and no more.
func helloOnly(c net.Conn, cert tls.Certificate) {
	tls.Server(&oneFlight{Conn: c}, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12}).Handshake()
}

// A oneFlight reads nothing any more once something was written.
type oneFlight struct {
	net.Conn
	written bool
}

func (f *oneFlight) Write(b []byte) (int, error) {
	f.written = true
	return f.Conn.Write(b)
}

func (f *oneFlight) Read(b []byte) (int, error) {
	if f.written {
		return 0, io.EOF
	}
	return f.Conn.Read(b)
}

// A server that refuses a client by a limit closes the connection unread: it is
// the client's kernel that decides whether the end is seen or the reset that
// answers the hello.
func TestAServerThatClosesAtOnceIsToldInOneWay(t *testing.T) {
	const tries = 50
	var ends, resets int
	for range tries {
		endpoint := "tcps://" + serve(t, func(net.Conn) {})
		_, err := new(tlsclient.Dialer).Dial(t.Context(), endpoint)
		wantFailure(t, err, "closed-before-hello", 1, "shake hands with "+endpoint)
		if text := "shake hands with " + endpoint + ": the server closed the connection before the handshake"; err.Error() != text {
			t.Errorf("the error is %q, want %q", err, text)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			ends++
		}
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			resets++
		}
	}
	if ends+resets != tries {
		t.Errorf("%d ends and %d resets, want %d together", ends, resets, tries)
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
	d.Timeout = 2 * time.Second
	start := time.Now()
	c := s.Dial(d)
	<-time.After(time.Until(start.Add(2100 * time.Millisecond)))
	close(say)
	wantGreeting(t, c)
}

// What a preamble says is wrong ends dialling, before anything is sent.
func TestAPreambleThatFails(t *testing.T) {
	heard := make(chan string, 1)
	address := serve(t, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})
	cause := errors.New("nothing to say")
	d := &tlsclient.Dialer{Preamble: func(net.Addr, net.Addr) ([]byte, error) { return []byte("x"), cause }}
	_, err := d.Dial(t.Context(), "tcps://"+address)
	wantFailure(t, err, "failed", 1, "write to tcps://"+address)
	if !errors.Is(err, cause) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if got := <-heard; got != "" {
		t.Errorf("the server heard %q", got)
	}
}
