// Package tlstest has servers for tests, as net/http/httptest has for HTTP: a
// started tlsserver.Server on a loopback address, with a certificate of an
// authority in memory, and dialers that trust it.
package tlstest

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// A Server is a tlsserver.Server for a test. Config and Trust may be changed
// before Start.
type Server struct {
	Config *tlsserver.Server
	Trust  *tlsserver.Trust

	// Authority issued the server's certificate, for localhost, 127.0.0.1 and
	// ::1, and issues those of clients.
	Authority *certs.Authority

	// Addr is host:port, Endpoint is tcps://host:port; set by Start.
	Addr, Endpoint string

	t        testing.TB
	patience time.Duration // of Close
	cancel   context.CancelFunc
	served   chan error

	mu    sync.Mutex
	open  map[*tlsserver.Conn]struct{} // guarded by mu
	ended chan tlsserver.Ended
}

// NewServer starts a server that is closed at the end of the test.
func NewServer(t testing.TB, h tlsserver.Handler) *Server {
	t.Helper()
	s := NewUnstartedServer(t, h)
	s.Start()
	return s
}

// NewUnstartedServer makes a server that Start starts.
func NewUnstartedServer(t testing.TB, h tlsserver.Handler) *Server {
	t.Helper()
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(certs.Request{Names: []string{"localhost", "127.0.0.1", "::1"}})
	if err != nil {
		t.Fatal(err)
	}
	return &Server{
		Config:    &tlsserver.Server{Handler: h},
		Trust:     &tlsserver.Trust{Source: certs.Static(issued.Certificate)},
		Authority: authority,
		t:         t,
		patience:  patience,
		open:      make(map[*tlsserver.Conn]struct{}),
		ended:     make(chan tlsserver.Ended, 1024),
	}
}

// Start starts the server on a free port of 127.0.0.1.
func (s *Server) Start() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.serve(l, (*tlsserver.Server).Serve)
	s.Endpoint = "tcps://" + s.Addr
}

// StartPlain is Start without TLS.
func (s *Server) StartPlain() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.serve(l, (*tlsserver.Server).ServePlain)
	s.Endpoint = "tcp://" + s.Addr
}

// StartPassthrough is Start for TLS that is not terminated.
func (s *Server) StartPassthrough() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.serve(l, (*tlsserver.Server).ServePassthrough)
	s.Endpoint = "tcps://" + s.Addr
}

// serve starts the server on a listener, with one of its methods.
func (s *Server) serve(l net.Listener, serve func(*tlsserver.Server, context.Context, net.Listener) error) {
	s.t.Helper()
	s.Config.Observer = &observer{s, s.Config.Observer}
	if err := s.Config.SetTrust(s.Trust); err != nil {
		l.Close()
		s.t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.served = cancel, make(chan error, 1)
	go func() { s.served <- serve(s.Config, ctx, l) }()
	s.t.Cleanup(s.Close)
}

// Close waits for the connections to end by themselves. After 20 seconds it
// names those that have not, fails the test, and closes them.
func (s *Server) Close() {
	s.t.Helper()
	if s.served == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Config.Shutdown(ctx) }()
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.nameOpen()
		cancel()
		<-done
	}
	s.cancel()
	<-s.served
	s.served = nil
}

func (s *Server) nameOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		s.t.Errorf("tlstest: Close waits for the connection from %s (identity %q, %d bytes read, %d written)",
			c.RemoteAddr(), c.Identity(), c.BytesRead(), c.BytesWritten())
	}
}

// WaitEnded returns the next connection that has ended, in the order of the
// ends; it fails the test if none does.
func (s *Server) WaitEnded() tlsserver.Ended {
	s.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-s.ended:
		return e
	case <-timer.C:
		s.t.Fatal("tlstest: no connection has ended")
		panic("unreachable")
	}
}

// Dialer trusts the server.
func (s *Server) Dialer() *tlsclient.Dialer {
	return &tlsclient.Dialer{RootCAs: s.Authority.Pool(), ServerName: "localhost", LingerTimeout: time.Second}
}

// DialerAs trusts the server, and has a client certificate with these names:
// the first is the common name, the others are as in certs.Request.
func (s *Server) DialerAs(names ...string) *tlsclient.Dialer {
	s.t.Helper()
	d := s.Dialer()
	d.Source = certs.Static(s.ClientCertificate(names...))
	return d
}

// ClientCertificate issues a client's certificate.
func (s *Server) ClientCertificate(names ...string) tls.Certificate {
	s.t.Helper()
	issued, err := s.Authority.Issue(certs.Request{Names: names, Client: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return issued.Certificate
}

// Dial connects, or fails the test. The connection is closed at its end.
func (s *Server) Dial(d *tlsclient.Dialer) *tlsclient.Conn {
	s.t.Helper()
	c, err := d.Dial(s.t.Context(), s.Endpoint)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// An observer keeps what the Server needs to know, and passes events on.
type observer struct {
	s    *Server
	next tlsserver.Observer
}

func (o *observer) Observe(e tlsserver.Event) {
	if o.next != nil {
		o.next.Observe(e)
	}
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	switch e := e.(type) {
	case tlsserver.Opened:
		o.s.open[e.Conn] = struct{}{}
	case tlsserver.Ended:
		delete(o.s.open, e.Conn)
		select {
		case o.s.ended <- e:
		default: // nobody waits for so many
		}
	}
}
