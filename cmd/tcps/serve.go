package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

const serveUsage = `tcps serve [FLAG…] [greet|echo|discard|broadcast|exec -- CMD ARG…]

greet      sends "hello\r\n", then echoes what it receives (the default)
echo       sends back what it receives
discard    reads, and sends nothing
broadcast  a room: what one says, all others get, in one order, as "NAME> TEXT"
exec       runs a program for each connection, which is its standard input and
           output; who the peer is stands in its environment (TCPS_PEER_…)

Examples:
  tcps serve                                   with a certificate of the local authority
  tcps serve --cert server.pem --key server.key --listen :8443 echo
  tcps serve --cert server.p12 --passphrase-file secret
  tcps serve --client-ca ca.pem --allow-cn billing --allow-cn reports
  tcps serve --client-ca ca.pem --crl revoked.pem
  tcps serve --local db.internal --listen :8443
  tcps serve --acme www.example.org --acme-agree --listen :443
  tcps serve --client-ca ca.pem --may-write-ou staff --history 20 broadcast
  tcps serve --client-ca ca.pem exec -- /usr/local/bin/report --daily
  tcps serve --listen tcps://:8443 --listen 'unixs:///run/tcps.sock?mode=0660'

The first SIGINT or SIGTERM stops accepting and lets connections end within
--drain, a second one ends at once. SIGHUP reads the files of certificates and
revocation lists anew, which also happens by itself when they change. Clients
that are revoked then are cut off (--on-revoke).

A provider of the dns challenge (--acme-dns-provider) takes its credentials from
the environment:
`

// greeting is what greet says: the words of the tutorial that tcps grew from.
const greeting = "hello\r\n"

// defaultListen is where serve listens when nothing says where.
const defaultListen = "tcps://127.0.0.1:8120"

// A serviceKind is one of serve's services: its name, the flags that only it
// has, and the handler that they and the arguments after the name ask for.
type serviceKind struct {
	name    string
	flags   func() []cli.Flag // nil: none
	handler func(c *cli.Context, args []string) (tlsserver.Handler, error)
}

// serviceKinds are all of them, the default first.
func (p *program) serviceKinds() []serviceKind {
	return []serviceKind{
		{"greet", nil, alone(func() tlsserver.Handler { return service.Greet(greeting, service.Echo()) })},
		{"echo", nil, alone(service.Echo)},
		{"discard", nil, alone(service.Discard)},
		{"broadcast", broadcastFlags, p.broadcastHandler},
		{"exec", execFlags, p.execHandler},
	}
}

// alone is a service without flags or arguments of its own.
func alone(handler func() tlsserver.Handler) func(*cli.Context, []string) (tlsserver.Handler, error) {
	return func(_ *cli.Context, args []string) (tlsserver.Handler, error) {
		return handler(), noServiceArguments(args)
	}
}

// noServiceArguments refuses arguments after the name of a service that takes none.
func noServiceArguments(args []string) error {
	if len(args) > 0 {
		return misuse("", "tcps serve takes one service, got %q too", args[0])
	}
	return nil
}

func (p *program) serveCommand() *cli.Command {
	listen := listFlag("Listening", "listen", "`ENDPOINT` to listen on: tcps://HOST:PORT, tcp://…, unix:///PATH?mode=0660&owner=USER:GROUP, unixs://…")
	listen.DefaultText = defaultListen
	flags := []cli.Flag{listen}
	for _, kind := range p.serviceKinds() {
		if kind.flags != nil {
			flags = append(flags, kind.flags()...)
		}
	}
	return &cli.Command{
		Name:      "serve",
		Usage:     "serve TLS: greet, echo, discard, a room, or a program a connection",
		UsageText: serveUsage + dnsUsage(),
		Action:    func(c *cli.Context) error { return p.runServer(c, p.configureService) },
		Flags:     append(flags, serverFlags()...),
	}
}

// serverFlags are those of everything that listens.
func serverFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("Listening", "allow-plain", "allow plain tcp:// on addresses that other machines can reach"),
		stringFlag("TLS", "min", "1.2", "lowest TLS `VERSION`: 1.2 or 1.3"),
		stringFlag("TLS", "max", "1.3", "highest TLS `VERSION`: 1.2 or 1.3"),
		listFlag("TLS", "tls12-ciphers", "cipher `SUITE` for TLS 1.2, by its IANA name"),
		boolFlag("TLS", "no-tickets", "no session tickets: every handshake is a full one"),
		listFlag("TLS", "alpn", "application `PROTOCOL` to offer, preferred first"),
		boolFlag("TLS", "alpn-required", "refuse clients that offer no application protocol"),
		boolFlag("TLS", "strict-sni", "refuse clients that ask for no name, or for one without a certificate"),
		stateFlag(),
	}, slices.Concat(logFlags(), limitFlags(), addressFlags(), proxyInFlags(), trustFlags(), passphraseFlags(), managedFlags())...)
}

// A serving is what the flags of one serve or forward ask for.
type serving struct {
	endpoints []endpoint.Endpoint
	name      string // of the service, as the log has it
	called    string // in a file of several services; empty: it is the only one
	trust     *trustConfig
	server    *tlsserver.Server
	addresses *addressBook
	drain     time.Duration // negative: no limit
	ending    time.Duration // that connections may take to end when the drain has cut them
	log       *slog.Logger
	lines     *lineRate
	lifetimes *lifetimes

	passthrough bool // TLS is not terminated

	dialling   *dialling               // of a tunnel; nil: nothing is dialled
	background []func(context.Context) // runs as long as is served
}

// runServer serves until a signal ends it; configure reads what one command
// has beside the others: the endpoints and the handler.
func (p *program) runServer(c *cli.Context, configure func(*cli.Context, *serving) error) (err error) {
	supervisor := newSupervisor() // before the files are read: a SIGHUP may come as soon as the process is there
	defer supervisor.release()
	defer func() { supervisor.tellElder(err) }()
	u, err := p.newUnit(c, "", nil, configure)
	if err != nil {
		return err
	}
	if supervisor.process, err = processOf(c, u.log); err != nil {
		return err
	}
	return supervisor.run(c.Context, []*unit{u})
}

// configureService reads the service's name and its flags, and where to listen.
func (p *program) configureService(c *cli.Context, s *serving) error {
	kinds := p.serviceKinds()
	chosen, args := kinds[0], c.Args().Slice()
	if len(args) > 0 {
		i := slices.IndexFunc(kinds, func(k serviceKind) bool { return k.name == args[0] })
		if i < 0 {
			return misuse(suggestion("tcps serve ", args[0], serviceNames(kinds), "tcps serve --help"), "tcps serve has no service %q", args[0])
		}
		chosen, args = kinds[i], args[1:]
	}
	for _, other := range kinds {
		if other.flags == nil || other.name == chosen.name {
			continue
		}
		for _, flag := range other.flags() {
			if name := flag.Names()[0]; c.IsSet(name) {
				return misuse("leave it out, or serve that: tcps serve "+other.name, "--%s is for the service %s, not for %s", name, other.name, chosen.name)
			}
		}
	}
	handler, err := chosen.handler(c, args)
	if err != nil {
		return err
	}
	s.name, s.server.Handler = chosen.name, handler
	if _, ok := handler.(*service.Exec); ok {
		s.ending = 2 * execGrace // SIGTERM, SIGKILL, and what is left of the group
	}
	listen := list(c, "listen")
	if len(listen) == 0 {
		listen = []string{defaultListen}
	}
	return s.readEndpoints(c, "flag --listen", listen)
}

func serviceNames(kinds []serviceKind) []string {
	var names []string
	for _, kind := range kinds {
		names = append(names, kind.name)
	}
	return names
}

// servingOf reads what serve and forward have in common; what differs by server
// name is nobody's but a file's.
func (p *program) servingOf(c *cli.Context, called string, named []nameRules) (*serving, error) {
	s := &serving{called: called, drain: durationOf(c, "drain")}
	var err error
	if s.log, err = newLogger(c, p.err); err != nil {
		return nil, err
	}
	if called != "" {
		s.log = s.log.With("service", called)
	}
	if s.trust, err = trustConfigOf(c, named, p.passphrase(c)); err != nil {
		return nil, err
	}
	if s.server, err = serverOf(c); err != nil {
		return nil, err
	}
	s.lifetimes = newLifetimes(s.log)
	s.lines = &lineRate{log: s.log, most: countOf(c, "log-rate")}
	conns := connLog{s.log, s.lines, s.lifetimes}
	s.server.Observer = conns
	if c.Bool("log-data") {
		s.server.Observer = dataLog{conns}
	}
	return s, nil
}

// serverOf is the part of the flags that are fields of the server.
func serverOf(c *cli.Context) (*tlsserver.Server, error) {
	s := &tlsserver.Server{
		HandshakeTimeout:       durationOf(c, "handshake-timeout"),
		NextProtos:             list(c, "alpn"),
		RequireALPN:            c.Bool("alpn-required"),
		StrictSNI:              c.Bool("strict-sni"),
		SessionTicketsDisabled: c.Bool("no-tickets"),
	}
	if s.RequireALPN && len(s.NextProtos)+len(list(c, "route-alpn")) == 0 {
		return nil, misuse("name the protocols: --alpn PROTOCOL", "--alpn-required without --alpn")
	}
	var err error
	if s.ProxyProtocol, err = proxyInOf(c); err != nil {
		return nil, err
	}
	if s.MinVersion, err = tlsVersion(c, "min"); err != nil {
		return nil, err
	}
	if s.MaxVersion, err = tlsVersion(c, "max"); err != nil {
		return nil, err
	}
	if s.MinVersion > s.MaxVersion {
		return nil, misuse("", "--min %s is above --max %s", c.String("min"), c.String("max"))
	}
	for _, name := range list(c, "tls12-ciphers") {
		id, err := tlsserver.TLS12CipherSuite(name)
		if err != nil {
			return nil, misuse("", "flag --tls12-ciphers: %v", err)
		}
		s.TLS12CipherSuites = append(s.TLS12CipherSuites, id)
	}
	return s, nil
}

func tlsVersion(c *cli.Context, flag string) (uint16, error) {
	switch v := c.String(flag); v {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	default:
		return 0, misuse("", "flag --%s: %q is neither 1.2 nor 1.3 (older versions are not safe, and are not spoken)", flag, v)
	}
}
