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
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/tlsclient"
)

const connectUsage = `tcps connect [FLAG…] ENDPOINT

Sends standard input to a server and prints what it says, over TLS (tcps://,
the default; unixs://) or plain (tcp://, unix://). It verifies the server's
certificate against the system's authorities and the local one (if that is
constrained to local names, and the user's own), or against --ca instead. At the
end of input it ends its sending side, and reads on to the server's end.

Examples:
  tcps connect localhost:8120
  tcps connect --ca ca.pem --cert client.pem --key client.key db.internal:8443
  tcps connect --send ping --expect pong --timeout 5s localhost:8120

Exit status: 0 good, 1 failed, 2 wrong usage, 3 not resolved or not connected,
4 timeout, 5 TLS not agreed on, 6 not trusted, 7 wrong name, 8 expired or not
yet valid, 9 revoked (or nothing current says that it is not), 10 the server
refused us, 11 truncated, 12 the expected text did not come.`

func (p *program) connectCommand() *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "talk to a server: standard input and output over TLS",
		UsageText: connectUsage,
		Action:    p.connect,
		Flags: append([]cli.Flag{
			listFlag("Trust", "ca", "`FILE` or folder with the authorities that may vouch for the server, instead of the system's and the local one"),
			stringFlag("Trust", "name", "", "`NAME` that the server's certificate must have, instead of the endpoint's host"),
			boolFlag("Trust", "insecure", "take any certificate: whoever is in between can read and change everything"),
			listFlag("Trust", "cert", "PEM or PKCS#12 `FILE` with our certificate, its chain, and possibly its key"),
			listFlag("Trust", "key", "`FILE` with the key of the certificate in the same place"),
			stateFlag(),
			durationFlag("Connecting", "timeout", 10*time.Second, "`TIME` for connecting and the handshake; with --expect for all of it"),
			durationFlag("Talking", "idle", 0, "end after this `TIME` of silence"),
			stringFlag("Talking", "on-eof", "half", "`MODE` at the end of input: half (end the sending side, read on), keep (read on), exit"),
			stringFlag("Talking", "send", "", "`TEXT` to send instead of standard input"),
			stringFlag("Talking", "expect", "", "`TEXT` to wait for: exit status 0 as soon as the server has sent it"),
			bytesFlag("Talking", "max-line", 64<<10, "`BYTES` that the server may send without a line end before the expected text"),
			boolFlag("Log", "quiet", "say nothing about the connection"),
			boolFlag("Trust", "require-ocsp-staple", "refuse a server that does not send along that its certificate is not revoked"),
		}, slices.Concat(networkFlags("Connecting"), listFlags("Trust", "the server"), passphraseFlags())...),
	}
}

func (p *program) connect(c *cli.Context) error {
	target, err := connectTarget(c)
	if err != nil {
		return err
	}
	session, err := p.sessionOf(c)
	if err != nil {
		return err
	}
	dialer, err := p.dialerOf(c, target)
	if err != nil {
		return err
	}
	ctx := c.Context
	if timeout := durationOf(c, "timeout"); timeout > 0 && len(session.Expect) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	interrupts, stop := interruptChannel()
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	halfClose := make(chan struct{})
	session.Interrupt = halfClose
	go watchInterrupts(ctx, interrupts, halfClose, cancel)

	conn, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return connectFailure(c, err)
	}
	if !c.Bool("quiet") {
		describe(p.err, conn, target)
	}
	session.Conn = conn
	return connectFailure(c, session.Run(ctx))
}

func connectTarget(c *cli.Context) (endpoint.Endpoint, error) {
	switch c.Args().Len() {
	case 0:
		return endpoint.Endpoint{}, misuse("for instance: tcps connect localhost:8120", "tcps connect needs an endpoint")
	case 1:
	default:
		return endpoint.Endpoint{}, misuse("write an endpoint as host:port", "tcps connect takes one endpoint, got %q too", c.Args().Get(1))
	}
	return dialledEndpoint(c.Args().First())
}

// dialledEndpoint reads an endpoint that somebody can listen on.
func dialledEndpoint(text string) (endpoint.Endpoint, error) {
	e, err := endpoint.Parse(text)
	if err != nil {
		return e, misuse("write it as host:port, tcp://host:port or unix:///path", "%v", err)
	}
	if !e.IsUnix() && e.Host == "" {
		return e, misuse("name the host: localhost:"+e.Port, "endpoint %q has no host", text)
	}
	if !e.IsUnix() && e.Port == "0" {
		return e, misuse("name the port that the server listens on", "endpoint %q: port 0 is nobody's", text)
	}
	return e, nil
}

func (p *program) sessionOf(c *cli.Context) (*tlsclient.Session, error) {
	s := &tlsclient.Session{
		Out:          p.out,
		In:           p.in,
		Send:         []byte(c.String("send")),
		Expect:       []byte(c.String("expect")),
		MaxLineBytes: bytesOf(c, "max-line"),
		Idle:         max(durationOf(c, "idle"), 0),
	}
	if len(s.Send) > 0 || len(s.Expect) > 0 {
		s.In = nil // a script says what is sent, and its standard input is not ours
	}
	switch mode := c.String("on-eof"); mode {
	case "half":
		s.OnEOF = tlsclient.EOFHalf
	case "keep":
		s.OnEOF = tlsclient.EOFKeep
	case "exit":
		s.OnEOF = tlsclient.EOFExit
	default:
		return nil, misuse("", "flag --on-eof: %q is none of half, keep and exit", mode)
	}
	if c.IsSet("max-line") && len(s.Expect) == 0 {
		return nil, misuse("", "--max-line without --expect bounds nothing")
	}
	return s, nil
}

func (p *program) dialerOf(c *cli.Context, target endpoint.Endpoint) (*tlsclient.Dialer, error) {
	d := &tlsclient.Dialer{
		ServerName: c.String("name"),
		Insecure:   c.Bool("insecure"),
		Timeout:    durationOf(c, "timeout"),
	}
	if c.String("on-eof") == "exit" {
		d.LingerTimeout = time.Second // at once, but what was sent should arrive
	}
	if err := dialNetwork(c, d); err != nil {
		return nil, err
	}
	if target.IsUnix() && (d.Network != "" || d.LocalAddr.IsValid()) {
		return nil, misuse("", "-4, -6 and --bind mean nothing on the Unix socket %s", target)
	}
	if !target.TLS() {
		for _, flag := range []string{"ca", "cert", "key", "name", "insecure", "crl", "crl-from", "crl-missing", "crl-stale", "require-ocsp-staple"} {
			if c.IsSet(flag) {
				return nil, misuse("use tcps:// or unixs://, or leave the flag out", "--%s with %s: there are no certificates on a plain connection", flag, target)
			}
		}
		return d, nil
	}
	if target.IsUnix() && d.ServerName == "" && !d.Insecure {
		return nil, misuse("say which name the server's certificate has: --name localhost", "%s: a Unix socket has no name to verify a certificate by", target)
	}
	if d.Insecure {
		if err := checkInsecure(c); err != nil {
			return nil, err
		}
		fmt.Fprintln(p.err, "tcps: warning: --insecure takes any certificate: whoever is in between can read and change everything")
	}
	if err := p.dialTrust(c, d); err != nil {
		return nil, err
	}
	return d, p.dialRevocation(c, d)
}

// networkFlags say which way to dial.
func networkFlags(category string) []cli.Flag {
	return []cli.Flag{
		boolFlag(category, "4", "IPv4 only"),
		boolFlag(category, "6", "IPv6 only"),
		stringFlag(category, "bind", "", "`ADDRESS` to connect from"),
	}
}

func dialNetwork(c *cli.Context, d *tlsclient.Dialer) error {
	switch {
	case c.Bool("4") && c.Bool("6"):
		return misuse("leave one of them out", "-4 together with -6 leaves no address")
	case c.Bool("4"):
		d.Network = "tcp4"
	case c.Bool("6"):
		d.Network = "tcp6"
	}
	bind := c.String("bind")
	if bind == "" {
		return nil
	}
	addr, err := netip.ParseAddr(bind)
	if err != nil {
		return misuse("name an address of this machine", "flag --bind: %q is not an IP address", bind)
	}
	d.LocalAddr = addr
	return nil
}

// dialTrust sets whom the dialer trusts, and what it presents.
func (p *program) dialTrust(c *cli.Context, d *tlsclient.Dialer) error {
	pairs, err := pairsOf(c, "", p.passphrase(c))
	if err != nil {
		return err
	}
	if len(pairs) > 0 {
		files, err := clientFiles(nil, pairs)
		if err != nil {
			return err
		}
		p.warn(files.Warnings())
		d.Source = files
	}
	if cas := list(c, "ca"); len(cas) > 0 {
		pool, warnings, err := certs.LoadPool(cas...)
		if err != nil {
			return fileFailure(err, makesRoot)
		}
		p.warn(warnings)
		d.RootCAs = pool
		return nil
	}
	d.RootCAs = trustedRoots(c)
	return nil
}

// checkForClients refuses a certificate that no server takes from a client, as
// those are that ACME authorities issue.
func checkForClients(file string, leaf *x509.Certificate) error {
	uses := leaf.ExtKeyUsage
	if len(uses)+len(leaf.UnknownExtKeyUsage) == 0 || slices.Contains(uses, x509.ExtKeyUsageClientAuth) || slices.Contains(uses, x509.ExtKeyUsageAny) {
		return nil
	}
	return failure(fmt.Errorf("certificate %q is not for clients (extended key usage): servers refuse it from one", file),
		"public authorities no longer issue certificates for clients; the local one does: tcps certs issue --client NAME")
}

// trustedRoots are the system's authorities and the local one; nil means the
// system's alone.
func trustedRoots(c *cli.Context) *x509.CertPool {
	roots, err := localRoots(c)
	if err != nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, root := range roots {
		pool.AddCert(root)
	}
	return pool
}

func (p *program) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(p.err, "tcps: warning:", w)
	}
}

// localRoots are the roots of the local authority, if they may be trusted
// without being asked for.
func localRoots(c *cli.Context) ([]*x509.Certificate, error) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	return certs.OwnRoot(dir)
}

func interruptChannel() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

var errInterrupted = errors.New("interrupted")

// watchInterrupts ends the sending side at the first Ctrl+C, and everything at
// the second.
func watchInterrupts(ctx context.Context, interrupts <-chan os.Signal, halfClose chan<- struct{}, cancel context.CancelCauseFunc) {
	for count := 0; ; count++ {
		select {
		case <-interrupts:
			if count > 0 {
				cancel(errInterrupted)
				return
			}
			close(halfClose)
		case <-ctx.Done():
			return
		}
	}
}

// describe says what was negotiated, in lines that scripts can rely on.
func describe(w io.Writer, conn *tlsclient.Conn, target endpoint.Endpoint) {
	cs := conn.TLS()
	if cs == nil {
		fmt.Fprintf(w, "tcps: connected to %s (%s), plain\n", target, conn.RemoteAddr())
		return
	}
	fmt.Fprintf(w, "tcps: connected to %s (%s)\n", target, conn.RemoteAddr())
	fmt.Fprintf(w, "tcps: %s, %s, group %s (post-quantum: %s), resumed: %s, id %s\n", tls.VersionName(cs.Version),
		tls.CipherSuiteName(cs.CipherSuite), orDash(groupName(cs)), yesNo(postQuantum(cs.CurveID)), yesNo(cs.DidResume), orDash(conn.ID()))
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

func connectHints(c *cli.Context, err error) []string {
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok {
		return nil
	}
	switch failed.Reason {
	case tlsclient.ReasonUntrusted:
		hints := []string{"name the authority that issued the server's certificate: --ca FILE"}
		if _, err := localRoots(c); err != nil && !errors.Is(err, fs.ErrNotExist) && len(list(c, "ca")) == 0 {
			hints = append(hints, fmt.Sprintf("the local authority is not trusted by itself: %v", err))
		}
		return hints
	case tlsclient.ReasonName:
		return []string{"if the certificate's name is the right one, say so: --name NAME"}
	case tlsclient.ReasonRevoked:
		return revocationHints(c, err)
	case tlsclient.ReasonNotTLS:
		return []string{"the server does not speak TLS there; plain TCP is tcp://host:port"}
	case tlsclient.PeerRefusedUs("certificate_required"), tlsclient.PeerRefusedUs("handshake_failure"):
		if len(list(c, "cert")) > 0 {
			return []string{"the server accepts certificates of other authorities than the one that issued ours"}
		}
		return []string{"the server may want a client certificate: --cert FILE --key FILE"}
	case tlsclient.PeerRefusedUs("bad_certificate"), tlsclient.PeerRefusedUs("unknown_ca"):
		return []string{"the server refuses our certificate; its log says why"}
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return []string{"check the spelling of the host"}
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return []string{"--bind takes an address that this machine has, of the same family as the server's"}
	}
	if failed.NotReached && !failed.Timeout() {
		return []string{"is the server running, and is that its address? \"tcps serve\" starts one on localhost:8120"}
	}
	return nil
}
