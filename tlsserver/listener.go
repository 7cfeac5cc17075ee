package tlsserver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Listener gives other servers (net/http, gRPC) connections that have come
// through admission, handshake and policy: Accept returns *tls.Conn values, in
// the order in which their handshakes end, so a slow client holds up nobody.
// SetTrust must have been called; otherwise Accept returns ErrNoTrust.
//
// The Handler is not called, bytes are not counted, and the reason of an end is
// done unless the server ended it. Shutdown waits until the connections are
// closed, Close closes them. The listener takes l over; close it, or the
// Server, to end it.
func (s *Server) Listener(l net.Listener) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	h := &handOver{server: s, inner: l, ready: make(chan *Conn), ctx: ctx, cancel: cancel}
	go h.run()
	return h
}

// A handOver is the net.Listener that Listener returns.
type handOver struct {
	server *Server
	inner  net.Listener
	ready  chan *Conn
	ctx    context.Context // of the listener's own life
	cancel context.CancelFunc

	mu  sync.Mutex
	err error // why run ended; guarded by mu, set before cancel
}

func (h *handOver) run() {
	defer h.inner.Close()
	err := error(ErrNoTrust)
	if h.server.trust.Load() != nil {
		err = h.server.acceptFor(h)
	}
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
	h.cancel()
}

// acceptFor is accept, but the end of h's ctx ends only this listener.
func (s *Server) acceptFor(h *handOver) error {
	stop := context.AfterFunc(h.ctx, func() { h.inner.Close() })
	defer stop()
	return s.accept(context.Background(), h.inner, terminated, func(c *Conn) { s.prepare(h, c) })
}

// prepare shakes hands and waits for Accept. From then on the connection is
// the other server's, and ends when that closes it.
func (s *Server) prepare(h *handOver, c *Conn) {
	err := errGoexit
	defer func() {
		if err = recovered(recover(), err); err != nil {
			s.end(c, err)
		}
	}()
	s.observe(Opened{Conn: c})
	if err = s.handshake(c); err != nil {
		return
	}
	if c.stream.TLS == nil {
		err = errPlainCancel
		return
	}
	s.observe(Established{Conn: c, Duration: time.Since(c.opened)})
	c.handedOut.Store(true)
	select {
	case h.ready <- c:
		return
	case <-h.ctx.Done():
	case <-c.aborted():
	}
	c.handedOut.Store(false)
	err = WithReason(ReasonShutdown, ErrServerClosed)
}

// endHandedOut closes a connection that another server had. It runs in a
// goroutine of its own: other servers close many connections in a row, and
// must not wait for each peer's end.
func (s *Server) endHandedOut(c *Conn) {
	c.stream.Raw.Close()
	s.ended(c, c.why(nil), nil)
}

// Accept returns the next connection, a *tls.Conn whose handshake is done.
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c.stream.TLS, nil
	case <-h.ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.err == nil || errors.Is(h.err, ErrServerClosed) {
			return nil, &net.OpError{Op: "accept", Net: h.Addr().Network(), Addr: h.Addr(), Err: net.ErrClosed}
		}
		return nil, h.err
	}
}

// Close ends the listener; its connections live on.
func (h *handOver) Close() error {
	h.cancel()
	return nil
}

// Addr is the address listened on.
func (h *handOver) Addr() net.Addr { return h.inner.Addr() }
