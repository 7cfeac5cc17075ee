package service_test

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// A kind is what one end of a tunnel speaks.
type kind struct {
	name    string
	unix    bool
	version uint16 // 0: plain
}

var (
	tls12     = kind{"TLS 1.2", false, tls.VersionTLS12}
	tls13     = kind{"TLS 1.3", false, tls.VersionTLS13}
	tcp       = kind{"TCP", false, 0}
	unixKind  = kind{"Unix", true, 0}
	unixSKind = kind{"TLS over Unix", true, tls.VersionTLS13}
	kinds     = []kind{tls12, tls13, tcp, unixKind, unixSKind}
)

// A passage is a Forward with what is on its two sides.
type passage struct {
	t              testing.TB
	client, target halfConn // TLS, or the sockets
	endpoint       string   // the target's
	server         *tlsserver.Server
	ended          chan tlsserver.Ended
}

// eachPair runs a test in a tunnel for each pair of kinds, some at once.
func eachPair(t *testing.T, kinds []kind, f func(*testing.T, *passage)) {
	for _, from := range kinds {
		for _, to := range kinds {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				t.Parallel()
				f(t, newTunnel(t, from, to))
			})
		}
	}
}

// authority issues for localhost.
func authority(t testing.TB) (*certs.Authority, tls.Certificate) {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(certs.Request{Names: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return a, issued.Certificate
}

func (k kind) listen(t testing.TB) net.Listener {
	t.Helper()
	endpoint := "tcp://127.0.0.1:0"
	if k.unix {
		endpoint = "unix://" + filepath.Join(t.TempDir(), "s")
	}
	l, err := tlsserver.Listen(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (k kind) endpointOf(l net.Listener) string {
	scheme := "tcp"
	if k.unix {
		scheme = "unix"
	}
	if k.version != 0 {
		scheme += "s"
	}
	return scheme + "://" + l.Addr().String()
}

func newTunnel(t testing.TB, from, to kind) *passage { return newTunnelBehind(t, from, to, nil) }

// newTunnelBehind makes a tunnel to what stands in front of its target, if via
// is set: it is given the target's address, and returns its own.
func newTunnelBehind(t testing.TB, from, to kind, via func(string) string) *passage {
	t.Helper()
	a, cert := authority(t)
	far := to.listen(t)
	target := to.endpointOf(far)
	if via != nil {
		target = target[:len(target)-len(far.Addr().String())] + via(far.Addr().String())
	}
	forward := &service.Forward{Targets: service.NewTargets(target)}
	forward.Targets.SetDialer(&tlsclient.Dialer{RootCAs: a.Pool(), ServerName: "localhost", MaxVersion: to.version})
	u := &passage{t: t, endpoint: target, ended: make(chan tlsserver.Ended, 1)}
	u.server = &tlsserver.Server{Handler: forward, MaxVersion: from.version, Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if e, ok := e.(tlsserver.Ended); ok {
			u.ended <- e
		}
	})}
	near := u.start(from, cert)
	accepted := make(chan halfConn, 1)
	go func() { accepted <- accept(far, to, cert) }()
	u.client = dial(t, near, from, a)
	u.target = <-accepted
	if u.target == nil {
		t.Fatal("the target was not reached")
	}
	t.Cleanup(func() { u.target.Close() })
	for _, c := range []halfConn{u.client, u.target} {
		c.SetDeadline(time.Now().Add(2 * time.Minute))
	}
	return u
}

func (u *passage) start(from kind, cert tls.Certificate) net.Listener {
	u.t.Helper()
	near, serve := from.listen(u.t), u.server.ServePlain
	if from.version != 0 {
		serve = u.server.Serve
		if err := u.server.SetTrust(&tlsserver.Trust{Source: certs.Static(cert)}); err != nil {
			u.t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- serve(u.t.Context(), near) }()
	u.t.Cleanup(func() { u.server.Close(); <-served })
	return near
}

func accept(l net.Listener, k kind, cert tls.Certificate) halfConn {
	nc, err := l.Accept()
	if err != nil {
		return nil
	}
	if k.version == 0 {
		return nc.(halfConn)
	}
	c := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err := c.Handshake(); err != nil {
		return nil
	}
	return c
}

func dial(t testing.TB, l net.Listener, k kind, a *certs.Authority) halfConn {
	t.Helper()
	nc, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if k.version == 0 {
		return nc.(halfConn)
	}
	c := tls.Client(nc, &tls.Config{RootCAs: a.Pool(), ServerName: "localhost", MaxVersion: k.version})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// socket is what lies below TLS.
func socket(c halfConn) halfConn {
	if secure, ok := c.(*tls.Conn); ok {
		return secure.NetConn().(halfConn)
	}
	return c
}

func reset(c halfConn) {
	if c, ok := socket(c).(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	socket(c).Close()
}

// wantEnd checks how the tunnel's connection has ended.
func (u *passage) wantEnd(want tlsserver.Reason) tlsserver.Ended {
	u.t.Helper()
	select {
	case e := <-u.ended:
		if e.Reason != want {
			u.t.Errorf("the connection ended with %s, %v; want %s", e.Reason, e.Err, want)
		}
		return e
	case <-time.After(20 * time.Second):
		u.t.Fatal("the connection has not ended")
		panic("unreachable")
	}
}

// wantAll reads to a clean end, which must come behind exactly these bytes.
func (u *passage) wantAll(c io.Reader, want string) {
	u.t.Helper()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != want {
		u.t.Errorf("read %d bytes, %v; want %d and a clean end", len(got), err, len(want))
	}
}
