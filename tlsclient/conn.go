package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// ErrTruncated is what Conn.Read returns, in an *Error, when the server's TLS
// stream was cut: it ended without close_notify, so bytes may be missing. It
// matches io.ErrUnexpectedEOF.
var ErrTruncated = wire.ErrTruncated

// A Conn is a connection to a server: a net.Conn with half-close. Its methods
// may be called concurrently. Errors of Read and Write other than io.EOF are
// *Error values.
type Conn struct {
	stream    wire.Stream
	endpoint  string
	untrusted error // set before the handshake ends
	startTLS  string
	via       string
	known     KnownHost
	learned   bool
	greeting  []byte
	timing    Timing
	presented presented     // set before the handshake ends
	kept      chan struct{} // closed once a SessionFile has got the session; nil: there is none
	endsRead  bool          // a session that is kept ends the Read under way; set by who reads
}

// presented is what a server showed of itself.
type presented struct {
	chain []*x509.Certificate
	ocsp  []byte
}

// Read reads what the server sent; io.EOF is its clean end. With TLS 1.3 a
// server's refusal of the client's certificate comes here, as the Reason
// peer-refused-us: the handshake has ended for the client by then (RFC 8446, 2).
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	return n, c.wrap(opRead, err)
}

// Write sends b, as fast as the server takes it.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.stream.Write(b)
	return n, c.wrap(opWrite, err)
}

// ReadFrom sends what r has, to its end. It makes io.Copy use buffers that are
// kept for others; from one plain connection to another, of this package or of
// tlsserver, Linux moves the bytes by itself (splice).
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if n, err, ok := c.stream.Take(r); ok {
		return n, c.wrap(opWrite, err)
	}
	return wire.Copy(c, r)
}

// WriteTo gives w what the server sends, to its end, as ReadFrom.
func (c *Conn) WriteTo(w io.Writer) (int64, error) { return c.stream.CopyTo(w, c) }

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &Error{Op: op, Endpoint: c.endpoint, Via: c.via, Reason: reason.Of(err, "idle"), Err: bare(err)}
}

// CloseWrite ends the sending side: in TLS with close_notify and FIN, on plain
// connections with FIN. Reading goes on.
func (c *Conn) CloseWrite() error { return c.wrap(opHalfClose, c.stream.CloseWrite()) }

// Close ends the connection without losing what was written: close_notify,
// FIN, and a wait for the server's end, at most the Dialer's LingerTimeout.
func (c *Conn) Close() error { return c.stream.Close() }

// Abort makes reads and writes fail at once, those under way too; Close is
// still to be called, and does not wait long.
func (c *Conn) Abort() { c.stream.Raw.Abort() }

// Reset ends the connection with a TCP reset: what the server has not taken yet
// may be lost, and nothing says good-bye. Where the transport has no resets (Unix
// sockets) it is closed at once.
func (c *Conn) Reset() error { return c.stream.Raw.Reset() }

// Endpoint is what was dialled.
func (c *Conn) Endpoint() string { return c.endpoint }

// LocalAddr is the address that was dialled from.
func (c *Conn) LocalAddr() net.Addr { return c.stream.Raw.LocalAddr() }

// RemoteAddr is the server's address, or that of the proxy that leads to it.
func (c *Conn) RemoteAddr() net.Addr { return c.stream.Raw.RemoteAddr() }

// SetDeadline sets when reads and writes fail, as in net.Conn; zero: never. A
// TLS connection cannot be written to after its write deadline has passed.
func (c *Conn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }

// TLS is what was negotiated; nil on plain connections.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.stream.TLS == nil {
		return nil
	}
	cs := c.stream.TLS.ConnectionState()
	return &cs
}

// ID is a name for the connection that the server can compute too: 8 bytes of
// the TLS exporter in hex. It is empty on plain connections, and where TLS 1.2
// without extended master secret has no exporter.
func (c *Conn) ID() string {
	cs := c.TLS()
	if cs == nil {
		return ""
	}
	return wire.ConnectionID(cs)
}

// Timing is how long the steps of dialling took.
type Timing struct {
	Connect   time.Duration // to a connection: name resolution and all addresses that were tried
	StartTLS  time.Duration // asking for TLS in plain; 0: it was not asked for
	Handshake time.Duration // of TLS; 0 on plain connections
}

// Timing says how long dialling took.
func (c *Conn) Timing() Timing { return c.timing }

// A stopwatch measures one step after another.
type stopwatch struct{ last time.Time }

func (w *stopwatch) lap(d *time.Duration) {
	now := time.Now()
	*d, w.last = now.Sub(w.last), now
}

// BytesRead is how many bytes of the stream itself Read has given.
func (c *Conn) BytesRead() int64 { return c.stream.BytesRead() }

// BytesWritten is how many bytes of the stream itself were sent.
func (c *Conn) BytesWritten() int64 { return c.stream.BytesWritten() }

// Untrusted is why the server's certificate would have been refused, had the
// Dialer not been Insecure, as an *Error; nil: it is good.
func (c *Conn) Untrusted() error {
	if c.untrusted == nil {
		return nil
	}
	return &Error{Op: opVerify, Endpoint: c.endpoint, Reason: reason.Of(c.untrusted, ""), Err: c.untrusted}
}
