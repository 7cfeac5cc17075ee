package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/starttls"
	"tcps/tlsserver"
)

// startTLSFlags are for protocols that begin in plain and go over to TLS.
func startTLSFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("STARTTLS", "starttls", "", "`PROTOCOL` in which clients ask for TLS before it begins: postgres, mysql, smtp, imap, pop3 or ldap"),
		stringFlag("STARTTLS", "starttls-cancel", "", "`MODE` for the CancelRequests that libpq sends in plain before version 17: plain passes them on, whoever sends them"),
		stringFlag("STARTTLS", "to-starttls", "", "`PROTOCOL` in which the target is asked for TLS: one of those, lmtp, nntp, sieve, xmpp, xmpp-server or irc"),
	}
}

// configureStartTLS reads those flags, once the endpoints are known; that for the
// target goes to its Dialer.
func configureStartTLS(c *cli.Context, s *serving, to []endpoint.Endpoint) error {
	front, back := c.String("starttls"), c.String("to-starttls")
	if err := starttls.CheckServer(front); err != nil {
		return misuse(startTLSHint("starttls", front, starttls.ServerNames()), "flag --starttls: %v", err)
	}
	if err := starttls.CheckTunnel(back); err != nil {
		return misuse(startTLSHint("to-starttls", back, starttls.TunnelNames()), "flag --to-starttls: %v", err)
	}
	if front != "" && back != "" && front != back {
		return misuse("a tunnel carries one protocol", "--starttls %s with --to-starttls %s", front, back)
	}
	if front != "" && c.Bool("passthrough") {
		return misuse("leave one out", "--starttls with --passthrough: the TLS that it leads to would end here")
	}
	isPlain := func(e endpoint.Endpoint) bool { return !e.TLS() }
	if front != "" && slices.ContainsFunc(s.endpoints, isPlain) {
		return misuse("listen on tcps:// or unixs://", "--starttls leads to TLS, and FROM is plain")
	}
	if back != "" && slices.ContainsFunc(to, isPlain) {
		return misuse("write TO as tcps:// or unixs://", "--to-starttls leads to TLS, and TO is plain")
	}
	s.server.StartTLS = front
	if front == "postgres" && len(s.server.NextProtos) == 0 {
		s.server.NextProtos = []string{"postgresql"} // libpq offers it, and with sslnegotiation=direct insists on it
	}
	return configureCancel(c, s.server)
}

// startTLSHint corrects the spelling of a protocol that nobody knows.
func startTLSHint(flag, protocol string, known []string) string {
	if starttls.CheckClient(protocol) == nil {
		return "\"tcps connect --starttls " + protocol + "\" talks to such a server"
	}
	return suggestion("tcps forward --"+flag+" ", protocol, known, "tcps forward --help")
}

func configureCancel(c *cli.Context, s *tlsserver.Server) error {
	switch mode := c.String("starttls-cancel"); {
	case mode == "":
		return nil
	case mode != "plain":
		return misuse("the only mode is: --starttls-cancel plain", "flag --starttls-cancel: unknown mode %q", mode)
	case s.StartTLS != "postgres":
		return misuse("say --starttls postgres too", "--starttls-cancel is for PostgreSQL only")
	}
	s.StartTLSCancelPlain = true
	return nil
}
