package tlsserver

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// ErrTruncated is what Conn.Read returns when the peer's TLS stream was cut:
// it ended without close_notify, so bytes may be missing. It matches
// io.ErrUnexpectedEOF.
var ErrTruncated = wire.ErrTruncated

// A Conn is one connection, as a Handler gets it: a net.Conn with half-close
// that knows its peer. Its methods may be called concurrently.
type Conn struct {
	server *Server
	stream wire.Stream
	opened time.Time
	layer  layer

	sni    string   // from the ClientHello; set before the handshake ends
	protos []string // that the ClientHello offers; as sni
	hello  bool     // the ClientHello has come; as sni

	challenge bool // the ClientHello is an ACME challenge; as sni

	// internal is what the server has in place of a ruling's configuration for
	// a connection with itself (Prove, Judge); nil: it is a client's.
	internal func(*ruling) *tls.Config

	told     bool   // the client was answered, in plain; as sni
	startTLS string // the protocol by whose dialogue TLS began; as sni

	trust *trust // that the handshake began under

	judged   atomic.Pointer[netip.Addr] // the client's address, once it is known; see SetAddressRules
	address  *entry[netip.Prefix]       // that it counts for; nil: none
	identity *entry[string]             // that it counts for; nil: none

	slot     *slot     // for its hello and handshake, until that has ended
	deadline time.Time // of the handshake; zero: none

	local bool // the PROXY header says that the proxy came for itself; as sni

	established atomic.Bool
	proxied     atomic.Pointer[addresses] // what a PROXY header said; nil: none has

	mu       sync.Mutex
	abortWhy Reason               // why the server ended it; guarded by mu, as all below
	refusal  error                // what that was, when a new trust value was the cause
	over     bool                 // aborted, or served
	attrs    []slog.Attr          // what the service adds to the log
	done     chan struct{}        // closed once it is over; made on first use
	after    map[*func()]struct{} // to be called once it is over
	closing  sync.Once

	swept *progress // of the sweeps; nil: none has seen it yet

	handedOut atomic.Bool // Server.Listener has given it to another server
	ended     atomic.Bool // the observer was told
}

// transport is what lies under tls.Conn: crypto/tls gives it to callbacks,
// which find their connection by it.
type transport struct {
	*wire.Conn
	conn *Conn
}

// Read gives the handshake slot back while it waits for the peer: a slot is for
// work, and who stalls after the hello must not keep others from theirs.
func (t *transport) Read(b []byte) (int, error) {
	c := t.conn
	if c.slot == nil || !c.slot.shaking {
		return t.Conn.Read(b)
	}
	c.server.slots.release(c.slot)
	n, err := t.Conn.Read(b)
	if err == nil {
		err = c.server.slots.turn(c.slot, c)
	}
	return n, err
}

// LocalAddr and RemoteAddr are the client's for who has only the tls.Conn.
func (t *transport) LocalAddr() net.Addr { return t.conn.LocalAddr() }

func (t *transport) RemoteAddr() net.Addr { return t.conn.RemoteAddr() }

// Close is called by tls.Conn, after the close_notify.
func (t *transport) Close() error {
	if t.conn.handedOut.Load() {
		go t.conn.server.endHandedOut(t.conn)
		return nil
	}
	return t.Conn.Close()
}

func newConn(s *Server, nc net.Conn, layer layer) *Conn {
	c := &Conn{server: s, opened: time.Now(), layer: layer}
	c.stream.Raw = wire.NewConn(nc)
	c.stream.Raw.SetLinger(s.lingerTimeout())
	c.stream.Raw.SetPace(s.Limits.Bandwidth)
	if layer == terminated {
		c.stream.TLS = tls.Server(&transport{c.stream.Raw, c}, &tls.Config{GetConfigForClient: s.configForClient})
	}
	return c
}

// Read reads what the peer sent. It returns io.EOF when the peer ended its
// side (in TLS: with close_notify), ErrTruncated when a TLS stream was cut, an
// error that matches syscall.ECONNRESET after a reset, and one that matches
// net.ErrClosed once the connection must end.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	if n > 0 {
		c.server.observeData(c, Received, b[:n])
	}
	return n, err
}

// Write sends b, as fast as the peer takes it.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.stream.Write(b)
	if n > 0 {
		c.server.observeData(c, Sent, b[:n])
	}
	return n, err
}

// ReadFrom sends what r has, to its end. It makes io.Copy use buffers that are
// kept for others; from one plain connection to another, of this package or of
// tlsclient, Linux moves the bytes by itself (splice).
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if !c.server.observesData() {
		if n, err, ok := c.stream.Take(r); ok {
			return n, err
		}
	}
	return wire.Copy(c, r)
}

// WriteTo gives w what the peer sends, to its end, as ReadFrom.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if c.server.observesData() {
		return wire.Copy(w, c)
	}
	return c.stream.CopyTo(w, c)
}

// CloseWrite ends the sending side: in TLS with close_notify and FIN, on plain
// connections with FIN. Reading goes on.
func (c *Conn) CloseWrite() error { return c.stream.CloseWrite() }

// Close ends the connection without losing what was written: close_notify,
// FIN, and a wait for the peer's end, at most LingerTimeout. The server does
// so when the Handler has returned; a Handler need not.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() { err = c.stream.Close() })
	return err
}

// Reset ends the connection with a TCP reset: what the peer has not taken yet
// may be lost, and nothing says good-bye. Where the transport has no resets (Unix
// sockets) it is closed at once.
func (c *Conn) Reset() error {
	var err error
	c.closing.Do(func() { err = c.stream.Raw.Reset() })
	return err
}

// LocalAddr is the address that the peer connected to: where a PROXY header
// came, the one that it names.
func (c *Conn) LocalAddr() net.Addr {
	if a := c.proxied.Load(); a != nil {
		return a.local
	}
	return c.stream.Raw.LocalAddr()
}

// RemoteAddr is the peer's address: where a PROXY header came, the one that it
// names. That is known once the connection is Established.
func (c *Conn) RemoteAddr() net.Addr {
	if a := c.proxied.Load(); a != nil {
		return a.remote
	}
	return c.stream.Raw.RemoteAddr()
}

// judgedAddr is the client's address as rules see it; the zero value as long as
// a proxy may yet name another one, and where there is none.
func (c *Conn) judgedAddr() netip.Addr {
	if a := c.judged.Load(); a != nil {
		return *a
	}
	return netip.Addr{}
}

// ProxyAddr is the address of the proxy whose header named the peer; nil
// without one.
func (c *Conn) ProxyAddr() net.Addr {
	if a := c.proxied.Load(); a != nil {
		return a.proxy
	}
	return nil
}

// SetDeadline sets when reads and writes fail, as in net.Conn; zero: never. A
// TLS connection cannot be written to after its write deadline has passed.
func (c *Conn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }

// TLS is what was negotiated; nil on plain connections and before the
// handshake has ended.
func (c *Conn) TLS() *tls.ConnectionState {
	if !c.established.Load() || c.stream.TLS == nil {
		return nil
	}
	cs := c.stream.TLS.ConnectionState()
	return &cs
}

// Identity is what the peer's certificate says of it; nil without one.
func (c *Conn) Identity() *Identity {
	cs := c.TLS()
	if cs == nil {
		return nil
	}
	return identityOf(cs)
}

// ID is a name for the connection that the client can compute too: 8 bytes of
// the TLS exporter in hex. It is empty on plain connections, and where TLS 1.2
// without extended master secret has no exporter.
func (c *Conn) ID() string {
	cs := c.TLS()
	if cs == nil {
		return ""
	}
	return wire.ConnectionID(cs)
}

// ServerName is the name that the client asked for; empty on plain connections
// and where it asked for none.
func (c *Conn) ServerName() string { return c.sni }

// OfferedProtos are the application protocols that the client offered,
// preferred first; which one was agreed on is in TLS. They must not be changed.
func (c *Conn) OfferedProtos() []string { return c.protos }

// heard keeps what the Handler may ask of the ClientHello.
func (c *Conn) heard(hello *tls.ClientHelloInfo) {
	c.hello, c.sni, c.protos = true, hello.ServerName, hello.SupportedProtos
}

// Draining is closed when the server begins to drain: a service may then end
// the conversation at a point where it hurts nobody.
func (c *Conn) Draining() <-chan struct{} { return c.server.drainBegun() }

// Annotate adds to what an Observer can say of the connection: which target it
// was forwarded to, for instance.
func (c *Conn) Annotate(attrs ...slog.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attrs = append(c.attrs, attrs...)
}

// Attrs are what Annotate has added, in that order.
func (c *Conn) Attrs() []slog.Attr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.attrs)
}

// BytesRead counts what was read from the peer, without TLS' own bytes.
func (c *Conn) BytesRead() int64 { return c.stream.BytesRead() }

// BytesWritten counts what was sent to the peer, without TLS' own bytes.
func (c *Conn) BytesWritten() int64 { return c.stream.BytesWritten() }

// refuse ends the connection of a peer that a new trust value refuses.
func (c *Conn) refuse(refusal error) { c.abortFor(reason.Of(refusal, ""), refusal) }

// abort ends the connection for a reason of the server's.
func (c *Conn) abort(why Reason) { c.abortFor(why, nil) }

func (c *Conn) abortFor(why Reason, refusal error) {
	c.mu.Lock()
	first := c.abortWhy == ""
	if first {
		c.abortWhy, c.refusal = why, refusal
		c.finishLocked()
	}
	c.mu.Unlock()
	if first {
		c.stream.Raw.Abort()
		if c.handedOut.Load() {
			go c.server.endHandedOut(c)
		}
	}
}

// finish ends the ctx of the Handler.
func (c *Conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked()
}

func (c *Conn) finishLocked() {
	if !c.over && c.done != nil {
		close(c.done)
	}
	c.over = true
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// afterOver calls f in a goroutine of its own once the connection must end, or
// has. stop reports whether it has kept it from that.
func (c *Conn) afterOver(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

// cause is the error that an end is told with: why the peer was refused, else
// what went wrong.
func (c *Conn) cause(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal != nil {
		return c.refusal
	}
	return err
}

// aborted is closed once the connection must end, or has.
func (c *Conn) aborted() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.over {
			close(c.done)
		}
	}
	return c.done
}

// why finds the reason for an end: the server's own, then the error, then how
// the peer's side ended, which the Handler may not have reported.
func (c *Conn) why(err error) Reason {
	c.mu.Lock()
	abortWhy := c.abortWhy
	c.mu.Unlock()
	if abortWhy != "" {
		return abortWhy
	}
	if !c.established.Load() {
		return c.whyNoHandshake(err)
	}
	why := reason.Of(err, "service")
	if why == reason.Shutdown { // not ours: the Handler's own Close, or its own ctx
		why = reason.Done
	}
	if why == reason.Done && c.stream.End() == wire.Truncated {
		return reason.Truncated
	}
	return why
}
