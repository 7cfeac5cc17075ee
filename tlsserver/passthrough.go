package tlsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// ServePassthrough is Serve for TLS that is not terminated here: each
// connection's ClientHello is read, at most 16 KiB of it within
// HandshakeTimeout, and the Handler gets the connection as it came, with the
// hello to be read first. ServerName and OfferedProtos are known then, TLS and
// Identity are not: nobody is authenticated. It needs no trust value.
func (s *Server) ServePassthrough(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, passedOn)
}

// maxHello bounds a ClientHello, records' headers included. Those with
// post-quantum keys have about 2 KiB.
const maxHello = 16 << 10

var errPeeked = errors.New("the ClientHello has been read")

// peekHello has crypto/tls read the ClientHello, from bytes that are given back.
func (c *Conn) peekHello() error {
	p := &peeker{raw: c.stream.Raw}
	err := tls.Server(p, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c.heard(hello)
		return nil, errPeeked
	}}).Handshake()
	if !errors.Is(err, errPeeked) {
		return err
	}
	c.stream.Raw.Unread(p.seen)
	return nil
}

// A peeker is the net.Conn under a handshake that does not take place: it keeps
// what is read, and nothing is written.
type peeker struct {
	raw  *wire.Conn
	seen []byte
}

func (p *peeker) Read(b []byte) (int, error) {
	left := maxHello - len(p.seen)
	if left == 0 {
		return 0, WithReason(reason.Limit("hello"), fmt.Errorf("a ClientHello of more than %d bytes", maxHello))
	}
	n, err := p.raw.Read(b[:min(len(b), left)])
	p.seen = append(p.seen, b[:n]...)
	if err == io.EOF && n == 0 && len(p.seen) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *peeker) Write(b []byte) (int, error)      { return len(b), nil }
func (p *peeker) Close() error                     { return nil }
func (p *peeker) LocalAddr() net.Addr              { return p.raw.LocalAddr() }
func (p *peeker) RemoteAddr() net.Addr             { return p.raw.RemoteAddr() }
func (p *peeker) SetDeadline(time.Time) error      { return nil }
func (p *peeker) SetReadDeadline(time.Time) error  { return nil }
func (p *peeker) SetWriteDeadline(time.Time) error { return nil }
