// Package reason has the words for how a connection ended or why it was
// refused: the same in logs, events and exit codes, on the server's and on
// the client's side. It is the only place that looks at errors which
// crypto/tls has only as text or as an unexported type.
package reason

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"tcps/internal/wire"
)

// A Reason is one word, in some cases with a detail after a colon.
type Reason string

// The reasons without a detail.
const (
	Done              Reason = "done"                // ended as it should
	ClosedBeforeHello Reason = "closed-before-hello" // no complete ClientHello came: a health check, a port scan
	NotTLS            Reason = "not-tls"             // the first bytes were no TLS record
	Malformed         Reason = "malformed"           // TLS that breaks the protocol
	Version           Reason = "version"             // no TLS version in common
	NoSharedCipher    Reason = "no-shared-cipher"    // no cipher suite in common
	NoSharedGroup     Reason = "no-shared-group"     // no key exchange group in common
	ALPN              Reason = "alpn"                // no application protocol in common, or none offered where one is required
	SNI               Reason = "sni"                 // the server name is not served here
	NoCertificate     Reason = "no-certificate"      // a client certificate is required and none came
	Untrusted         Reason = "untrusted"           // the certificate was not issued by an authority that is trusted
	Name              Reason = "name"                // the certificate is for another name
	Pin               Reason = "pin"                 // the public key is another than the pinned one
	Expired           Reason = "expired"             // the certificate is no longer valid
	NotYetValid       Reason = "not-yet-valid"       // the certificate is not valid yet
	WrongUsage        Reason = "wrong-usage"         // the certificate is not for this use (a server's where a client's is wanted)
	Revoked           Reason = "revoked"             // the certificate was revoked, or nothing current says that it was not
	NotResumed        Reason = "not-resumed"         // a session was to be resumed, and the handshake was a full one
	ProxyHeader       Reason = "proxy-header"        // the PROXY header is missing or malformed
	Truncated         Reason = "truncated"           // the stream ended without close_notify
	Reset             Reason = "reset"               // the connection was reset
	Shutdown          Reason = "shutdown"            // we ended it: Close, or the deadline of a drain
	Failed            Reason = "failed"              // an error of the service itself, or one that no other word names
)

// Descriptors is an end because this process, or this machine, has no descriptor
// left: nothing that a peer could have done otherwise.
const Descriptors Reason = "limit:descriptors"

// Policy is a refusal by a rule: its flag and value.
func Policy(rule string) Reason { return Reason("policy:" + rule) }

// Limit is a refusal because a limit was reached.
func Limit(which string) Reason { return Reason("limit:" + which) }

// Timeout is an end because something took too long.
func Timeout(which string) Reason { return Reason("timeout:" + which) }

// PeerRefusedUs is an end by the peer's alert, or by its greeting, in a protocol
// that begins in plain: "greeting".
func PeerRefusedUs(alert string) Reason { return Reason("peer-refused-us:" + alert) }

// Target is an end because the target of a tunnel could not be reached, or
// refused us: why is the reason of that.
func Target(why Reason) Reason { return "target:" + why }

// Kind is the reason without its detail: fit for a metric's label.
func (r Reason) Kind() Reason {
	kind, _, _ := strings.Cut(string(r), ":")
	return Reason(kind)
}

// ExitCode is the exit status of a command that failed for this reason.
func (r Reason) ExitCode() int {
	switch r.Kind() {
	case Done:
		return 0
	case "timeout":
		return 4
	case NotTLS, Malformed, Version, NoSharedCipher, NoSharedGroup, ALPN, SNI, NotResumed:
		return 5
	case Untrusted, WrongUsage:
		return 6
	case Name, Pin:
		return 7
	case Expired, NotYetValid:
		return 8
	case Revoked:
		return 9
	case NoCertificate, "policy", "peer-refused-us":
		return 10
	case Truncated:
		return 11
	default:
		return 1
	}
}

// An Error is an error whose reason is known where it arises.
type Error struct {
	Reason Reason
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Of finds the reason of an error. Nil and io.EOF are Done; a deadline that
// has passed is Timeout(waiting), where waiting says what was waited for.
func Of(err error, waiting string) Reason {
	if err == nil || err == io.EOF {
		return Done
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Reason
	}
	switch {
	case errors.Is(err, wire.ErrTruncated):
		return Truncated
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout(waiting)
	case wire.IsReset(err):
		return Reset
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return Descriptors
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return Shutdown
	}
	if verr, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return ofCertificate(verr.Err)
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if isFirstRecord(header) {
			return NotTLS
		}
		return Malformed
	}
	return ofTLSText(err)
}

// isFirstRecord tells what is no TLS from TLS that goes wrong later: Conn is
// set for a first record only, but not for a hello of SSL 2.0, which begins
// with 0x80.
func isFirstRecord(header tls.RecordHeaderError) bool {
	return header.Conn != nil || header.RecordHeader[0] == 0x80
}

func ofCertificate(err error) Reason {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return Name
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
				return NotYetValid
			}
			return Expired
		case x509.IncompatibleUsage:
			return WrongUsage
		}
	}
	return Untrusted
}

// LooksLike says what a peer that does not speak TLS seems to speak, from the
// first bytes that it sent: http, ssh, or nothing.
func LooksLike(err error) string {
	header, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || !isFirstRecord(header) {
		return ""
	}
	start := string(header.RecordHeader[:])
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "PRI * ", "HTTP/"} {
		if strings.HasPrefix(method, start) || strings.HasPrefix(start, method) {
			return "http"
		}
	}
	switch {
	case strings.HasPrefix(start, "SSH-"):
		return "ssh"
	case strings.HasPrefix(start, "PROXY"), strings.HasPrefix(start, "\r\n\r\n\x00"):
		return "proxy-protocol"
	case strings.HasPrefix(start, "220 "), strings.HasPrefix(start, "220-"):
		return "smtp-or-ftp"
	}
	return ""
}
