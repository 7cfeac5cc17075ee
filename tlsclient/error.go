package tlsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"tcps/internal/reason"
	"tcps/internal/starttls"
	"tcps/internal/terminal"
)

// A Reason is the one word for why dialling failed or how a connection ended,
// in some cases with a detail after a colon: untrusted, name, expired,
// peer-refused-us:certificate_required, truncated … Its ExitCode is the exit
// status of the command.
type Reason = reason.Reason

// The reasons without a detail. Others are timeout:WHICH and
// peer-refused-us:ALERT, with the name of the alert as RFC 8446 has it.
const (
	ReasonClosedBeforeHello = reason.ClosedBeforeHello // the server ended the connection, or reset it, before its hello: it may refuse our address, or have too many connections
	ReasonNotTLS            = reason.NotTLS            // the first bytes were no TLS record
	ReasonMalformed         = reason.Malformed         // TLS that breaks the protocol
	ReasonVersion           = reason.Version           // no TLS version in common
	ReasonNoSharedCipher    = reason.NoSharedCipher    // no cipher suite in common
	ReasonNoSharedGroup     = reason.NoSharedGroup     // no key exchange group in common
	ReasonALPN              = reason.ALPN              // no application protocol in common, or none offered where one is required
	ReasonSNI               = reason.SNI               // the server name is not served here
	ReasonUntrusted         = reason.Untrusted         // the certificate was not issued by an authority that is trusted
	ReasonName              = reason.Name              // the certificate is for another name
	ReasonPin               = reason.Pin               // the public key is another than the pinned one
	ReasonExpired           = reason.Expired           // the certificate is no longer valid
	ReasonNotYetValid       = reason.NotYetValid       // the certificate is not valid yet
	ReasonWrongUsage        = reason.WrongUsage        // the certificate is not for this use (a server's where a client's is wanted)
	ReasonRevoked           = reason.Revoked           // the certificate was revoked, or nothing current says that it was not
	ReasonNotResumed        = reason.NotResumed        // a session was to be resumed, and the handshake was a full one
	ReasonTruncated         = reason.Truncated         // the stream ended without close_notify
	ReasonReset             = reason.Reset             // the connection was reset
	ReasonShutdown          = reason.Shutdown          // we ended it: Close, or the deadline of a drain
	ReasonFailed            = reason.Failed            // an error of the service itself, or one that no other word names

	// The proxy of Dialer.Via wants to know who we are, or does not take our
	// password.
	ReasonProxyAuthentication Reason = "peer-refused-us:proxy-authentication"
)

// PeerRefusedUs is the reason for an end by the server's alert, such as
// certificate_required, or by its greeting where StartTLS is set: greeting.
func PeerRefusedUs(alert string) Reason { return reason.PeerRefusedUs(alert) }

// What was attempted: the Op of an Error, in the order of a connection. Resume
// has one of its own.
const (
	OpDial      = "dial" // what was asked for cannot be; nobody was dialled
	opConnect   = "connect to"
	OpStartTLS  = "ask for TLS at" // in the words of StartTLS, before TLS began
	opHandshake = "shake hands with"
	OpRemember  = "remember the key of" // in KnownHosts, after the handshake
	opRead      = "read from"
	opWrite     = "write to"
	opHalfClose = "half-close"
	opVerify    = "verify" // only of Conn.Untrusted
	opResume    = "resume a session with"
)

// An Error says what was attempted, on what, and why it failed.
type Error struct {
	Op         string // what was attempted, as words before an endpoint: dial, connect to, ask for TLS at …
	Endpoint   string
	Via        string // the proxy through which a connection was that has failed, as Conn.Via; empty: none
	Reason     Reason
	NotReached bool // there was no connection: a name that does not resolve, a refused port, a proxy that does not connect us
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
	_, known := errors.AsType[*reason.Error](err)
	if !known && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return reason.Truncated
	}
	return reason.Of(err, "handshake")
}

// whyNoStartTLS is the reason for a dialogue that did not end in TLS: an end of it
// comes before the server's hello.
func whyNoStartTLS(err error) Reason { return whyNoHandshake(reason.BeforeHello(err)) }

// refusedHello says what an alert is about that comes in place of a server's
// hello. It is not about us: the server has not asked who we are.
func refusedHello(err error) error {
	switch reason.Of(err, "") {
	case PeerRefusedUs("handshake_failure"), PeerRefusedUs("insufficient_security"):
		return &reason.Error{
			Reason: reason.NoSharedCipher,
			Err:    fmt.Errorf("the server finds no cipher suite, group or signature algorithm in common with us: %w", err),
		}
	}
	return err
}

// isOurs is whether it is we who refuse the server, by an alert.
func isOurs(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	_, judged := errors.AsType[*reason.Error](err)
	_, injected := errors.AsType[*starttls.Injection](err)
	return unverified || judged && !injected
}

// errTimedOut matches context.DeadlineExceeded, and is a shorter sentence.
var errTimedOut error = timedOut{}

type timedOut struct{}

func (timedOut) Error() string { return "timed out" }
func (timedOut) Unwrap() error { return context.DeadlineExceeded }

// bare leaves out what net puts in front of the cause: the endpoint is named
// already. What stays is the address that refused, for where a name was dialled,
// and what the resolver says.
func bare(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns
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

// HandshakeError is the *Error of Dial for an error of a handshake that was made
// on a connection of DialBare. err is not nil.
func HandshakeError(endpoint string, err error) *Error {
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	return &Error{Op: opOf(err), Endpoint: endpoint, Reason: whyNoHandshake(err), Err: bare(err)}
}
