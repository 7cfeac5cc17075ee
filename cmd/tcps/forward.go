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
  tcps forward --starttls postgres :5433 tcp://127.0.0.1:5432
  tcps forward --client-ca ca.pem --allow-cn billing :8443 unix:///run/db.sock
  tcps forward --to-ca ca.pem --to-cert me.pem --to-key me.key :8443 db:8443

--starttls is for clients that begin in plain and then ask for TLS; one that does
not is told so, and reaches nobody. libpq before version 17 cancels a query on a
plain connection of its own: --starttls-cancel plain passes such requests on, 16
bytes and nothing else, from whoever may connect; rules for clients do not apply.

Certificates, rules for clients, limits and signals are those of "tcps serve".
`

const targetCategory = "The target"

func (p *program) forwardCommand() *cli.Command {
	return &cli.Command{
		Name:      "forward",
		Usage:     "a tunnel: terminate TLS, originate it, re-encrypt, or relay",
		UsageText: forwardUsage,
		Action:    func(c *cli.Context) error { return p.runServer(c, p.configureForward) },
		Flags:     slices.Concat(targetFlags(), networkFlags(targetCategory), startTLSFlags(), serverFlags()),
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
	if c.Args().Len() < 2 {
		return misuse("for instance: tcps forward tcps://:8443 tcp://127.0.0.1:5432", "tcps forward needs two endpoints, FROM and TO")
	}
	s.name = "forward"
	if err := s.readEndpoints(c, "FROM", c.Args().Slice()[:1]); err != nil {
		return err
	}
	to, err := targetsOf(c.Args().Slice()[1:])
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
	if err := configureStartTLS(c, s, to, dialer); err != nil {
		return err
	}
	targets := service.NewTargets(to...)
	targets.SetDialer(dialer)
	s.server.Handler = &service.Forward{Targets: targets}
	return nil
}

// targetsOf reads the endpoints that a tunnel leads to.
func targetsOf(args []string) ([]string, error) {
	var targets []string
	for _, arg := range args {
		e, err := endpoint.Parse(arg)
		if err != nil {
			return nil, misuse("write it as tcp://127.0.0.1:5432, tcps://db:8443 or unix:///path", "TO: %v", err)
		}
		targets = append(targets, e.String())
	}
	return targets, nil
}
