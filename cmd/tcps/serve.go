package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/internal/terminal"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

const serveUsage = `tcps serve [FLAG…] [greet|echo|discard]

greet    sends "hello\r\n", then echoes what it receives (the default)
echo     sends back what it receives
discard  reads, and sends nothing

Examples:
  tcps serve                                   with a certificate of the local authority
  tcps serve --cert server.pem --key server.key --listen :8443 echo
  tcps serve --client-ca ca.pem --allow-cn billing --allow-cn reports
  tcps serve --listen tcps://:8443 --listen 'unixs:///run/tcps.sock?mode=0660'

The first SIGINT or SIGTERM stops accepting and lets connections end within
--drain, a second one ends at once. SIGHUP reads the certificate files anew,
which also happens by itself when they change.`

// greeting is what greet says: the words of the tutorial that tcps grew from.
const greeting = "hello\r\n"

var services = map[string]func() tlsserver.Handler{
	"greet":   func() tlsserver.Handler { return service.Greet(greeting, service.Echo()) },
	"echo":    service.Echo,
	"discard": service.Discard,
}

func (p *program) serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "serve TLS: greet, echo or discard",
		UsageText: serveUsage,
		Action:    p.serve,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{
				Category: "Listening", Name: "listen", EnvVars: env("listen"), DefaultText: "tcps://127.0.0.1:8120",
				Usage: "`ENDPOINT` to listen on: tcps://HOST:PORT, tcp://…, unix:///PATH?mode=0660&owner=USER:GROUP, unixs://… (repeatable)",
			},
			boolFlag("Listening", "allow-plain", "allow plain tcp:// on addresses that other machines can reach"),
			stringFlag("TLS", "min", "1.2", "lowest TLS `VERSION`: 1.2 or 1.3"),
			stringFlag("TLS", "max", "1.3", "highest TLS `VERSION`: 1.2 or 1.3"),
			listFlag("TLS", "tls12-ciphers", "cipher `SUITE` for TLS 1.2, by its IANA name"),
			boolFlag("TLS", "no-tickets", "no session tickets: every handshake is a full one"),
			listFlag("TLS", "alpn", "application `PROTOCOL` to offer, preferred first"),
			boolFlag("TLS", "alpn-required", "refuse clients that offer no application protocol"),
			boolFlag("TLS", "strict-sni", "refuse clients that ask for no name, or for one without a certificate"),
			durationFlag("Limits", "handshake-timeout", 10*time.Second, "`TIME` from accepting a connection to the end of its handshake"),
			countFlag("Limits", "max-hellos", 10_000, "`NUMBER` of connections that may wait for their hello; the oldest gives way"),
			maxHandshakesFlag(),
			durationFlag("Limits", "drain", 30*time.Second, "`TIME` that connections have to end by themselves at a shutdown; off: all they want"),
			stateFlag(),
			logFlag(),
			boolFlag("Log", "log-data", "log what arrives and leaves, at most 256 bytes of each read and write: that data may be private"),
		}, trustFlags()...),
	}
}

func maxHandshakesFlag() cli.Flag {
	f := countFlag("Limits", "max-handshakes", 0, "`NUMBER` of handshakes in progress; one more waits its turn")
	f.DefaultText = "256 for each processor"
	return f
}

// A serving is what the flags of one serve ask for.
type serving struct {
	endpoints []endpoint.Endpoint
	name      string // of the service
	trust     *trustConfig
	server    *tlsserver.Server
	drain     time.Duration // negative: no limit
	log       *slog.Logger
}

func (p *program) serve(c *cli.Context) error {
	// Signals may come as soon as the process is there.
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	notifyHangup(hangups)
	defer signal.Stop(hangups)
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go away
	s, err := p.servingOf(c)
	if err != nil {
		return err
	}
	r := &reloader{config: s.trust, server: s.server, log: s.log}
	watcher := certs.NewWatcher(r.paths()...) // before the files are read, so that no change is missed
	if s.secure() {
		source, err := s.localSource(c)
		if err != nil {
			return err
		}
		if err := r.load(source); err != nil {
			return err
		}
	}
	listeners, err := s.listen(c.Context)
	if err != nil {
		return err
	}
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	s.announce(c, listeners)
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	var watching sync.WaitGroup
	if s.secure() {
		watching.Go(func() { r.watch(ctx, watcher, hangups) })
	}
	err = s.run(ctx, listeners, signals)
	cancel()
	watching.Wait()
	return err
}

func (p *program) servingOf(c *cli.Context) (*serving, error) {
	s := &serving{name: "greet", drain: durationOf(c, "drain")}
	if c.Args().Present() {
		s.name = c.Args().First()
	}
	handler, ok := services[s.name]
	if !ok {
		return nil, misuse(suggestion("tcps serve ", s.name, []string{"greet", "echo", "discard"}, "tcps serve --help"), "tcps serve has no service %q", s.name)
	}
	if c.Args().Len() > 1 {
		return nil, misuse("", "tcps serve takes one service, got %q too", c.Args().Get(1))
	}
	var err error
	if s.log, err = newLogger(c, p.err); err != nil {
		return nil, err
	}
	if s.trust, err = trustConfigOf(c); err != nil {
		return nil, err
	}
	if s.server, err = serverOf(c); err != nil {
		return nil, err
	}
	s.server.Handler = handler()
	s.server.Observer = connLog{s.log}
	if c.Bool("log-data") {
		s.server.Observer = dataLog{connLog{s.log}}
	}
	return s, s.readEndpoints(c)
}

// serverOf is the part of the flags that are fields of the server.
func serverOf(c *cli.Context) (*tlsserver.Server, error) {
	s := &tlsserver.Server{
		HandshakeTimeout:       durationOf(c, "handshake-timeout"),
		Limits:                 tlsserver.Limits{MaxHellos: countOf(c, "max-hellos")},
		NextProtos:             list(c, "alpn"),
		RequireALPN:            c.Bool("alpn-required"),
		StrictSNI:              c.Bool("strict-sni"),
		SessionTicketsDisabled: c.Bool("no-tickets"),
	}
	if c.IsSet("max-handshakes") {
		s.Limits.MaxHandshakes = countOf(c, "max-handshakes")
	}
	if s.RequireALPN && len(s.NextProtos) == 0 {
		return nil, misuse("name the protocols: --alpn PROTOCOL", "--alpn-required without --alpn")
	}
	var err error
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

func (s *serving) readEndpoints(c *cli.Context) error {
	listen := list(c, "listen")
	if len(listen) == 0 {
		listen = []string{"tcps://127.0.0.1:8120"}
	}
	for _, text := range listen {
		e, err := endpoint.Parse(text)
		if err != nil {
			return misuse("write it as tcps://127.0.0.1:8120, :8120 or unix:///path", "flag --listen: %v", err)
		}
		if err := s.checkPlain(c, e); err != nil {
			return err
		}
		s.endpoints = append(s.endpoints, e)
	}
	if s.secure() {
		return nil
	}
	for _, flag := range []string{"cert", "key", "min", "max", "tls12-ciphers", "no-tickets", "alpn", "alpn-required", "strict-sni"} {
		if c.IsSet(flag) {
			return misuse("use tcps:// or unixs://, or leave the flag out", "--%s, but no listener speaks TLS", flag)
		}
	}
	return nil
}

// checkPlain refuses what a plain listener cannot keep.
func (s *serving) checkPlain(c *cli.Context, e endpoint.Endpoint) error {
	switch {
	case e.TLS():
		return nil
	case s.trust.asksClients():
		return misuse("use tcps:// or unixs:// there", "%s is plain: nobody shows a certificate there that --client-ca, --client-auth or rules could judge", e)
	case !e.Local() && !c.Bool("allow-plain"):
		return misuse("use tcps://, or say --allow-plain if that is meant", "%s is plain and other machines can reach it: what is said there could be read and changed", e)
	}
	return nil
}

func (s *serving) secure() bool {
	for _, e := range s.endpoints {
		if e.TLS() {
			return true
		}
	}
	return false
}

// localSource is the embedded default: without certificate files, the local
// authority issues for localhost, this machine's name and the addresses that
// are listened on. It is nil where there are files.
func (s *serving) localSource(c *cli.Context) (certs.Source, error) {
	if len(s.trust.pairs) > 0 {
		return nil, nil
	}
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	authority, created, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{})
	if err != nil {
		return nil, failure(err, "\"tcps certs init --force\" makes a new authority; --cert and --key use files instead")
	}
	if created {
		s.log.Info("made a local authority, which may only sign for local names", "root", rootFile(dir))
	}
	names, leftOut := authority.ServerNames(s.localNames()...)
	if len(leftOut) > 0 {
		s.log.Warn("the local authority does not permit some names, the certificate goes without them", "names", leftOut)
	}
	source, err := authority.Source(names, 0)
	if err != nil {
		return nil, failure(err)
	}
	return source, nil
}

// localNames are what a client may call this server.
func (s *serving) localNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, e := range s.endpoints {
		if e.IsUnix() || !e.TLS() || e.Host == "" {
			continue
		}
		host, _, _ := strings.Cut(e.Host, "%") // without the zone
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	return unique(names)
}

func unique(names []string) []string {
	seen := make(map[string]bool)
	var kept []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			kept = append(kept, n)
		}
	}
	return kept
}

// A listening is a listener and how it is to be served.
type listening struct {
	net.Listener
	endpoint endpoint.Endpoint // with the port that was bound
}

func (s *serving) listen(ctx context.Context) (all []listening, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	for _, e := range s.endpoints {
		l, err := tlsserver.Listen(ctx, e.String())
		if err != nil {
			return all, failure(err, listenHint(err)...)
		}
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			e.Port = fmt.Sprint(tcp.Port)
		}
		all = append(all, listening{l, e})
	}
	return all, nil
}

func listenHint(err error) []string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return []string{"another program listens there: end it, or choose another with --listen (port 0 takes a free one)"}
	case errors.Is(err, syscall.EACCES):
		return []string{"this user may not listen there: ports below 1024 need root or CAP_NET_BIND_SERVICE, a Unix socket a folder to write to"}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return []string{"this machine does not have that address: listen on one it has, or on all with --listen :8120"}
	}
	return nil
}

// announce says what is served where, and how to try it.
func (s *serving) announce(c *cli.Context, listeners []listening) {
	for _, l := range listeners {
		s.log.Info("serving", "service", s.name, "endpoint", l.endpoint.String())
	}
	if len(s.trust.pairs) > 0 {
		return
	}
	for _, l := range listeners {
		if l.endpoint.Scheme != endpoint.TCPS {
			continue
		}
		dir, err := authorityDir(c)
		if err != nil {
			return
		}
		address := reachable(l.endpoint)
		s.log.Info("try", "openssl", fmt.Sprintf("openssl s_client -connect %s -CAfile %s", address, terminal.ShellWord(rootFile(dir))))
		s.log.Info("try", "tcps", "tcps connect "+address)
		return
	}
}

// reachable is host:port for a client on this machine.
func reachable(e endpoint.Endpoint) string {
	host := e.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, e.Port)
}

// run serves until a signal has ended it. The first drains, the second ends at
// once.
func (s *serving) run(ctx context.Context, listeners []listening, signals <-chan os.Signal) error {
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		serve := s.server.Serve
		if !l.endpoint.TLS() {
			serve = s.server.ServePlain
		}
		go func() { served <- serve(ctx, l) }()
	}
	select {
	case err := <-served: // a listener broke
		s.server.Close()
		return failure(err)
	case <-ctx.Done():
		s.server.Close()
		return failure(ctx.Err())
	case <-signals:
		return s.shutdown(signals)
	}
}

// shutdown drains. It must come to its end whatever hangs: a log that nobody
// reads any more holds up every connection that has a line to say, and so must
// neither keep a second signal from being seen nor the process from ending.
func (s *serving) shutdown(signals <-chan os.Signal) error {
	ctx, stop := context.WithCancel(context.Background())
	limit := time.Duration(math.MaxInt64)
	if s.drain >= 0 {
		ctx, stop = context.WithTimeout(ctx, s.drain)
		limit = s.drain + patience
	}
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.server.Shutdown(ctx) }()
	drain := duration(max(s.drain, 0))
	s.say(func() {
		s.log.Info("draining: no new connections; another signal ends at once", "drain", drain.String())
	})
	var err error
	select {
	case err = <-done:
	case <-signals:
		err = s.closeNow()
	case <-time.After(limit):
		err = errCut
	}
	if err != nil {
		s.say(func() { s.log.Warn("stopped; connections that had not ended were cut") })
		return &quiet{exitFailed}
	}
	s.say(func() { s.log.Info("stopped; all connections had ended") })
	return nil
}

var errCut = errors.New("connections that had not ended were cut")

// patience is how long the end of the process waits for what should not take
// any time.
const patience = time.Second

// closeNow ends all connections.
func (s *serving) closeNow() error {
	closed := make(chan struct{})
	go func() {
		s.server.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
	}
	return errCut
}

// say logs, and does not wait for ever for a reader.
func (s *serving) say(line func()) {
	said := make(chan struct{})
	go func() {
		line()
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(patience):
	}
}
