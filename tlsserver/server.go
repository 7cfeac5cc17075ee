package tlsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tcps/internal/reason"
)

// ErrServerClosed is what Serve and its kin return after Shutdown or Close, or
// after the end of their ctx.
var ErrServerClosed = errors.New("tlsserver: server closed")

// ErrNoTrust is what Serve returns when SetTrust was not called: a server
// without a certificate would refuse every handshake.
var ErrNoTrust = errors.New("tlsserver: no trust value: call SetTrust before serving TLS")

// A Handler serves one connection.
type Handler interface {
	// ServeConn returns when the connection has been served: nil and io.EOF
	// are a clean end. The server closes c afterwards, without losing what was
	// written. ServeConn must return soon after ctx ends: the connection's
	// reads and writes fail from then on.
	ServeConn(ctx context.Context, c *Conn) error
}

// HandlerFunc is a Handler that is a function.
type HandlerFunc func(ctx context.Context, c *Conn) error

// ServeConn calls f.
func (f HandlerFunc) ServeConn(ctx context.Context, c *Conn) error { return f(ctx, c) }

// A Server serves connections, TLS or plain, from any number of listeners.
// Set its fields before the first call of a method, and do not change them
// afterwards; do not copy it. All its methods may be called concurrently.
type Server struct {
	// Handler is called for each connection, in a goroutine of its own.
	Handler Handler

	// Limits bound what connections may cost; the zero value is a safe default.
	Limits Limits

	// Observer hears of every connection. Nil: nobody does.
	Observer Observer

	// HandshakeTimeout bounds the time from accepting a connection to the end
	// of its handshake. 0: 10 s; negative: none.
	HandshakeTimeout time.Duration

	// LingerTimeout bounds the wait for the peer's end after ours, which keeps
	// a reset from destroying bytes that the peer has not read yet. 0: 5 s;
	// negative: no wait.
	LingerTimeout time.Duration

	// MinVersion and MaxVersion are TLS versions. 0: TLS 1.2 and TLS 1.3;
	// SetTrust refuses others than these two.
	MinVersion, MaxVersion uint16

	// TLS12CipherSuites are the suites for TLS 1.2; nil: all that have forward
	// secrecy and authenticated encryption. Others are refused by SetTrust.
	// Those of TLS 1.3 cannot be chosen (crypto/tls).
	TLS12CipherSuites []uint16

	// NextProtos are the application protocols (RFC 7301), preferred first. A
	// client that offers none of them is refused; one that offers nothing at
	// all gets in unless RequireALPN is set.
	NextProtos  []string
	RequireALPN bool

	// StartTLS is the protocol whose clients begin in plain and ask for TLS:
	// postgres, mysql, smtp, imap, pop3 or ldap. Serve and SetTrust refuse
	// others. Until then a client is given nothing but answers that it has to
	// ask. HandshakeTimeout bounds that too. Empty: TLS from the first byte.
	StartTLS string

	// StartTLSCancelPlain gives the Handler the CancelRequests that PostgreSQL's
	// libpq sent in plain before version 17: 16 bytes, and then the end. TLS()
	// is nil then, and no rule for clients applies; whoever may connect can
	// send one, and has to guess a key of 32 bits to hit a query.
	StartTLSCancelPlain bool

	// ProxyProtocol says which connections begin with a PROXY header that names
	// the client. Nil: none do.
	ProxyProtocol *ProxyProtocol

	// StrictSNI refuses a client that names no server, or one that the source
	// has no certificate for (RFC 6066, 3). Otherwise it gets the source's
	// first certificate.
	StrictSNI bool

	// SessionTicketsDisabled turns resumption off. Otherwise tickets are
	// encrypted with keys of the server's own: a new one every 12 hours, and
	// the two before it still decrypt.
	SessionTicketsDisabled bool

	// TicketKeys keeps those keys beyond the server's life. Nil: nobody does.
	// If it fails (TicketKeysFailed) the server goes on with the keys it has.
	TicketKeys TicketKeyStore

	trust        atomic.Pointer[trust]
	addressRules atomic.Pointer[addressRules]
	tickets      ticketKeys
	slots        slots
	admission    admission
	version      atomic.Pointer[string] // see Conn.SetStartTLSVersion

	mu        sync.Mutex
	sweeping  bool // guarded by mu, as all below
	state     state
	listeners map[*net.Listener]struct{} // open ones; by pointer, as not every listener can be a key
	conns     map[*Conn]struct{}         // not ended yet
	draining  chan struct{}              // closed when a drain begins; made on first use
	idle      chan struct{}              // closed when conns is empty and no more can come; made on first use
}

// state is how far a server's life has gone; it never goes back.
type state int

const (
	running state = iota
	draining
	closed
)

func (s *Server) handshakeTimeout() time.Duration {
	return orDefault(s.HandshakeTimeout, 10*time.Second)
}
func (s *Server) lingerTimeout() time.Duration { return orDefault(s.LingerTimeout, 5*time.Second) }

// orDefault reads a timeout field: 0 is the default, negative is 0: none.
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

// ListenAndServe listens on an endpoint (tcps://host:port, tcp://host:port,
// unix:///path, unixs:///path) and serves it until the server is closed or ctx
// ends; the scheme decides whether TLS is spoken. It always returns an error.
func (s *Server) ListenAndServe(ctx context.Context, endpoint string) error {
	l, secure, err := listen(ctx, endpoint)
	if err != nil {
		return err
	}
	if !secure {
		return s.serve(ctx, l, plain)
	}
	return s.serve(ctx, l, terminated)
}

// Serve serves TLS on l, and closes it in the end. It always returns an error:
// ErrServerClosed after Shutdown or Close, ErrNoTrust without a trust value.
// The end of ctx means Close: Serve then returns when all connections have
// ended. Values of ctx reach the Handler.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.serve(ctx, l, terminated) }

// ServePlain is Serve without TLS: nothing is encrypted, and nobody is
// authenticated.
func (s *Server) ServePlain(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, plain)
}

func (s *Server) serve(ctx context.Context, l net.Listener, layer layer) error {
	defer l.Close()
	if s.Handler == nil {
		return errors.New("tlsserver: no Handler")
	}
	if layer == terminated {
		if s.trust.Load() == nil {
			return ErrNoTrust
		}
		if err := s.checkStartTLS(); err != nil {
			return err
		}
	}
	err := s.accept(ctx, l, layer, func(c *Conn) { s.serveConn(ctx, c) })
	if ctx.Err() != nil {
		s.Close() // wait for what the end of ctx has begun
	}
	return err
}

// accept is the loop of one listener. Errors that pass are waited out.
func (s *Server) accept(ctx context.Context, l net.Listener, layer layer, serve func(*Conn)) error {
	if !s.addListener(&l) {
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	defer context.AfterFunc(ctx, s.closeForContext)()
	var delay time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.start(l, nc, layer, serve)
		case s.current() != running || ctx.Err() != nil:
			return ErrServerClosed
		case !passes(err):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		default:
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.observe(AcceptFailed{Listener: l.Addr(), Err: err, Delay: delay})
			if scarce(err) {
				s.slots.evictOldest(limitDescriptors)
			}
			s.pause(delay)
		}
	}
}

func (s *Server) closeForContext() { s.Close() }

// passes reports whether an error of Accept is one that goes away: too few
// descriptors or too little memory, or the fault of one connection or of the
// network, which accept(2) says to take for "try again".
func passes(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH:
		return true
	}
	return scarce(err)
}

// scarce reports whether descriptors or memory ran out, which ending a
// connection gives back.
func scarce(err error) bool {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return true
	}
	return false
}

// pause waits for d or for the begin of a drain.
func (s *Server) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.drainBegun():
	}
}

// start takes a connection in, if it may come, and has it served in a goroutine
// of its own.
func (s *Server) start(l net.Listener, nc net.Conn, layer layer, serve func(*Conn)) {
	c := newConn(s, nc, layer)
	if err := s.admit(c); err != nil {
		s.refuseAtOnce(l, nc, err)
		return
	}
	switch added, full := s.addConn(c); {
	case full:
		s.leaveAdmission(c)
		s.refuseAtOnce(l, nc, limited(limitConns, "%d connections are open", s.Limits.maxConns()))
		return
	case !added:
		s.leaveAdmission(c)
		nc.Close()
		return
	}
	go serve(c)
}

// serveConn is the way of one connection. Its end is reached also by a panic
// of the Handler, the policy or the source: one connection's fault must not
// end the others.
func (s *Server) serveConn(ctx context.Context, c *Conn) {
	err := errGoexit
	defer func() { s.end(c, recovered(recover(), err)) }()
	s.observe(Opened{Conn: c})
	if err = s.handshake(c); err != nil {
		return
	}
	s.observe(Established{Conn: c, Duration: time.Since(c.opened)})
	err = errGoexit
	err = s.Handler.ServeConn(connContext{ctx, c}, c)
}

// errGoexit is what is left when runtime.Goexit ends a connection's goroutine,
// as testing.T.FailNow does.
var errGoexit = WithReason(reason.Failed, errors.New("the goroutine of the connection was ended by runtime.Goexit"))

// recovered is the error of a connection, or of the panic that ended it.
func recovered(p any, err error) error {
	if p == nil {
		return err
	}
	return WithReason(reason.Failed, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

// end closes a connection and says why it ended.
func (s *Server) end(c *Conn, err error) {
	why := c.why(err)
	c.finish()
	c.Close()
	s.ended(c, why, err)
}

// ended tells the observer, once, and forgets the connection.
func (s *Server) ended(c *Conn, why Reason, err error) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	switch err = c.cause(err); {
	case err == io.EOF && why == ReasonDone:
		err = nil
	case err == io.EOF: // in the handshake
		err = io.ErrUnexpectedEOF
	}
	s.observe(Ended{Conn: c, Reason: why, Err: err, Duration: time.Since(c.opened)})
	s.leaveAdmission(c)
	s.removeConn(c)
}

// Shutdown stops accepting, tells services that a drain has begun
// (Conn.Draining), and waits for the connections to end by themselves. When
// ctx ends before they have, it closes those that are left and returns the
// error of ctx. Like Close it returns when every Handler and Observer has
// returned, and so must not be called from one.
func (s *Server) Shutdown(ctx context.Context) error {
	s.advance(draining)
	select {
	case <-s.allEnded():
		s.advance(closed)
		s.closeTickets()
		return nil
	case <-ctx.Done():
		s.Close()
		return ctx.Err()
	}
}

// Close stops accepting and closes all connections: a close_notify where no
// write is stuck, a quarter of a second for the peers to take what was
// written. It returns when every Handler and Observer has returned, and so
// must not be called from one.
func (s *Server) Close() error {
	s.advance(closed)
	for _, c := range s.open() {
		c.abort(reason.Shutdown)
	}
	<-s.allEnded()
	s.closeTickets()
	return nil
}

// advance moves the server's state on, and closes the listeners.
func (s *Server) advance(to state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasRunning := s.state == running
	s.state = max(s.state, to)
	for l := range s.listeners {
		(*l).Close()
	}
	if wasRunning { // only now: who hears of the drain may count on it
		close(s.drainBegunLocked())
	}
	s.checkIdleLocked()
}

func (s *Server) current() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != running {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[*net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	s.sweepLocked()
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.checkIdleLocked()
}

// addConn takes in what a listener has accepted, also when a drain has begun
// since: nobody else would serve that client. When as many are open as may be,
// whoever has waited longest for its hello gives way; full: nobody does.
func (s *Server) addConn(c *Conn) (added, full bool) {
	if s.OpenConns() >= s.Limits.maxConns() && !s.slots.evictOldest(limitConns) {
		return false, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed {
		return false, false
	}
	if s.conns == nil {
		s.conns = make(map[*Conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true, false
}

// OpenConns counts the connections that have not ended yet, whatever they have
// come to.
func (s *Server) OpenConns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) removeConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkIdleLocked()
}

// open lists the connections that have not ended.
func (s *Server) open() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) drainBegun() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drainBegunLocked()
}

func (s *Server) drainBegunLocked() chan struct{} {
	if s.draining == nil {
		s.draining = make(chan struct{})
	}
	return s.draining
}

// allEnded is closed once no connection is left and none can come.
func (s *Server) allEnded() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allEndedLocked()
}

func (s *Server) allEndedLocked() <-chan struct{} {
	s.checkIdleLocked()
	return s.idle
}

func (s *Server) checkIdleLocked() {
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	if s.state == running || len(s.conns)+len(s.listeners) > 0 { // a listener may have accepted one more
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// connContext is the ctx of one connection's Handler: it ends when the
// connection must, without costing anything before somebody asks.
type connContext struct {
	context.Context
	c *Conn
}

func (x connContext) Done() <-chan struct{} { return x.c.aborted() }

func (x connContext) Err() error {
	select {
	case <-x.c.aborted():
		return context.Canceled
	default:
		return nil // the end of Serve's ctx ends this one a moment later
	}
}

// AfterFunc is what package context looks for: it would wait for the end in a
// goroutine otherwise.
func (x connContext) AfterFunc(f func()) (stop func() bool) { return x.c.afterOver(f) }
