package wire_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/certs"
	"tcps/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds what must come at once.
const soon = 3 * time.Second

func took(t testing.TB, start time.Time, what string) {
	t.Helper()
	if d := time.Since(start); d > soon {
		t.Errorf("%s took %v, want less than %v", what, d, soon)
	}
}

func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

// tcpPair is both ends of a connection over loopback.
func tcpPair(t testing.TB) (ours, peer *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); p.Close() })
	return c.(*net.TCPConn), p.(*net.TCPConn)
}

// configs are a server's and a client's that go together.
func configs(t testing.TB, version uint16) (server, client *tls.Config) {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(certs.Request{Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{issued.Certificate}, MaxVersion: version}
	return server, &tls.Config{RootCAs: pool(a.Root()), ServerName: "localhost", MaxVersion: version}
}

func pool(root *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(root)
	return p
}

// newConn is a Conn whose Close waits for at most linger.
func newConn(nc net.Conn, linger time.Duration) *wire.Conn {
	c := wire.NewConn(nc)
	c.SetLinger(linger)
	return c
}

// stream is our end of a TLS connection over nc, after the handshake; peer is
// crypto/tls' own. The tickets of TLS 1.3 have come by then.
func stream(t testing.TB, version uint16, ours, peer net.Conn, linger time.Duration) (*wire.Stream, *tls.Conn) {
	t.Helper()
	serverConfig, clientConfig := configs(t, version)
	raw := newConn(ours, linger)
	s := &wire.Stream{Raw: raw, TLS: tls.Server(raw, serverConfig)}
	c := tls.Client(peer, clientConfig)
	done := make(chan error, 1)
	go func() {
		if err := c.Handshake(); err != nil {
			done <- err
			return
		}
		_, err := c.Read(make([]byte, 1)) // takes the tickets too
		done <- err
	}()
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s, c
}

// tcpStream is stream over loopback.
func tcpStream(t testing.TB, version uint16, linger time.Duration) (*wire.Stream, *tls.Conn) {
	t.Helper()
	ours, peer := tcpPair(t)
	return stream(t, version, ours, peer, linger)
}
