package tlsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"tcps/internal/reason"
	"tcps/internal/terminal"
)

// A Reason is the one word for why dialling failed or how a connection ended,
// in some cases with a detail after a colon: untrusted, name, expired,
// peer-refused-us:certificate_required, truncated … Its ExitCode is the exit
// status of the command.
type Reason = reason.Reason

// An Error says what was attempted, on what, and why it failed.
type Error struct {
	Op         string // connect to, shake hands with, read from, write to
	Endpoint   string
	Reason     Reason
	NotReached bool // there was no connection: a name that does not resolve, a refused port
	Err        error
}

// Error is one line that is safe to print: crypto/x509 writes the names of a
// certificate, which a stranger chose, as they are.
func (e *Error) Error() string {
	return terminal.Printable(e.Op + " " + e.Endpoint + ": " + e.Err.Error())
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout makes an Error a net.Error.
func (e *Error) Timeout() bool { return e.Reason.Kind() == "timeout" }

// Temporary is false; it is there for net.Error.
func (e *Error) Temporary() bool { return false }

var _ net.Error = (*Error)(nil)

func whyNoHandshake(err error) Reason {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return reason.Truncated
	}
	return reason.Of(err, "handshake")
}

// errTimedOut matches context.DeadlineExceeded, and is a shorter sentence.
var errTimedOut error = timedOut{}

type timedOut struct{}

func (timedOut) Error() string { return "timed out" }
func (timedOut) Unwrap() error { return context.DeadlineExceeded }

// bare leaves out what net puts in front of the cause: the endpoint is named
// already. The address that refused stays where a name was dialled.
func bare(err error) error {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errTimedOut
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if errno, ok := errors.AsType[syscall.Errno](err); ok && op.Addr != nil {
			return fmt.Errorf("%s: %w", op.Addr, errno)
		}
	}
	return err
}

// verify is the verdict of crypto/tls on a server's certificate.
func verify(cs *tls.ConnectionState, roots *x509.CertPool, name string) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the server presented no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, cert := range cs.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := cs.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}
