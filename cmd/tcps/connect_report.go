package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// describe says what was negotiated, in lines that scripts can rely on.
func describe(w io.Writer, conn *tlsclient.Conn, target endpoint.Endpoint) {
	cs := conn.TLS()
	if cs == nil {
		fmt.Fprintf(w, "tcps: connected to %s (%s), plain\n", target, conn.RemoteAddr())
		return
	}
	fmt.Fprintf(w, "tcps: connected to %s (%s)\n", target, conn.RemoteAddr())
	describeStartTLS(w, conn)
	fmt.Fprintf(w, "tcps: %s, %s, group %s (post-quantum: %s), resumed: %s, id %s\n", tls.VersionName(cs.Version),
		tls.CipherSuiteName(cs.CipherSuite), orDash(groupName(cs)), yesNo(postQuantum(cs.CurveID)), yesNo(cs.DidResume), orDash(conn.ID()))
	if cs.NegotiatedProtocol != "" {
		fmt.Fprintf(w, "tcps: application protocol: %s\n", terminal.Printable(cs.NegotiatedProtocol))
	}
	if len(cs.PeerCertificates) > 0 {
		fmt.Fprintf(w, "tcps: server certificate: %s\n", certs.OneLine(cs.PeerCertificates[0]))
	}
	if err := conn.Untrusted(); err != nil {
		fmt.Fprintf(w, "tcps: warning: the server's certificate would be refused: %v\n", err)
	}
}

// connectFailure gives an error its exit status and its hints.
func connectFailure(c *cli.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tlsclient.ErrNotFound), errors.Is(err, tlsclient.ErrLineTooLong):
		return &problem{err: err, code: exitNotFound}
	case errors.Is(err, errInterrupted):
		return failure(err)
	case errors.Is(err, context.DeadlineExceeded) && c.String("expect") != "":
		return &problem{
			err: errors.New("timed out, and the expected text had not come"), code: exitTimeout,
			hints: []string{"--timeout bounds the whole, from connecting to the expected text"},
		}
	}
	return &problem{err: err, code: exitCodeOf(err), hints: connectHints(c, err)}
}

// connectHints are those of the first part of connect that has any.
func connectHints(c *cli.Context, err error) []string {
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok {
		return nil
	}
	type hinter func(*cli.Context, *tlsclient.Error) []string
	for _, part := range []hinter{viaHints, keyHints, startTLSHints, connectTLSHints, verdictHints, networkHints} {
		if hints := part(c, failed); hints != nil {
			return hints
		}
	}
	return nil
}

// verdictHints are for what one side says of the other's certificate.
func verdictHints(c *cli.Context, failed *tlsclient.Error) []string {
	switch failed.Reason {
	case tlsclient.ReasonUntrusted:
		if _, ok := errors.AsType[x509.UnknownAuthorityError](failed); !ok {
			return nil // no authority would make it good
		}
		hints := []string{"name the authority that issued the server's certificate: --ca FILE"}
		if _, err := localRoots(c); err != nil && !errors.Is(err, fs.ErrNotExist) && len(list(c, "ca")) == 0 {
			hints = append(hints, fmt.Sprintf("the local authority is not trusted by itself: %v", err))
		}
		return hints
	case tlsclient.ReasonName:
		return []string{"if the certificate's name is the right one, say so: --name NAME"}
	case tlsclient.ReasonRevoked:
		return revocationHints(c, failed)
	case tlsclient.ReasonNotTLS:
		return []string{"the server does not speak TLS there; plain TCP is tcp://host:port"}
	case tlsclient.ReasonClosedBeforeHello:
		return []string{"it may refuse this address, have too many connections, or not speak TLS there: its log says which"}
	case tlsclient.PeerRefusedUs("certificate_required"), tlsclient.PeerRefusedUs("handshake_failure"):
		if len(list(c, "cert")) > 0 {
			return []string{"the server accepts certificates of other authorities than the one that issued ours"}
		}
		return []string{"the server may want a client certificate: --cert FILE --key FILE"}
	case tlsclient.PeerRefusedUs("bad_certificate"), tlsclient.PeerRefusedUs("unknown_ca"):
		return []string{"the server refuses our certificate; its log says why"}
	}
	return nil
}

// networkHints are for a server that was not reached.
func networkHints(_ *cli.Context, failed *tlsclient.Error) []string {
	if _, ok := errors.AsType[*net.DNSError](failed); ok {
		return []string{"check the spelling of the host"}
	}
	if _, ok := errors.AsType[*net.AddrError](failed); ok || errors.Is(failed, syscall.EADDRNOTAVAIL) {
		return []string{"--bind takes an address that this machine has, of the same family as the server's"}
	}
	if failed.NotReached && !failed.Timeout() {
		return []string{"is the server running, and is that its address? \"tcps serve\" starts one on localhost:8120"}
	}
	return nil
}
