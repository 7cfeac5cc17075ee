package tlsclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/tlsclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds what must come at once; it is far below the default timeouts, so
// that waiting for one of these shows.
const soon = 3 * time.Second

// versions runs a test with TLS 1.2 and with TLS 1.3.
func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

// An authority signs what certs.Authority refuses to: expired, hostile and
// other certificates that a client has to refuse.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	signed := a.issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName = "the test's authority"
		c.IsCA = true
		c.KeyUsage = x509.KeyUsageCertSign
		c.ExtKeyUsage, c.DNSNames, c.IPAddresses = nil, nil, nil
	})
	a.cert, a.key = signed.Leaf, signed.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs a server's certificate for localhost, as change leaves it.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "a test's server"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// config is crypto/tls' own server, so that both ends are not ours.
func (a *authority) config(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
}

// serveOn handles each connection in a goroutine that the test waits for.
func serveOn(t testing.TB, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
}

// serve is a server on a free port of 127.0.0.1; it returns host:port.
func serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	serveOn(t, l, handle)
	return l.Addr().String()
}

// serveTLS is serve with a crypto/tls server.
func serveTLS(t testing.TB, config *tls.Config, handle func(c *tls.Conn)) string {
	t.Helper()
	return serve(t, func(nc net.Conn) {
		c := tls.Server(nc, config)
		defer c.Close()
		if c.Handshake() == nil {
			handle(c)
		}
	})
}

func listen(t testing.TB, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// greet says hello, and waits for the client's end.
func greet(c *tls.Conn) {
	io.WriteString(c, "hello\r\n")
	io.Copy(io.Discard, c)
}

// untilEnd waits for the peer's end.
func untilEnd(c net.Conn) { io.Copy(io.Discard, c) }

// closed closes at the end of the test what was dialled.
func closed(t testing.TB, c *tlsclient.Conn, err error) *tlsclient.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantGreeting reads the greeting.
func wantGreeting(t testing.TB, c io.Reader) {
	t.Helper()
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello\r\n" {
		t.Fatalf("read %q, %v; want the greeting", b, err)
	}
}

// wantFailure checks the reason and the exit code, and that the text is one
// line which names what was attempted on what.
func wantFailure(t testing.TB, err error, want tlsclient.Reason, code int, attempted string) *tlsclient.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want the reason %q", want)
	}
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok {
		t.Fatalf("error %v is a %T, want a *tlsclient.Error", err, err)
	}
	if failed.Reason != want || failed.Reason.ExitCode() != code {
		t.Errorf("reason %q, exit code %d (%v); want %q, %d", failed.Reason, failed.Reason.ExitCode(), err, want, code)
	}
	wantOneLine(t, err)
	if !strings.HasPrefix(err.Error(), attempted+": ") {
		t.Errorf("error %q does not begin with what was attempted, %q", err, attempted)
	}
	return failed
}

func wantOneLine(t testing.TB, err error) {
	t.Helper()
	for _, r := range err.Error() {
		if r < ' ' || r == 0x7f {
			t.Fatalf("error is not one clean line: %q", err)
		}
	}
}

// took fails the test if something that must come at once did not.
func took(t testing.TB, start time.Time, what string) {
	t.Helper()
	if d := time.Since(start); d > soon {
		t.Errorf("%s took %v, want less than %v", what, d, soon)
	}
}
