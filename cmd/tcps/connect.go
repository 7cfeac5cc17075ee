package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

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
  tcps connect --starttls smtp --on-eof keep mx.example.org:25
  tcps connect --json db.internal:8443 | jq .tls.group
  tcps connect --tofu device.lan:8443
  tcps connect --via socks5://alice@proxy:1080 db.internal:8443

On a terminal lines are edited, with a history in memory; Ctrl+D ends our side.
What the server says is escaped where it could steer the terminal: not with "| cat".

Nothing of what is said before TLS (--starttls) comes on standard output. Most of
those servers hang up at the end of input: --on-eof keep waits for their answers.

--json prints what was agreed on and how it ended, but no data, and reads no input.

With --pin or --tofu the server is known by its key, and nothing else counts:
neither who signed its certificate, nor the name and the dates in it.

With a proxy (--via, else ALL_PROXY) -4, -6 and --bind mean the way to it.

Exit status: 0 good, 1 failed, 2 wrong usage, 3 not resolved or not connected (also
by a proxy), 4 timeout, 5 TLS not agreed on (or with --resume: not resumed), 6 not
trusted, 7 wrong name or key, 8 expired or not yet valid, 9 revoked (or nothing
current says that it is not), 10 the server or a proxy refused us, 11 truncated,
12 the expected text did not come.`

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
			configFlag(),
			durationFlag("Connecting", "timeout", 10*time.Second, "`TIME` for connecting and the handshake; with --expect for all of it"),
			durationFlag("Talking", "idle", 0, "end after this `TIME` of silence"),
			stringFlag("Talking", "on-eof", "half", "`MODE` at the end of input: half (end the sending side, read on), keep (read on), exit"),
			stringFlag("Talking", "send", "", "`TEXT` to send instead of standard input"),
			stringFlag("Talking", "expect", "", "`TEXT` to wait for: exit status 0 as soon as the server has sent it"),
			bytesFlag("Talking", "max-line", 64<<10, "`BYTES` that the server may send without a line end before the expected text"),
			boolFlag("Log", "quiet", "say nothing about the connection"),
			boolFlag("Trust", "require-ocsp-staple", "refuse a server that does not send along that its certificate is not revoked"),
		}, slices.Concat(connectStartTLSFlags(), connectTLSFlags(), talkFlags(), networkFlags("Connecting"), viaFlags(), keyFlags(), listFlags("Trust", "the server"), passphraseFlags())...),
	}
}

func (p *program) connect(c *cli.Context) error {
	target, err := p.connectTarget(c)
	if err != nil {
		return err
	}
	session, err := p.sessionOf(c)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.connectJSON(c, target, session)
	}
	return p.talk(c, target, session, func(ctx context.Context, interrupts chan<- os.Signal) error {
		if !c.Bool("quiet") {
			describe(p.err, session.Conn, target)
			describeVia(c, p.err, session.Conn)
		}
		describeKey(c, p.err, session.Conn)
		end, err := p.edit(session, interrupts)
		if err != nil {
			return err
		}
		defer end()
		return session.Run(ctx)
	})
}

// talk dials, and then does what is to be done with the session's connection.
func (p *program) talk(c *cli.Context, target endpoint.Endpoint, session *tlsclient.Session, then func(context.Context, chan<- os.Signal) error) error {
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

	dial := dialer.Dial
	if c.Bool("resume") {
		dial = dialer.Resume
	}
	if session.Conn, err = dial(ctx, target.String()); err != nil {
		return connectFailure(c, err)
	}
	p.warnOffer(c, session.Conn)
	return connectFailure(c, then(ctx, interrupts))
}

func (p *program) connectTarget(c *cli.Context) (endpoint.Endpoint, error) {
	if c.String("config") != "" {
		to, err := p.useConnection(c)
		if err != nil {
			return endpoint.Endpoint{}, err
		}
		return dialledEndpoint(to)
	}
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
		CRLF:         c.Bool("crlf"),
		MaxLineBytes: bytesOf(c, "max-line"),
		Idle:         max(durationOf(c, "idle"), 0),
	}
	var err error
	if s.Send, err = textOf(c, "send"); err != nil {
		return nil, err
	}
	if s.Expect, err = textOf(c, "expect"); err != nil {
		return nil, err
	}
	if len(s.Send) > 0 || len(s.Expect) > 0 || c.Bool("json") {
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

func interruptChannel() (chan os.Signal, func()) {
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
