package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// With --json connect is a probe: it prints one object and none of the server's
// data, and reads no input. It ends when --expect is found or with the server's
// end after --send; with neither it looks only whether the server takes us.

// A connectReport is what connect says with --json.
type connectReport struct {
	Version      int                            `json:"version"`
	Endpoint     string                         `json:"endpoint"`
	Good         bool                           `json:"good"`
	ExitStatus   int                            `json:"exit_status"`
	Reason       tlsclient.Reason               `json:"reason,omitempty"`
	Error        string                         `json:"error,omitempty"`
	Hints        []string                       `json:"hints,omitempty"`
	Address      string                         `json:"address,omitempty"`
	LocalAddress string                         `json:"local_address,omitempty"`
	Via          string                         `json:"via,omitempty"`
	StartTLS     string                         `json:"starttls,omitempty"`
	TLS          *tlsReport                     `json:"tls,omitempty"`
	Chain        []certs.CertificateDescription `json:"chain,omitempty"`
	Accepted     bool                           `json:"accepted"`
	Expected     *bool                          `json:"expected,omitempty"`
	Sent         int64                          `json:"sent_bytes"`
	Received     int64                          `json:"received_bytes"`
	Timing       *timingReport                  `json:"timing,omitempty"`
}

// A tlsReport is what was agreed on in a handshake that came to its end.
type tlsReport struct {
	Version     string           `json:"version"`
	Suite       string           `json:"suite"`
	Group       string           `json:"group,omitempty"`
	PostQuantum bool             `json:"post_quantum"`
	ALPN        string           `json:"alpn,omitempty"`
	SNI         string           `json:"sni,omitempty"`
	Resumed     bool             `json:"resumed"`
	ID          string           `json:"id,omitempty"`
	OCSPStaple  bool             `json:"ocsp_staple"`
	Trusted     bool             `json:"trusted"`
	Learned     bool             `json:"learned,omitempty"`
	Untrusted   tlsclient.Reason `json:"untrusted,omitempty"`
	Why         string           `json:"untrusted_error,omitempty"`
}

// A timingReport is in milliseconds.
type timingReport struct {
	Connect   float64 `json:"connect_ms"`
	StartTLS  float64 `json:"starttls_ms,omitempty"`
	Handshake float64 `json:"handshake_ms,omitempty"`
}

func newConnectReport(target endpoint.Endpoint) *connectReport {
	return &connectReport{Version: 1, Endpoint: terminal.Printable(target.String())}
}

// connected notes what was agreed on.
func (r *connectReport) connected(conn *tlsclient.Conn) {
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r.Address, r.LocalAddress, r.StartTLS = conn.RemoteAddr().String(), addressOf(conn.LocalAddr()), conn.StartTLS()
	r.Via = conn.Via()
	t := conn.Timing()
	r.Timing = &timingReport{milliseconds(t.Connect), milliseconds(t.StartTLS), milliseconds(t.Handshake)}
	cs := conn.TLS()
	if cs == nil {
		return
	}
	r.TLS = &tlsReport{
		Version: tls.VersionName(cs.Version), Suite: tls.CipherSuiteName(cs.CipherSuite), Group: groupName(cs), PostQuantum: postQuantum(cs.CurveID),
		ALPN: terminal.Printable(cs.NegotiatedProtocol), SNI: cs.ServerName, Resumed: cs.DidResume, ID: conn.ID(), OCSPStaple: len(cs.OCSPResponse) > 0,
		Trusted: conn.Untrusted() == nil,
	}
	_, r.TLS.Learned = conn.KnownHost()
	r.Accepted = cs.Version < tls.VersionTLS13 // there the server's last word is part of the handshake
	r.present(cs.PeerCertificates)
	if err := conn.Untrusted(); err != nil {
		r.TLS.Why = err.Error()
		if failed, ok := errors.AsType[*tlsclient.Error](err); ok {
			r.TLS.Untrusted = failed.Reason
		}
	}
}

// addressOf is empty for a Unix socket's own end, which has no name.
func addressOf(a net.Addr) string {
	if a.Network() == "unix" {
		return ""
	}
	return a.String()
}

func (r *connectReport) present(chain []*x509.Certificate) {
	for _, cert := range chain {
		r.Chain = append(r.Chain, certs.DescribeCertificate(cert, time.Now()))
	}
}

// ended notes how it went. conn is nil where there was none.
func (r *connectReport) ended(conn *tlsclient.Conn, err error, expecting bool) {
	r.ExitStatus, r.Hints = outcomeOf(err)
	r.Good = err == nil
	if err != nil {
		r.Error = terminal.Printable(err.Error())
	}
	if failed, ok := errors.AsType[*tlsclient.Error](err); ok && failed.Reason != tlsclient.ReasonFailed { // which is no word for anything
		r.Reason = failed.Reason
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(r.Chain) == 0 {
		r.present(refused.UnverifiedCertificates)
	}
	if expecting {
		r.Expected = &r.Good
	}
	if conn != nil {
		r.Sent, r.Received = conn.BytesWritten(), conn.BytesRead()
		r.Accepted = r.Accepted || r.Received > 0 || r.Good && expecting
	}
}

// acceptWait is how long a server may take to refuse us after the handshake: a
// server of TLS 1.3 does so for our certificate (RFC 8446, 2).
const acceptWait = 2 * time.Second

// probe ends our side, and looks whether the server takes us: it says
// something, or ends as one does. Silence is neither that nor a refusal.
func (r *connectReport) probe(ctx context.Context, conn *tlsclient.Conn, timeout time.Duration) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Abort)
	defer stop()
	wait := acceptWait
	if timeout > 0 {
		wait = min(wait, timeout)
	}
	conn.CloseWrite()
	conn.SetReadDeadline(time.Now().Add(wait))
	_, err := conn.Read(make([]byte, 1<<10))
	failed, _ := errors.AsType[*tlsclient.Error](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed != nil && failed.Timeout():
		conn.Abort() // so that Close does not wait in its turn
		return nil
	case err == nil, err == io.EOF, errors.Is(err, tlsclient.ErrTruncated): // nothing was asked for that could be cut
		r.Accepted = true
		return nil
	}
	return err
}

// connectJSON is connect with --json.
func (p *program) connectJSON(c *cli.Context, target endpoint.Endpoint, session *tlsclient.Session) error {
	report := newConnectReport(target)
	session.Out = io.Discard
	err := p.talk(c, target, session, func(ctx context.Context, _ chan<- os.Signal) error {
		report.connected(session.Conn)
		if _, learned := session.Conn.KnownHost(); learned { // which is a warning
			describeKey(c, p.err, session.Conn)
		}
		if len(session.Send)+len(session.Expect) == 0 {
			return report.probe(ctx, session.Conn, durationOf(c, "timeout"))
		}
		return session.Run(ctx)
	})
	if code, _ := outcomeOf(err); code == exitUsage {
		return err
	}
	report.ended(session.Conn, err, len(session.Expect) > 0)
	if printErr := p.printJSON(report); err == nil {
		return printErr
	}
	return err
}
