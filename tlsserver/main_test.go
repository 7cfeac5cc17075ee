package tlsserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestMain(m *testing.M) {
	if os.Getenv("TCPS_TEST_DESCRIPTORS") != "" {
		serveWithFewDescriptors() // this process is the server of a test
		return
	}
	goleak.VerifyTestMain(m)
}

var greetEcho = service.Greet("hello\r\n", service.Echo())

// versions runs a test with TLS 1.2 and with TLS 1.3.
func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

// clientConfig is crypto/tls' own client, so that both ends are not ours.
func clientConfig(s *tlstest.Server, version uint16) *tls.Config {
	return &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version}
}

// dialTLS connects with crypto/tls.
func dialTLS(t *testing.T, s *tlstest.Server, config *tls.Config) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// greeted is one whole visit: greeting, echo, and a clean end.
func greeted(t testing.TB, c net.Conn) {
	t.Helper()
	if err := visit(c); err != nil {
		t.Fatal(err)
	}
}

func visit(c net.Conn) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "abc"); err != nil {
		return err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if string(got) != "hello\r\nabc" {
		return &net.AddrError{Err: "the visit got other bytes", Addr: string(got)}
	}
	return c.Close()
}

// wantReason waits for the next end, and checks why it ended.
func wantReason(t *testing.T, s *tlstest.Server, want tlsserver.Reason) tlsserver.Ended {
	t.Helper()
	e := s.WaitEnded()
	if e.Reason != want {
		t.Fatalf("the connection ended for %q (%v), want %q", e.Reason, e.Err, want)
	}
	return e
}

// A pipeListener hands out one end of net.Pipe: for synctest, where sockets
// cannot be.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// dialBuffered is dial for clients that write before they read: net.Pipe
// itself holds nothing, and two ends that both write would wait for each other.
func (l *pipeListener) dialBuffered() net.Conn {
	c := &bufferedConn{Conn: l.dial(), queue: make(chan []byte, 100), done: make(chan struct{})}
	go c.pump()
	return c
}

type bufferedConn struct {
	net.Conn
	queue chan []byte
	done  chan struct{}
}

func (c *bufferedConn) Write(b []byte) (int, error) {
	select {
	case c.queue <- bytes.Clone(b):
		return len(b), nil
	case <-c.done:
		return 0, net.ErrClosed
	}
}

func (c *bufferedConn) pump() {
	defer close(c.done)
	defer c.Conn.Close()
	for b := range c.queue {
		if _, err := c.Conn.Write(b); err != nil {
			return
		}
	}
}

// Close sends what is queued first.
func (c *bufferedConn) Close() error {
	close(c.queue)
	<-c.done
	return nil
}

// A bubble is a server in a synctest bubble, on pipes.
type bubble struct {
	*tlsserver.Server
	listener  *pipeListener
	authority *certs.Authority
	ended     chan tlsserver.Ended
	served    chan error
}

func newBubble(t *testing.T, server *tlsserver.Server) *bubble {
	t.Helper()
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := authority.Source([]string{"localhost", "other.localhost"}, 90*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b := &bubble{server, newPipeListener(), authority, make(chan tlsserver.Ended, 100), make(chan error, 1)}
	next := server.Observer
	server.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if next != nil {
			next.Observe(e)
		}
		if e, ok := e.(tlsserver.Ended); ok {
			b.ended <- e
		}
	})
	if server.Handler == nil {
		server.Handler = greetEcho
	}
	if err := server.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
		t.Fatal(err)
	}
	go func() { b.served <- server.Serve(context.Background(), b.listener) }()
	return b
}

func (b *bubble) config() *tls.Config {
	return &tls.Config{RootCAs: b.authority.Pool(), ServerName: "localhost"}
}

func (b *bubble) close() {
	b.Close()
	<-b.served
}

func rule(t testing.TB, kind tlsserver.RuleKind, value string) tlsserver.Rule {
	t.Helper()
	r, err := tlsserver.ParseRule(kind, value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fileMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
