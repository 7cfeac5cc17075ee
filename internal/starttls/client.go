package starttls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// A Client is the dialling side of a dialogue.
type Client struct {
	Protocol string

	// Local is where we connect from: smtp and lmtp name it.
	Local net.Addr

	// ServerName is whom we want to talk to: xmpp and xmpp-server name it.
	ServerName string

	// Login is that of the MySQL client that the connection is for; nil: nobody's yet.
	Login *Login
}

// Request holds the dialogue with a server until TLS begins. It returns what
// the server said first, nil in protocols in which it says nothing. A server
// that refuses us by its greeting is a *Refusal, one that goes on in plain an
// *Injection. It may have read more than the dialogue if it fails.
func (c *Client) Request(rw io.ReadWriter) (greeting []byte, err error) {
	p, err := find(c.Protocol)
	if err != nil {
		return nil, err
	}
	a := &ahead{Writer: rw, r: rw}
	greeting, err = p.request(c, a)
	if err == nil && len(a.unread) > 0 {
		return nil, c.Injected(a.unread)
	}
	switch errno, _ := errors.AsType[syscall.Errno](err); {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("the server has ended the connection without agreeing to TLS: %w", io.ErrUnexpectedEOF)
	case wire.IsReset(err): // the same, of a server that has not read what we said
		err = fmt.Errorf("the server has ended the connection without agreeing to TLS: %w", errno)
	}
	return greeting, wrap(c.Protocol, err)
}

// An ahead reads whatever has come, so that what a server says after its last
// word is seen.
type ahead struct {
	io.Writer
	r      io.Reader
	space  [4 << 10]byte
	unread []byte // of space
}

func (a *ahead) Read(b []byte) (int, error) {
	if len(a.unread) == 0 {
		n, err := a.r.Read(a.space[:])
		if n == 0 {
			return 0, err
		}
		a.unread = a.space[:n]
	}
	n := copy(b, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}

// An Injection is what stands in plain between a server's agreement to TLS and
// TLS: anybody on the way may have put it there, for a client that takes it for
// a part of the encrypted stream (CVE-2011-0411, CVE-2021-23222).
type Injection struct{ Bytes []byte }

func (i *Injection) Error() string {
	const shown = 40
	if len(i.Bytes) > shown {
		return fmt.Sprintf("the server goes on in plain, with %q…, after it has agreed to TLS: anybody on the way may have put that in", i.Bytes[:shown])
	}
	return fmt.Sprintf("the server goes on in plain, with %q, after it has agreed to TLS: anybody on the way may have put that in", i.Bytes)
}

// Injected is the error for such bytes: they are no TLS, whatever they look like.
func (c *Client) Injected(b []byte) error {
	return wrap(c.Protocol, &reason.Error{Reason: reason.NotTLS, Err: &Injection{Bytes: bytes.Clone(b)}})
}

// A Refusal is a server that greeted us with a refusal.
type Refusal struct{ Words []byte }

func (r *Refusal) Error() string {
	return fmt.Sprintf("it refuses us: %q", bytes.TrimRight(r.Words, "\r\n"))
}
