// Package wire is what lies between TLS and the socket, and the byte stream
// above both: it tells how a stream ended, counts its bytes, and closes it so
// that nothing already written is lost.
package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// abortGrace is what an aborted connection has left for its close_notify and
// for the peer to take what was written.
const abortGrace = 250 * time.Millisecond

// closeNotifyTimeout is what crypto/tls gives the close_notify of its Close.
const closeNotifyTimeout = 5 * time.Second

// errNoCloseWrite is returned by CloseWrite where the transport has no
// half-close (net.Pipe). It matches errors.ErrUnsupported.
var errNoCloseWrite = &net.OpError{Op: "close", Net: "half", Err: errors.ErrUnsupported}

// A Conn is the net.Conn under TLS. It remembers whether the peer's FIN was
// seen, which crypto/tls does not tell from a close_notify, and its Close
// sends a FIN, waits a while for the peer's end, and only then closes:
// closing with unread input would send a reset, which can destroy bytes that
// the peer has not read yet (RFC 1122, 4.2.2.13).
type Conn struct {
	net.Conn

	sawEOF   atomic.Bool  // the peer's FIN was read
	wasReset atomic.Bool  // a write met the peer's reset, which reading then does not tell
	received atomic.Int64 // bytes that TLS or the plain stream took from the socket
	sent     atomic.Int64 // bytes that the socket took from them
	writes   atomic.Int64 // writes that have begun
	written  atomic.Int64 // writes that have ended

	in, out *pace // set before the first read and write; nil: as fast as it goes

	reading sync.Mutex   // held by who reads from the socket
	unread  []byte       // to be read before the socket; guarded by reading
	noMore  bool         // after unread nothing is read; as unread
	writing sync.RWMutex // held for reading by who writes to the socket

	mu         sync.Mutex
	linger     time.Duration // bounds the wait in Close; guarded by mu, as all below
	abortUntil time.Time     // set by Abort; mu also orders deadlines after it
	closed     bool
	patient    bool // SetWriteDeadline has no effect: CloseWrite of a Stream is under way
}

// NewConn puts a Conn on a socket. Its Close does not wait before SetLinger.
func NewConn(nc net.Conn) *Conn { return &Conn{Conn: nc} }

// SetLinger bounds the wait in Close; 0 or less: no wait.
func (c *Conn) SetLinger(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linger = d
}

// Read reads from the socket. A FIN is reported by itself, never together
// with bytes, so that SawEOF is true only once all bytes were taken. After a
// write that met a reset, the kernel reports an end where the reset was.
func (c *Conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	if c.noMore {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:c.in.await(c, len(b))])
	if n > 0 {
		c.received.Add(int64(n))
		c.in.took(n)
		return n, nil
	}
	if err != nil && c.isClosed() {
		return 0, net.ErrClosed // woken by Close
	}
	if err == io.EOF && c.metReset() {
		return 0, errReset
	}
	if err == io.EOF {
		c.sawEOF.Store(true)
	}
	return n, err
}

// metReset reports whether an end is none. Writes that are under way may have
// met a reset and not noted it yet: they return at once, if it was one.
func (c *Conn) metReset() bool {
	if !c.wasReset.Load() && c.disconnected() {
		c.writing.Lock()
		defer c.writing.Unlock()
	}
	return c.wasReset.Load()
}

// Waiting reports whether bytes have come that nobody has read; it does not wait
// for them, but for a Read that is under way. Transports other than sockets
// cannot tell: false.
func (c *Conn) Waiting() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.unread) > 0 {
		return true
	}
	there := false
	return c.control(func(fd uintptr) { there = waiting(fd) }) && there
}

// disconnected reports whether the connection is over in both directions. A FIN
// ends but one.
func (c *Conn) disconnected() bool {
	var peer error
	return c.control(func(fd uintptr) { peer = peerOf(fd) }) && errors.Is(peer, syscall.ENOTCONN)
}

// control looks at the socket, if it is one.
func (c *Conn) control(look func(fd uintptr)) bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	return err == nil && raw.Control(look) == nil
}

// Write writes to the socket.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.writing.RLock()
	defer c.writing.RUnlock()
	for {
		part := b[n : n+c.out.await(c, len(b)-n)]
		c.writes.Add(1)
		m, err := c.Conn.Write(part)
		c.written.Add(1)
		c.sent.Add(int64(m))
		c.out.took(m)
		n += m
		if err != nil {
			c.noteReset(err)
			return n, err
		}
		if n == len(b) {
			return n, nil
		}
	}
}

// noteReset notes what reading will not tell any more. EPIPE is a reset too, but
// one that reading has told of, or that came after the peer's FIN, as when it
// has closed and we go on sending: the end that reading then finds is one.
func (c *Conn) noteReset(err error) {
	if IsReset(err) && !errors.Is(err, syscall.EPIPE) {
		c.wasReset.Store(true)
	}
}

// Unread gives bytes back that were read too early: the next reads return them
// before what the socket has. It keeps b.
func (c *Conn) Unread(b []byte) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.unread = append(b[:len(b):len(b)], c.unread...)
}

// EndAfter makes the next reads return b and then io.EOF, whatever the peer
// still sends. It keeps b.
func (c *Conn) EndAfter(b []byte) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.unread, c.noMore = b, true
}

// errReset is the reset that was met elsewhere.
var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// SawEOF reports whether the peer's FIN was read.
func (c *Conn) SawEOF() bool { return c.sawEOF.Load() }

// Received is the number of bytes read from the socket so far.
func (c *Conn) Received() int64 { return c.received.Load() }

// Sent is the number of bytes written to the socket so far.
func (c *Conn) Sent() int64 { return c.sent.Load() }

// Writing numbers the write that is under way; 0: none is.
func (c *Conn) Writing() int64 {
	written := c.written.Load() // first: one that ends between the two is not under way
	if begun := c.writes.Load(); begun > written {
		return begun
	}
	return 0
}

// CloseWrite sends a FIN; reading goes on.
func (c *Conn) CloseWrite() error {
	hc, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errNoCloseWrite
	}
	err := hc.CloseWrite()
	if errors.Is(err, syscall.ENOTCONN) { // shutdown(2) of what the peer has reset
		return errReset
	}
	return err
}

// Abort makes every read fail at once, and every write that is under way. It
// leaves Close a moment to say good-bye. It may be called at any time, and
// from any goroutine.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abortUntil.IsZero() {
		c.abortUntil = time.Now().Add(abortGrace)
	}
	if c.closed { // it waits already for the peer to take what was written
		c.Conn.SetReadDeadline(c.abortUntil)
		return
	}
	c.Conn.SetDeadline(past)
}

// past is a deadline that is over on every clock.
var past = time.Unix(1, 0)

// Aborted reports whether Abort was called.
func (c *Conn) Aborted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.abortUntil.IsZero()
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline has no effect after Abort, when reads keep failing, and after
// Close, whose wait has its own.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.abortUntil.IsZero() {
		return nil
	}
	c.in.setDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets no later deadline than Abort leaves: crypto/tls sets
// one of its own for the close_notify, of five seconds, which it has in a Close,
// but not where only one side ends: what was written before may take longer.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patient {
		return nil
	}
	return c.setWriteDeadline(t)
}

// setPatient is set while a close_notify may wait for the peer to read, as any
// other write does.
func (c *Conn) setPatient(patient bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patient = patient
}

// hurry ends a close_notify's patience: Close waits for it.
func (c *Conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patient {
		c.patient = false
		c.setWriteDeadline(time.Now().Add(closeNotifyTimeout))
	}
}

// limitWrites is SetWriteDeadline for others than crypto/tls.
func (c *Conn) limitWrites(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setWriteDeadline(t)
}

// setWriteDeadline is called with mu held.
func (c *Conn) setWriteDeadline(t time.Time) error {
	if !c.abortUntil.IsZero() && (t.IsZero() || t.After(c.abortUntil)) {
		t = c.abortUntil
	}
	c.out.setDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}

// Close makes the reads of others fail, sends a FIN, discards what the peer
// still sends until its FIN or while the wait lasts (after Abort: a moment),
// and closes. The second call does nothing.
func (c *Conn) Close() error {
	linger, first := c.startClose()
	if !first {
		return nil
	}
	if linger && !c.SawEOF() && c.CloseWrite() == nil {
		c.discard()
	}
	return c.Conn.Close()
}

// Reset closes with a reset where there is such a thing: the peer's reads fail,
// and what either side had not read yet is gone (RFC 9293, 3.10.7.4).
func (c *Conn) Reset() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		return nil
	}
	if tcp, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	return c.Conn.Close()
}

// startClose wakes whoever reads. Without deadlines it cannot, nor bound a wait.
func (c *Conn) startClose() (linger, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, false
	}
	c.closed = true
	return c.linger > 0 && c.Conn.SetReadDeadline(past) == nil, true
}

// discard is the wait.
func (c *Conn) discard() {
	c.setLingerDeadline()
	io.Copy(io.Discard, lingerReader{c})
}

// setLingerDeadline first waits for the last reader to go: a deadline that is
// set anew before it has woken would not wake it at all. Readers that come
// later see that it is closed.
func (c *Conn) setLingerDeadline() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(c.linger)
	if !c.abortUntil.IsZero() && c.abortUntil.Before(until) {
		until = c.abortUntil
	}
	c.Conn.SetReadDeadline(until)
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// A lingerReader reads on behalf of Close only: not counted, and without the
// WriterTo of the socket, which would splice to a discard that has no descriptor.
type lingerReader struct{ c *Conn }

func (r lingerReader) Read(b []byte) (int, error) { return r.c.Conn.Read(b) }

// IsReset reports whether err is a connection that the peer has reset.
func IsReset(err error) bool {
	if err == nil {
		return false
	}
	for _, errno := range resets {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// IsTimeout reports whether err is a deadline that has passed.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
