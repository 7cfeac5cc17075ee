package main

import (
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/tlsclient"
	"tcps/tlsserver/service"
)

const forwardUsage = `tcps forward [FLAG…] FROM TO

A tunnel: listens on FROM, and carries each connection to TO. Either may be
tcps:// or unixs:// (TLS), tcp:// or unix:// (plain); without a scheme it is
tcps. The target is dialled when the client's handshake is done. Its
certificate is verified as by "tcps connect": --to-ca, --to-name.

Examples:
  tcps forward :8443 tcp://127.0.0.1:5432          TLS for a service that has none
  tcps forward tcp://127.0.0.1:5432 db:8443        plain on this machine, TLS to another one
  tcps forward --client-ca ca.pem --allow-cn billing :8443 unix:///run/db.sock
  tcps forward --to-ca ca.pem --to-cert me.pem --to-key me.key :8443 db:8443

Routes lead clients elsewhere by the server name that they ask for, or by their
application protocol; with routes TO may be left out. With --passthrough TLS is
not terminated: the target has the certificate.

  tcps forward --route db.example.org=tcp://10.0.0.5:5432 :8443 tcp://10.0.0.6:80
  tcps forward --passthrough --route '*.example.org=tcp://10.0.0.5:443' :443
  tcps forward --proxy-in 10.0.0.0/8 --proxy-out v2 :8443 tcp://127.0.0.1:8080

Certificates, rules for clients, limits and signals are those of "tcps serve".
`

const targetCategory = "The target"

func (p *program) forwardCommand() *cli.Command {
	return &cli.Command{
		Name:      "forward",
		Usage:     "a tunnel: terminate TLS, originate it, re-encrypt, or relay",
		UsageText: forwardUsage,
		Action:    func(c *cli.Context) error { return p.runServer(c, p.configureForward) },
		Flags:     slices.Concat(targetFlags(), networkFlags(targetCategory), routeFlags(), []cli.Flag{proxyOutFlag()}, serverFlags()),
	}
}

// targetFlags are those of the side that dials.
func targetFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(targetCategory, "to-ca", "`FILE` or folder with the authorities that may vouch for the target, instead of the system's and the local one"),
		stringFlag(targetCategory, "to-name", "", "`NAME` that the target's certificate must have, instead of the endpoint's host"),
		listFlag(targetCategory, "to-cert", "PEM or PKCS#12 `FILE` with the certificate for the target, its chain, and possibly its key"),
		listFlag(targetCategory, "to-key", "`FILE` with the key of the certificate in the same place"),
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
	if err := s.readEndpoints(c, "FROM", c.Args().Slice()[:1]); err != nil {
		return err
	}
	to, err := s.targetsOf("TO", c.Args().Slice()[1:])
	if err != nil {
		return err
	}
	dialer := &tlsclient.Dialer{ServerName: c.String("to-name"), Timeout: durationOf(c, "connect-timeout")}
	if err := dialNetwork(c, dialer); err != nil {
		return err
	}
	if err := p.dialTrust(c, dialer, "to-"); err != nil {
		return err
	}
	newTargets := func(endpoints []string) *service.Targets {
		targets := service.NewTargets(endpoints...)
		targets.SetDialer(dialer)
		return targets
	}
	tunnel := &service.Forward{}
	if len(to) > 0 {
		tunnel.Targets = newTargets(to)
	}
	if tunnel.ProxyOut, err = proxyOutOf(c); err != nil {
		return err
	}
	s.server.Handler = tunnel
	return s.readRoutes(c, tunnel, newTargets)
}

// targetsOf reads the endpoints that a tunnel leads to; what says where they
// were written.
func (s *serving) targetsOf(what string, args []string) ([]string, error) {
	var targets []string
	for _, arg := range args {
		e, err := endpoint.Parse(arg)
		if err != nil {
			return nil, misuse("write it as tcp://127.0.0.1:5432, tcps://db:8443 or unix:///path", "%s: %v", what, err)
		}
		if s.passthrough && e.TLS() {
			plain := e
			plain.Scheme = map[string]string{endpoint.TCPS: endpoint.TCP, endpoint.UnixS: endpoint.Unix}[e.Scheme]
			return nil, misuse("bytes are handed on as they come: write "+plain.String(), "%s: %s with --passthrough would be TLS within TLS", what, e)
		}
		targets = append(targets, e.String())
	}
	return targets, nil
}
