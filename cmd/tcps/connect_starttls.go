package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/starttls"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// connectStartTLSFlags are for servers that begin in plain.
func connectStartTLSFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("STARTTLS", "starttls", "", "`PROTOCOL` in which the server is asked for TLS in plain: smtp, lmtp, imap, pop3, ftp, nntp, sieve, ldap, xmpp, xmpp-server, irc, mysql or postgres"),
	}
}

// dialStartTLS reads those flags.
func dialStartTLS(c *cli.Context, d *tlsclient.Dialer, target endpoint.Endpoint) error {
	protocol := c.String("starttls")
	if err := starttls.CheckClient(protocol); err != nil {
		return misuse(suggestion(c.Command.HelpName+" --starttls ", protocol, starttls.ClientNames(), c.Command.HelpName+" --help"), "flag --starttls: %v", err)
	}
	if protocol != "" && !target.TLS() {
		return misuse("write it as tcps:// or unixs://", "--starttls leads to TLS, and %s is plain", target)
	}
	if strings.HasPrefix(protocol, "xmpp") && target.IsUnix() && d.ServerName == "" {
		return misuse("say whom the server is to speak for: --name example.org", "--starttls %s: a Unix socket has no name to begin a stream with", protocol)
	}
	d.StartTLS = protocol
	return nil
}

// describeStartTLS says what led to TLS: a greeting is in nobody's output.
func describeStartTLS(w io.Writer, conn *tlsclient.Conn) {
	protocol := conn.StartTLS()
	greeting, more, _ := strings.Cut(string(conn.Greeting()), "\r\n")
	if more != "" {
		greeting += " …"
	}
	switch {
	case protocol == "":
	case greeting == "" || protocol == "mysql": // a packet
		fmt.Fprintf(w, "tcps: STARTTLS: %s\n", protocol)
	default:
		fmt.Fprintf(w, "tcps: STARTTLS: %s, the server greeted with %s\n", protocol, terminal.Printable(greeting))
	}
}

// startTLSHints are for a server that did not go over to TLS.
func startTLSHints(c *cli.Context, failed *tlsclient.Error) []string {
	if failed.Op != tlsclient.OpStartTLS {
		return nil
	}
	if _, ok := errors.AsType[*starttls.Injection](failed); ok {
		return []string{"nothing of it was taken; if it comes again from another network, the server is at fault, else somebody in between"}
	}
	if _, ok := errors.AsType[*starttls.Refusal](failed); ok {
		return nil
	}
	protocol := c.String("starttls")
	hints := []string{fmt.Sprintf("is that a port on which %s begins in plain? One on which TLS begins at once wants no --starttls", protocol)}
	if protocol == "irc" && failed.Timeout() {
		hints = append(hints, "some servers without TLS pass over the question")
	}
	return hints
}
