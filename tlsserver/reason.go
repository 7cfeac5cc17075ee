package tlsserver

import (
	"io"

	"tcps/internal/reason"
)

// A Reason is the one word for how a connection ended or why it was refused,
// in some cases with a detail after a colon: done, truncated, reset,
// timeout:handshake, policy:allow-cn … The same words are in logs, events and
// the exit codes of the command. Kind leaves the detail out; Label leaves it out
// where there may be any number of them, and so is fit for metrics: see
// ReasonLabels. docs/reasons.md says what each means.
type Reason = reason.Reason

// ReasonLabels are all that Label returns for the reasons of this package and of
// its services, in alphabetical order; a Handler may add words by WithReason. The
// half that begins with "target:", for tunnels, is there only if targets is set.
func ReasonLabels(targets bool) []string { return reason.Labels(targets) }

// The reasons without a detail. Others are policy:RULE, limit:WHICH,
// timeout:WHICH, peer-refused-us:ALERT and, in a tunnel, target:REASON.
const (
	ReasonDone              = reason.Done              // ended as it should
	ReasonClosedBeforeHello = reason.ClosedBeforeHello // no complete ClientHello came: a health check, a port scan
	ReasonNotTLS            = reason.NotTLS            // the first bytes were no TLS record
	ReasonMalformed         = reason.Malformed         // TLS that breaks the protocol
	ReasonVersion           = reason.Version           // no TLS version in common
	ReasonNoSharedCipher    = reason.NoSharedCipher    // no cipher suite in common
	ReasonNoSharedGroup     = reason.NoSharedGroup     // no key exchange group in common
	ReasonALPN              = reason.ALPN              // no application protocol in common, or none offered where one is required
	ReasonSNI               = reason.SNI               // the server name is not served here
	ReasonNoCertificate     = reason.NoCertificate     // a client certificate is required and none came
	ReasonUntrusted         = reason.Untrusted         // the certificate was not issued by an authority that is trusted
	ReasonExpired           = reason.Expired           // the certificate is no longer valid
	ReasonNotYetValid       = reason.NotYetValid       // the certificate is not valid yet
	ReasonWrongUsage        = reason.WrongUsage        // the certificate is not for this use (a server's where a client's is wanted)
	ReasonRevoked           = reason.Revoked           // the certificate was revoked, or no current list says that it was not
	ReasonProxyHeader       = reason.ProxyHeader       // the PROXY header is missing or malformed
	ReasonTruncated         = reason.Truncated         // the stream ended without close_notify
	ReasonReset             = reason.Reset             // the connection was reset
	ReasonShutdown          = reason.Shutdown          // we ended it: Close, or the deadline of a drain
	ReasonFailed            = reason.Failed            // an error of the service itself, or one that no other word names
)

// WithReason gives an error of a Handler its reason, for what no error of the
// standard library can say.
func WithReason(r Reason, err error) error { return &reason.Error{Reason: r, Err: err} }

// whyNoHandshake is the reason for a handshake that did not end well.
func (c *Conn) whyNoHandshake(err error) Reason {
	waiting := "handshake"
	if !c.hello {
		waiting = "hello"
	}
	why := reason.Of(err, waiting)
	switch {
	case !c.hello && (why == reason.Done || err == io.ErrUnexpectedEOF || why == reason.Reset):
		return reason.ClosedBeforeHello
	case why == reason.Done, err == io.ErrUnexpectedEOF:
		return reason.Truncated
	}
	return why
}
