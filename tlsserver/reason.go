package tlsserver

import (
	"io"

	"tcps/internal/reason"
)

// A Reason is the one word for how a connection ended or why it was refused,
// in some cases with a detail after a colon: done, truncated, reset,
// timeout:handshake, policy:allow-cn … The same words are in logs, events and
// the exit codes of the command. Kind leaves the detail out.
type Reason = reason.Reason

// The reasons for which a Handler's author may want to look.
const (
	ReasonDone      = reason.Done
	ReasonTruncated = reason.Truncated
	ReasonReset     = reason.Reset
	ReasonShutdown  = reason.Shutdown
	ReasonFailed    = reason.Failed
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
