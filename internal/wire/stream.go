package wire

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// ErrTruncated is what reading returns when a TLS stream was cut: the
// transport ended without the close_notify that says that nothing is missing
// (RFC 8446, 6.1). It matches io.ErrUnexpectedEOF.
var ErrTruncated = fmt.Errorf("tls stream truncated, ended without close_notify: %w", io.ErrUnexpectedEOF)

// An End is how the peer's side of a stream ended, as far as it was read.
type End int32

// The ends of a stream.
const (
	Open      End = iota // not ended, or not read to its end
	Clean                // FIN on plain streams, close_notify in TLS
	Truncated            // TLS, without close_notify
)

// A Stream is a byte stream over a Conn, in TLS or plain. Its methods may be
// called concurrently as those of net.Conn.
type Stream struct {
	Raw *Conn
	TLS *tls.Conn // nil: plain

	in, out atomic.Int64
	end     atomic.Int32
}

func (s *Stream) conn() net.Conn {
	if s.TLS != nil {
		return s.TLS
	}
	return s.Raw
}

// Read returns io.EOF after a clean end, ErrTruncated when a TLS stream was
// cut, and an error that matches net.ErrClosed after Abort.
func (s *Stream) Read(b []byte) (int, error) {
	n, err := s.conn().Read(b)
	s.in.Add(int64(n))
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		return n, s.ended()
	case s.TLS != nil && err == io.ErrUnexpectedEOF: // in the middle of a record
		s.end.CompareAndSwap(int32(Open), int32(Truncated))
		return n, ErrTruncated
	default:
		return n, s.broken("read", err)
	}
}

// ended decides once what an end was: crypto/tls returns io.EOF for a
// close_notify, which it takes from bytes, and for a FIN between two records,
// which the Conn has seen. Later the Conn sees a FIN in either case.
func (s *Stream) ended() error {
	how := Clean
	if s.TLS != nil && s.Raw.SawEOF() {
		how = Truncated
	}
	s.end.CompareAndSwap(int32(Open), int32(how))
	if s.End() == Truncated {
		return ErrTruncated
	}
	return io.EOF
}

// broken says closed for the timeout that is really an Abort.
func (s *Stream) broken(op string, err error) error {
	if IsTimeout(err) && s.Raw.Aborted() {
		return fmt.Errorf("%s: %w", op, net.ErrClosed)
	}
	return err
}

// Write writes to the peer, with back-pressure.
func (s *Stream) Write(b []byte) (int, error) {
	n, err := s.conn().Write(b)
	s.out.Add(int64(n))
	if err != nil {
		return n, s.broken("write", err)
	}
	return n, nil
}

// CloseWrite ends the sending side: close_notify and FIN in TLS, FIN on plain
// streams. Reading goes on. Where the transport has no half-close (net.Pipe)
// only the close_notify is sent.
func (s *Stream) CloseWrite() error {
	if s.TLS == nil {
		return s.Raw.CloseWrite()
	}
	s.Raw.setPatient(true)
	err := s.TLS.CloseWrite()
	s.Raw.setPatient(false)
	if err != nil {
		return err
	}
	if err := s.Raw.CloseWrite(); err != nil && err != errNoCloseWrite {
		return err
	}
	return nil
}

// Close ends the stream in both directions: close_notify, unless a write is
// stuck, then as Conn.Close. After a peer's close_notify nothing can come any
// more, so there is nothing to wait for.
func (s *Stream) Close() error {
	if s.TLS != nil && s.End() == Clean {
		s.Raw.SetLinger(0)
	}
	s.Raw.hurry()
	return s.conn().Close()
}

// SetDeadline, SetReadDeadline and SetWriteDeadline are as in net.Conn; after
// a write deadline has fired a TLS stream cannot be written to any more.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline: see SetDeadline.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn().SetReadDeadline(t) }

// SetWriteDeadline: see SetDeadline.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.Raw.limitWrites(t) }

// BytesRead and BytesWritten count the stream's own bytes, not those of TLS.
func (s *Stream) BytesRead() int64 { return s.in.Load() }

// BytesWritten: see BytesRead.
func (s *Stream) BytesWritten() int64 { return s.out.Load() }

// End is how the peer's side ended.
func (s *Stream) End() End { return End(s.end.Load()) }

// exporterLabel is registered nowhere: RFC 5705, 4 leaves labels that begin
// with EXPORTER- to be registered, and experiments to whoever needs them.
const exporterLabel = "EXPORTER-tcps-connection-id"

// ConnectionID is a name for a TLS connection that both of its ends compute
// without sending anything: 8 bytes of the exporter (RFC 5705; RFC 8446, 7.5)
// in hex. It is empty where TLS 1.2 without extended master secret (RFC 7627)
// has no exporter.
func ConnectionID(cs *tls.ConnectionState) string {
	id, err := cs.ExportKeyingMaterial(exporterLabel, nil, 8)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(id)
}
