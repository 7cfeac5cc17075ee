package tlsclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// OnEOF says what a Session does at the end of its input.
type OnEOF int

// The modes.
const (
	EOFHalf OnEOF = iota // end the sending side, and read to the server's end
	EOFKeep              // send nothing more, and read to the server's end
	EOFExit              // end at once
)

// The ways in which an expected text can fail to come.
var (
	ErrNotFound    = errors.New("the server ended, and the expected text had not come")
	ErrLineTooLong = errors.New("the server sent a line that is too long, and the expected text had not come")
)

// A Session couples a connection with an input and an output, as the command
// tcps connect does, with back-pressure both ways. Conn and Out are required;
// Run may be called once.
type Session struct {
	Conn *Conn
	Out  io.Writer // what the server sends

	// In is sent to the server; nil: nothing. Send goes before it.
	In   io.Reader
	Send []byte

	// CRLF ends each line of In and Send with \r\n: a \n that has no \r before it
	// gets one.
	CRLF bool

	// OnEOF is what happens at the end of In.
	OnEOF OnEOF

	// Expect, if set, ends the session as soon as the server has sent it. Until
	// then the sending side is not closed. MaxLineBytes bounds what the server
	// may send without a line end meanwhile; 0 or less: 64 KiB.
	Expect       []byte
	MaxLineBytes int

	// Idle ends the session after that long a silence in both directions.
	// 0 or less: never.
	Idle time.Duration

	// Interrupt ends the sending side when it is closed. Nil: nothing does.
	Interrupt <-chan struct{}

	last atomic.Int64 // Unix nanoseconds of the last byte, in either direction
}

// Run returns nil when the session has ended as it should: when the server
// ended, Expect was found, or with EOFExit at the end of In. The connection is
// closed then; the end of ctx closes it too. A goroutine may stay in In.Read
// or Out.Write until that returns.
func (s *Session) Run(ctx context.Context) error {
	s.touch()
	sent, received := make(chan error, 1), make(chan error, 1)
	go func() { sent <- s.send() }()
	go func() { received <- s.receive() }()
	err := s.wait(ctx, sent, received)
	if err != nil || len(s.Expect) > 0 {
		s.Conn.Abort() // there is nothing more to wait for
	}
	s.Conn.Close()
	return err
}

func (s *Session) wait(ctx context.Context, sent, received <-chan error) error {
	var sendErr error
	interrupt := s.Interrupt
	for {
		select {
		case err := <-received:
			select {
			case sendErr = <-sent: // both have ended: input that was lost counts
			default:
			}
			// A server that refuses us says why on its side, while ours only breaks.
			return cmp.Or(err, sendErr)
		case sendErr = <-sent:
			sent = nil
			if err := s.afterInput(sendErr); err != nil {
				if err == io.EOF {
					return nil
				}
				return err
			}
		case <-interrupt:
			interrupt, sent = nil, nil // that sending breaks off is asked for
			go s.Conn.CloseWrite()     // a write of ours may be stuck
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// afterInput does what OnEOF says; io.EOF means that the session is over.
func (s *Session) afterInput(sendErr error) error {
	if inputErr, ok := errors.AsType[*inputError](sendErr); ok {
		return inputErr
	}
	switch {
	case sendErr != nil, len(s.Expect) > 0, s.OnEOF == EOFKeep:
		return nil
	case s.OnEOF == EOFExit:
		return io.EOF
	default:
		s.Conn.CloseWrite()
		return nil
	}
}

// An inputError is a fault of In, not of the connection.
type inputError struct{ err error }

func (e *inputError) Error() string { return "read input: " + e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

func (s *Session) send() error {
	var conn io.Writer = s.Conn
	if s.CRLF {
		conn = &crlfWriter{w: conn}
	}
	if len(s.Send) > 0 {
		if _, err := conn.Write(s.Send); err != nil {
			return err
		}
		s.touch()
	}
	if s.In == nil {
		return nil
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := s.In.Read(buf)
		if n > 0 {
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
			s.touch()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &inputError{err}
		}
	}
}

// bufferSize is the largest that one read of a tls.Conn fills (RFC 8446, 5.1).
const bufferSize = 16 << 10

func (s *Session) receive() error {
	watch := expecter{text: s.Expect, maxLine: s.MaxLineBytes}
	if watch.maxLine <= 0 {
		watch.maxLine = 64 << 10
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := s.read(buf)
		if n > 0 {
			s.touch()
			if _, err := s.Out.Write(buf[:n]); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
			s.touch() // time that the output took is no silence of the server
			if len(s.Expect) > 0 {
				if found, err := watch.see(buf[:n]); found || err != nil {
					return err
				}
			}
		}
		if err == io.EOF && len(s.Expect) > 0 {
			return ErrNotFound
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *Session) touch() { s.last.Store(time.Now().UnixNano()) }

// read is Conn.Read that takes a silence of the server for one only if nothing
// was sent either.
func (s *Session) read(buf []byte) (int, error) {
	if s.Idle <= 0 {
		return s.Conn.Read(buf)
	}
	for {
		until := time.Unix(0, s.last.Load()).Add(s.Idle)
		s.Conn.SetReadDeadline(until)
		n, err := s.Conn.Read(buf)
		failed, ok := errors.AsType[*Error](err)
		if n > 0 || !ok || !failed.Timeout() || time.Unix(0, s.last.Load()).Add(s.Idle) == until {
			return n, err
		}
	}
}

// An expecter looks for a text in a stream.
type expecter struct {
	text    []byte
	maxLine int

	tail []byte // the last len(text)-1 bytes seen
	line int    // bytes since the last line end
}

// see reports whether the text has come with b. The text may lie across any
// number of calls, and it may hold line ends itself.
func (e *expecter) see(b []byte) (bool, error) {
	window := append(e.tail, b...)
	at := bytes.Index(window, e.text)
	if at >= 0 {
		b = b[:max(0, at+len(e.text)-len(e.tail))]
	}
	if e.tooLong(b) {
		return false, ErrLineTooLong
	}
	e.tail = append(e.tail[:0], window[max(0, len(window)-len(e.text)+1):]...)
	return at >= 0, nil
}

// tooLong counts on through b, up to the text if it was found: a line that is
// too long before it comes first.
func (e *expecter) tooLong(b []byte) bool {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			e.line += len(b)
			return e.line > e.maxLine
		}
		if e.line+end > e.maxLine {
			return true
		}
		e.line, b = 0, b[end+1:]
	}
}
