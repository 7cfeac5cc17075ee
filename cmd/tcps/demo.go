package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

func (p *program) demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "server and client in one process: see TLS work",
		UsageText: "tcps demo          a greeting and an echo\ntcps demo room     a room that knows its members, and a client that it refuses",
		Action:    p.demo,
		Subcommands: []*cli.Command{{
			Name:      "room",
			Usage:     "a room that knows its members, and a client that it refuses",
			UsageText: "tcps demo room",
			Action:    p.demoRoom,
		}},
	}
}

// demo runs a server and a client in one process, with an authority that lives
// only in memory.
func (p *program) demo(c *cli.Context) error {
	if c.Args().Present() {
		return unknownCommand("tcps demo", c.Command.Subcommands, c.Args().First())
	}
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		return failure(err)
	}
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	if err != nil {
		return failure(err)
	}
	server := &tlsserver.Server{Handler: service.Greet(greeting, service.Echo())}
	if err := server.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
		return failure(err)
	}
	l, err := tlsserver.Listen(c.Context, "tcps://127.0.0.1:0")
	if err != nil {
		return failure(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(c.Context, l) }()
	fmt.Fprintln(p.out, "server bound on", l.Addr())
	err = p.demoClient(c.Context, &tlsclient.Dialer{RootCAs: authority.Pool()}, l.Addr().String())
	server.Close()
	<-served
	if err != nil {
		return failure(err)
	}
	return nil
}

func (p *program) demoClient(ctx context.Context, dialer *tlsclient.Dialer, address string) error {
	conn, err := dialer.Dial(ctx, "tcps://"+address)
	if err != nil {
		return err
	}
	defer conn.Close()
	cs := conn.TLS()
	fmt.Fprintf(p.out, "connected with %s, group %s\n", tls.VersionName(cs.Version), cs.CurveID)
	lines := bufio.NewReader(conn)
	hello, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, trimLine(hello))
	if _, err := io.WriteString(conn, "world123!\r\n"); err != nil {
		return err
	}
	echoed, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, trimLine(echoed), "echoed")
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if _, err := io.Copy(p.out, lines); err != nil {
		return err
	}
	fmt.Fprintln(p.out, "disconnected")
	return nil
}

func trimLine(s string) string { return strings.TrimRight(s, "\r\n") }
