package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/tlsserver/service"
)

const forwardUsage = `tcps forward [FLAG…] FROM TO [TO…]

A tunnel: listens on FROM, and carries each connection to TO. Either may be
tcps:// or unixs:// (TLS), tcp:// or unix:// (plain); without a scheme it is
tcps. The target is dialled when the client's handshake is done. Its
certificate is verified as by "tcps connect": --to-ca, --to-name; --to-pin alone
takes exactly that key, whoever signed it, whatever its name and dates.

Of several targets --balance chooses one. One that fails is left out for a
second, then for twice as long each time that it fails again, at most for a
minute; each time one client tries whether it is back, and gets the next target
if it is not. When all are out they are tried all the same.

Examples:
  tcps forward :8443 tcp://127.0.0.1:5432          TLS for a service that has none
  tcps forward tcp://127.0.0.1:5432 db:8443        plain on this machine, TLS to another one
  tcps forward --starttls postgres :5433 tcp://127.0.0.1:5432
  tcps forward --client-ca ca.pem --allow-cn billing :8443 unix:///run/db.sock
  tcps forward --to-ca ca.pem --to-cert me.pem --to-key me.key :8443 db:8443
  tcps forward --balance first --to-check tls :8443 db1:8443 db2:8443

Routes lead clients elsewhere by the server name that they ask for, or by their
application protocol; with routes TO may be left out. With --passthrough TLS is
not terminated: the target has the certificate.

  tcps forward --route db.example.org=tcp://10.0.0.5:5432 :8443 tcp://10.0.0.6:80
  tcps forward --passthrough --route '*.example.org=tcp://10.0.0.5:443' :443
  tcps forward --proxy-in 10.0.0.0/8 --proxy-out v2 :8443 tcp://127.0.0.1:8080

--starttls is for clients that begin in plain and then ask for TLS; one that does
not is told so, and reaches nobody. libpq before version 17 cancels a query on a
plain connection of its own: --starttls-cancel plain passes such requests on, 16
bytes and nothing else, from whoever may connect; rules for clients do not apply.

Certificates, rules for clients, limits and signals are those of "tcps serve".
The files of --to-… are read anew like the others.
`

const targetCategory = "The target"

func (p *program) forwardCommand() *cli.Command {
	return &cli.Command{
		Name:      "forward",
		Usage:     "a tunnel: terminate TLS, originate it, re-encrypt, or relay",
		UsageText: forwardUsage,
		Action:    func(c *cli.Context) error { return p.runServer(c, p.configureForward) },
		Flags:     slices.Concat([]cli.Flag{listFlag("Listening", "listen", "`ENDPOINT` to listen on too, beside FROM")}, targetFlags(), networkFlags(targetCategory), routeFlags(), []cli.Flag{proxyOutFlag()}, startTLSFlags(), serverFlags()),
	}
}

// targetFlags are those of the side that dials.
func targetFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(targetCategory, "to-ca", "`FILE` or folder with the authorities that may vouch for the target, instead of the system's and the local one"),
		stringFlag(targetCategory, "to-name", "", "`NAME` that the target's certificate must have, instead of the endpoint's host"),
		listFlag(targetCategory, "to-cert", "PEM or PKCS#12 `FILE` with the certificate for the target, its chain, and possibly its key"),
		listFlag(targetCategory, "to-key", "`FILE` with the key of the certificate in the same place"),
		listFlag(targetCategory, "to-pin", "`PIN` (SHA-256 of its public key, base64 or hex) that the target's certificate must have; without --to-ca nothing else counts"),
		stringFlag(targetCategory, "balance", "round-robin", "`MODE` of choosing among several targets: round-robin, least (open connections) or first (that is not out, in the order given)"),
		stringFlag(targetCategory, "to-check", "off", "`MODE` of looking whether the targets are there: tcp (connect), tls (and shake hands) or off"),
		durationFlag(targetCategory, "to-check-every", 5*time.Second, "`TIME` between two checks of a target"),
		durationFlag(targetCategory, "resolve", 30*time.Second, "`TIME` that the addresses of a target's name are kept, unless dialling fails; off: they are looked up at each dial"),
		durationFlag(targetCategory, "connect-timeout", 10*time.Second, "`TIME` for connecting to the target and its handshake"),
	}
}

// configureForward reads FROM and TO, and makes the tunnel.
func (p *program) configureForward(c *cli.Context, s *serving) error {
	routed := len(list(c, "route"))+len(list(c, "route-alpn")) > 0
	if c.Args().Len() < 2 && (c.Args().Len() == 0 || !routed) {
		return misuse("for instance: tcps forward tcps://:8443 tcp://127.0.0.1:5432", "tcps forward needs two endpoints, FROM and TO")
	}
	s.name, s.passthrough = "forward", c.Bool("passthrough")
	from, what := c.Args().Slice()[:1], "FROM"
	if more := list(c, "listen"); len(more) > 0 {
		from, what = append(from, more...), "FROM or flag --listen"
	}
	if err := s.readEndpoints(c, what, from); err != nil {
		return err
	}
	to, err := s.targetsOf(c.Args().Slice()[1:])
	if err != nil {
		return err
	}
	t := &tunnel{serving: s, flags: c}
	if t.forward.ProxyOut, err = proxyVersionOf(c, "proxy-out"); err != nil {
		return err
	}
	if len(to) > 0 {
		if t.forward.Targets, err = t.add(to); err != nil {
			return err
		}
	}
	if err := t.readRoutes(); err != nil {
		return err
	}
	if err := configureStartTLS(c, s, t.endpoints); err != nil {
		return err
	}
	s.dialling = &dialling{log: s.log, lifetimes: s.lifetimes, set: t.setDialer}
	if err := s.dialling.read(c, p, t.endpoints); err != nil {
		return err
	}
	s.server.Handler = &t.forward
	for _, e := range t.endpoints {
		if !e.TLS() && !e.Local() {
			s.say(func() {
				s.log.Warn("the target is plain and on another machine: what is said on the way can be read and changed", "target", e.String())
			})
		}
	}
	return nil
}

// targetsOf reads the endpoints that a tunnel leads to.
func (s *serving) targetsOf(args []string) ([]endpoint.Endpoint, error) {
	var targets []endpoint.Endpoint
	for _, arg := range args {
		e, err := dialledEndpoint(arg)
		switch {
		case err != nil:
			return nil, err
		case slices.ContainsFunc(targets, func(other endpoint.Endpoint) bool { return strings.EqualFold(other.String(), e.String()) }):
			return nil, misuse("name each target once", "the target %s is given twice", e)
		case s.passthrough && e.TLS():
			plain := e
			plain.Scheme = map[string]string{endpoint.TCPS: endpoint.TCP, endpoint.UnixS: endpoint.Unix}[e.Scheme]
			return nil, misuse("bytes are handed on as they come: write "+plain.String(), "the target %s with --passthrough would be TLS within TLS", e)
		}
		for _, from := range s.endpoints {
			if leadsTo(e, from) {
				return nil, misuse("listen elsewhere, or name another target", "%s leads to %s: the tunnel would connect to itself", from, e)
			}
		}
		targets = append(targets, e)
	}
	return targets, nil
}

// leadsTo reports whether who dials e certainly reaches who listens on from.
func leadsTo(e, from endpoint.Endpoint) bool {
	switch {
	case e.IsUnix() || from.IsUnix():
		return e.IsUnix() && from.IsUnix() && e.Path == from.Path
	case e.Port != from.Port:
		return false
	}
	addr, _ := netip.ParseAddr(from.Host)
	everywhere := from.Host == "" || addr.IsValid() && addr.IsUnspecified()
	return strings.EqualFold(loopback(e.Host), loopback(from.Host)) || everywhere && e.Local()
}

// loopback takes the addresses of localhost for its name: who dials that tries
// both.
func loopback(host string) string {
	if host == "127.0.0.1" || host == "::1" {
		return "localhost"
	}
	return host
}

// balanced makes the targets of a tunnel.
func (s *serving) balanced(c *cli.Context, to []endpoint.Endpoint) (*service.Targets, error) {
	var names []string
	for _, e := range to {
		names = append(names, e.String())
	}
	t := service.NewTargets(names...)
	t.ResolveEvery, t.CheckEvery = durationOf(c, "resolve"), durationOf(c, "to-check-every")
	t.Observe = targetLog{s.log}.observe
	switch mode := c.String("balance"); mode {
	case "round-robin":
	case "least":
		t.Balance = service.Least
	case "first":
		t.Balance = service.First
	default:
		return nil, misuse("", "flag --balance: %q is none of round-robin, least and first", mode)
	}
	switch mode := c.String("to-check"); mode {
	case "off", "0":
		if c.IsSet("to-check-every") {
			return nil, misuse("say how: --to-check tcp or --to-check tls", "--to-check-every without --to-check: nothing is checked")
		}
	case "tcp":
		t.Check = service.CheckTCP
	case "tls":
		t.Check = service.CheckTLS
	default:
		return nil, misuse("", "flag --to-check: %q is none of tcp, tls and off", mode)
	}
	if t.Check != service.CheckNone && t.CheckEvery < 0 {
		return nil, misuse("leave --to-check out", "--to-check together with --to-check-every off: it would never be done")
	}
	return t, nil
}

// checkTargets refuses flags that mean nothing for these targets.
func checkTargets(c *cli.Context, to []endpoint.Endpoint) error {
	secure := slices.ContainsFunc(to, endpoint.Endpoint.TLS)
	for _, flag := range []string{"to-ca", "to-name", "to-cert", "to-key", "to-pin"} {
		if c.IsSet(flag) && !secure {
			return misuse("use tcps:// or unixs:// there, or leave the flag out", "--%s, but no target speaks TLS", flag)
		}
	}
	if c.String("to-check") == "tls" && !secure {
		return misuse("use --to-check tcp", "--to-check tls, but no target speaks TLS")
	}
	if !slices.ContainsFunc(to, func(e endpoint.Endpoint) bool { return !e.IsUnix() }) && (c.Bool("4") || c.Bool("6") || c.String("bind") != "") {
		return misuse("leave them out", "-4, -6 and --bind mean nothing on the Unix socket %s", to[0])
	}
	for _, e := range to {
		if e.Scheme == endpoint.UnixS && c.String("to-name") == "" && (len(list(c, "to-pin")) == 0 || len(list(c, "to-ca")) > 0) {
			return misuse("say which name the target's certificate has: --to-name localhost", "%s: a Unix socket has no name to verify a certificate by", e)
		}
	}
	return nil
}

// A targetLog writes what happens to targets, apart from connections.
type targetLog struct{ log *slog.Logger }

func (l targetLog) observe(e service.TargetEvent) {
	switch e := e.(type) {
	case service.TargetFailed:
		l.log.Warn("target fails", "target", e.Endpoint, "err", e.Err)
	case service.TargetBack:
		l.log.Info("target is back", "target", e.Endpoint, "after", e.After.Round(time.Millisecond))
	case service.TargetUnresolved:
		l.log.Warn("a target's name does not resolve, its last addresses are used", "name", e.Host, "err", e.Err)
	}
}
