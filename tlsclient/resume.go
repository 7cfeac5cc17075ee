package tlsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"tcps/internal/endpoint"
	"tcps/internal/reason"
)

// TicketWait is the longest that Resume waits for a session ticket, which a
// server of TLS 1.3 sends after the handshake (RFC 8446, 4.6.1).
const TicketWait = 3 * time.Second

// Resume dials twice: it shakes hands in full, waits for a session ticket, ends
// that connection, and resumes its session in the connection that it returns. What
// the server says on the first is read and dropped. Sessions, if set, gets what
// comes. Where the second was not resumed, the error says why, and its Reason is
// ReasonNotResumed.
// Timeout bounds each dialling; half of it, and TicketWait, the wait in between.
func (d *Dialer) Resume(ctx context.Context, s string) (*Conn, error) {
	tickets := &ticketWatch{inner: d.Sessions}
	watched := *d
	watched.Sessions = tickets
	first, err := watched.Dial(ctx, s)
	if err != nil {
		return nil, err
	}
	if first.TLS() == nil {
		first.Close()
		return nil, notResumed(s, "there are no sessions on a plain connection")
	}
	err = tickets.await(ctx, first, d.ticketWait())
	first.stream.Raw.SetLinger(min(d.linger(), alertLinger))
	first.Close()
	if err != nil {
		return nil, err
	}
	second, err := watched.Dial(ctx, s)
	if err != nil {
		return nil, err
	}
	if second.TLS().DidResume {
		return second, nil
	}
	second.Abort()
	second.Close()
	return nil, notResumed(s, tickets.whyFull(first, second))
}

func (d *Dialer) ticketWait() time.Duration {
	if timeout := d.timeout(); timeout > 0 {
		return min(TicketWait, timeout/2)
	}
	return TicketWait
}

func notResumed(endpoint, why string) error {
	return &Error{Op: opResume, Endpoint: endpoint, Reason: reason.NotResumed, Err: errors.New(why)}
}

// A ticketWatch is a session cache that knows what became of its ticket. It is
// used by one goroutine: the one that dials and reads.
type ticketWatch struct {
	inner   tls.ClientSessionCache // is told what comes; nil: nobody is
	onPut   func()                 // nil: nobody waits
	session *tls.ClientSessionState
	expired bool // the session was given back: crypto/tls did not offer it
}

func (w *ticketWatch) Get(string) (*tls.ClientSessionState, bool) { return w.session, w.session != nil }

func (w *ticketWatch) Put(key string, session *tls.ClientSessionState) {
	if session == nil {
		w.expired = true
	} else {
		w.session, w.expired = session, false
	}
	if w.inner != nil {
		w.inner.Put(key, session)
	}
	if w.onPut != nil {
		w.onPut()
	}
}

// bind is for what is inside: it may be a SessionFile.
func (w *ticketWatch) bind(d *Dialer, c *Conn, e endpoint.Endpoint, name string) tls.ClientSessionCache {
	if b, ok := w.inner.(sessionBinder); ok {
		w.inner = b.bind(d, c, e, name)
	}
	return w
}

// await reads until a ticket has come.
func (w *ticketWatch) await(ctx context.Context, c *Conn, limit time.Duration) error {
	if w.session != nil {
		return nil
	}
	if c.TLS().Version < tls.VersionTLS13 {
		return notResumed(c.endpoint, "the server gave no session ticket in the handshake: it has tickets off (sessions that only it keeps, by their ID, are not resumed here)")
	}
	stop := context.AfterFunc(ctx, c.Abort)
	defer stop()
	w.onPut = func() { c.SetReadDeadline(past) } // a server that says nothing must not hold Read
	defer func() { w.onPut = nil }()
	c.SetReadDeadline(time.Now().Add(limit))
	for buf := make([]byte, bufferSize); ; {
		_, err := c.Read(buf)
		failed, _ := errors.AsType[*Error](err)
		switch {
		case w.session != nil:
			return nil
		case ctx.Err() != nil:
			return &Error{Op: opResume, Endpoint: c.endpoint, Reason: reason.Of(context.Cause(ctx), "ticket"), Err: bare(context.Cause(ctx))}
		case err == io.EOF:
			return notResumed(c.endpoint, "the server ended the connection, and had sent no session ticket")
		case failed != nil && failed.Timeout():
			return notResumed(c.endpoint, fmt.Sprintf("no session ticket came within %v of the handshake: the server has tickets off, or sends them later", limit))
		case err != nil:
			return err
		}
	}
}

// whyFull says what is known of a full handshake in spite of a ticket.
func (w *ticketWatch) whyFull(first, second *Conn) string {
	if w.expired {
		return "a session ticket came, and was no longer good for anything: its lifetime is over already"
	}
	why := "a session ticket came and was offered, and the server made a full handshake all the same"
	if first.RemoteAddr().String() != second.RemoteAddr().String() {
		return fmt.Sprintf("%s: the ticket is of %s, and %s does not know it", why, first.RemoteAddr(), second.RemoteAddr())
	}
	return why + ": it does not know the ticket any more, or refuses what it could resume"
}
