package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// demoRoom shows a room that knows its members: two who have certificates, and
// one who has none, in one process, with an authority that lives only in memory.
func (p *program) demoRoom(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		return failure(err)
	}
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	if err != nil {
		return failure(err)
	}
	d := &roomDemo{out: p.out, authority: authority, refused: make(chan tlsserver.Reason, 1)}
	server := &tlsserver.Server{Handler: &service.Broadcast{}, Observer: tlsserver.ObserverFunc(d.observe)}
	if err := server.SetTrust(&tlsserver.Trust{Source: source, ClientCAs: authority.Pool()}); err != nil {
		return failure(err)
	}
	l, err := tlsserver.Listen(c.Context, "tcps://127.0.0.1:0")
	if err != nil {
		return failure(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(c.Context, l) }()
	d.address = "tcps://" + l.Addr().String()
	err = d.run(c.Context)
	server.Close()
	<-served
	if err != nil {
		return failure(err)
	}
	return nil
}

// A roomDemo is the clients of one demonstration, and what they show.
type roomDemo struct {
	out       io.Writer
	authority *certs.Authority
	address   string
	refused   chan tlsserver.Reason
}

// observe keeps why the server let somebody not in.
func (d *roomDemo) observe(e tlsserver.Event) {
	if ended, ok := e.(tlsserver.Ended); ok && ended.Reason == tlsserver.ReasonNoCertificate {
		d.refused <- ended.Reason
	}
}

func (d *roomDemo) run(ctx context.Context) error {
	fmt.Fprintln(d.out, "a room on", d.address, "lets in who has a certificate")
	alice, err := d.enter(ctx, "alice")
	if err != nil {
		return err
	}
	defer alice.conn.Close()
	bob, err := d.enter(ctx, "bob")
	if err != nil {
		return err
	}
	defer bob.conn.Close()
	return errors.Join(
		alice.sees(),
		alice.says("hello, bob"), bob.sees(),
		bob.says("hello, alice"), alice.sees(),
		d.stranger(ctx),
		bob.leaves(), alice.sees(),
		alice.leaves(),
	)
}

// A demoMember is one client in the room.
type demoMember struct {
	name  string
	out   io.Writer
	conn  *tlsclient.Conn
	lines *bufio.Reader
}

// enter joins with a certificate of that name.
func (d *roomDemo) enter(ctx context.Context, name string) (*demoMember, error) {
	issued, err := d.authority.Issue(certs.Request{Names: []string{name}, Client: true})
	if err != nil {
		return nil, err
	}
	conn, err := (&tlsclient.Dialer{RootCAs: d.authority.Pool(), Source: certs.Static(issued.Certificate)}).Dial(ctx, d.address)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "%s connects, with a certificate\n", name)
	m := &demoMember{name: name, out: d.out, conn: conn, lines: bufio.NewReader(conn)}
	return m, m.sees()
}

// sees waits for a line and shows it.
func (m *demoMember) sees() error {
	line, err := m.lines.ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "  %-6s sees  %s\n", m.name, trimLine(line))
	return nil
}

func (m *demoMember) says(text string) error {
	fmt.Fprintf(m.out, "  %-6s says  %s\n", m.name, text)
	_, err := io.WriteString(m.conn, text+"\n")
	return err
}

// leaves ends the member's side, and waits until the room has ended the other.
func (m *demoMember) leaves() error {
	fmt.Fprintf(m.out, "%s leaves\n", m.name)
	if err := m.conn.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, m.lines)
	return err
}

// stranger connects without a certificate, and is refused.
func (d *roomDemo) stranger(ctx context.Context) error {
	fmt.Fprintln(d.out, "a stranger connects, without a certificate")
	conn, err := (&tlsclient.Dialer{RootCAs: d.authority.Pool()}).Dial(ctx, d.address)
	if err == nil { // in TLS 1.3 the refusal comes with the first read
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok {
		return fmt.Errorf("the stranger was let in, or failed otherwise: %w", err)
	}
	select {
	case why := <-d.refused:
		fmt.Fprintf(d.out, "  stranger  %s (exit status %d); the server's log says %s\n", failed.Reason, failed.Reason.ExitCode(), why)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
