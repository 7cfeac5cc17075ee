package tlsserver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"tcps/internal/starttls"
)

// errPlainCancel: a Listener's connections are all TLS.
var errPlainCancel = errors.New("a CancelRequest in plain has no Handler here")

func (s *Server) checkStartTLS() error {
	if err := starttls.CheckServer(s.StartTLS); err != nil {
		return fmt.Errorf("tlsserver: %w", err)
	}
	if s.StartTLSCancelPlain && s.StartTLS != "postgres" {
		return errors.New("tlsserver: StartTLSCancelPlain is for StartTLS postgres only")
	}
	return nil
}

// startTLS talks with the client until it begins TLS. Deadline and slot are
// those of the wait for its hello. A client that cancels in plain leaves a
// connection that is not TLS.
func (s *Server) startTLS(c *Conn) error {
	if s.StartTLS == "" {
		return nil
	}
	raw := c.stream.Raw
	dialogue := starttls.Server{
		Protocol:    s.StartTLS,
		Local:       c.LocalAddr(),
		CancelPlain: s.StartTLSCancelPlain,
		Version:     c.StartTLSVersion(),
	}
	accepted, err := dialogue.Accept(raw)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return WithReason(ReasonClosedBeforeHello, err)
	case err != nil:
		c.told = true
		return err
	case accepted.Cancel != nil:
		c.cancelInPlain(accepted.Cancel)
	case accepted.Unread != nil:
		raw.Unread(accepted.Unread)
	default:
		c.startTLS = s.StartTLS
	}
	return nil
}

// cancelInPlain leaves nothing to be read but the request.
func (c *Conn) cancelInPlain(request []byte) {
	c.stream.Raw.EndAfter(request)
	c.stream.Raw.SetDeadline(time.Time{})
	c.layer = plain
	c.stream.TLS = nil // before established is set: who looks at TLS looks at that first
	c.Annotate(slog.String("cancel", "plain"))
	c.established.Store(true)
}

// StartTLS is the protocol by whose dialogue the connection went over to TLS;
// empty: it began with TLS, or is plain.
func (c *Conn) StartTLS() string { return c.startTLS }

// SetStartTLSVersion is what clients of StartTLS mysql hear from now on that the
// server is. Before the first call they hear a default: the target of a tunnel
// is asked only once a client's handshake has ended.
func (c *Conn) SetStartTLSVersion(version string) { c.server.version.Store(&version) }

// StartTLSVersion is what SetStartTLSVersion was called with last.
func (c *Conn) StartTLSVersion() string {
	if v := c.server.version.Load(); v != nil {
		return *v
	}
	return ""
}
