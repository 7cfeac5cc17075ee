// Package starttls has the dialogues by which protocols go over to TLS on a
// connection that began in plain: both sides of each, and what has to be said
// again when only one side of a tunnel was upgraded so.
//
// What a peer sends in plain after the words that begin TLS must not be taken
// for a part of the encrypted stream (CVE-2011-0411, CVE-2021-23222): nothing
// here reads further than the message that it looks at, a line byte by byte. So
// such bytes reach TLS as they are, and are no record of it.
//
// Messages and their number are bounded. Deadlines are the caller's.
package starttls

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"tcps/internal/reason"
)

// maxCommands is how much may be said before TLS begins.
const maxCommands = 20

// A protocol is how one is upgraded.
type protocol struct {
	name string

	// accept is the server's side. It returns when TLS is to begin.
	accept func(s *Server, c io.ReadWriter) (Accepted, error)

	// request is the client's side. It returns what the server said first.
	request func(c *Client, rw io.ReadWriter) (greeting []byte, err error)

	// introduce is what is to be said in a tunnel one side of which was
	// upgraded. Nil: nothing.
	introduce func(i *Introduction, t Target) (io.Reader, io.Reader, error)

	// refusal is how a client is told in the words of a server that refused us.
	refusal func(i *Introduction, words []byte) []byte
}

// protocols are all that we know.
var protocols = []protocol{
	{"postgres", acceptPostgres, requestPostgres, introducePostgres, verbatim},
	{"mysql", acceptMySQL, requestMySQL, introduceMySQL, mysqlRefusal},
	{"smtp", acceptSMTP, requestSMTP, introduceSMTP, verbatim},
	{"imap", acceptIMAP, requestIMAP, introduceIMAP, verbatim},
	{"pop3", acceptPOP3, requestPOP3, introducePOP3, verbatim},
	{"ldap", acceptLDAP, requestLDAP, nil, verbatim},
}

func verbatim(_ *Introduction, words []byte) []byte { return words }

// Check refuses a protocol that we do not know; the empty one is none.
func Check(name string) error {
	if name == "" {
		return nil
	}
	_, err := find(name)
	return err
}

// Names are the protocols that we know.
func Names() []string {
	var names []string
	for _, p := range protocols {
		names = append(names, p.name)
	}
	return names
}

func find(name string) (*protocol, error) {
	i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown STARTTLS protocol %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return &protocols[i], nil
}

// A Server is the listening side of a dialogue.
type Server struct {
	Protocol string

	// Local is where the client connected to: greetings name it.
	Local net.Addr

	// CancelPlain takes a PostgreSQL CancelRequest in plain.
	CancelPlain bool

	// Version is what MySQL clients hear that the server is. Empty:
	// DefaultVersion.
	Version string
}

// Accepted is how a dialogue ended well.
type Accepted struct {
	// Unread are bytes that belong to TLS already: the client began it without
	// a dialogue.
	Unread []byte

	// Cancel is a CancelRequest: TLS does not follow.
	Cancel []byte
}

// Accept holds the dialogue with a client until TLS begins. io.EOF is a client
// that went away, with a word or without.
func (s *Server) Accept(c io.ReadWriter) (Accepted, error) {
	p, err := find(s.Protocol)
	if err != nil {
		return Accepted{}, err
	}
	accepted, err := p.accept(s, c)
	return accepted, wrap(s.Protocol, err)
}

// A Client is the dialling side of a dialogue.
type Client struct {
	Protocol string

	// Local is where we connect from: smtp names it.
	Local net.Addr

	// Login is that of the MySQL client that the connection is for; nil: nobody's yet.
	Login *Login
}

// Request holds the dialogue with a server until TLS begins. It returns what
// the server said first, nil in protocols in which it says nothing. A server
// that refuses us by its greeting is a *Refusal.
func (c *Client) Request(rw io.ReadWriter) (greeting []byte, err error) {
	p, err := find(c.Protocol)
	if err != nil {
		return nil, err
	}
	greeting, err = p.request(c, rw)
	return greeting, wrap(c.Protocol, err)
}

// A Refusal is a server that greeted us with a refusal.
type Refusal struct{ Words []byte }

func (r *Refusal) Error() string {
	return fmt.Sprintf("it refuses us: %q", strings.TrimRight(string(r.Words), "\r\n"))
}

// wrap names the protocol; the end of a peer stays bare.
func wrap(protocol string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("starttls %s: %w", protocol, err)
}

// notTLS is a peer that does not go over to TLS.
func notTLS(format string, args ...any) error {
	return &reason.Error{Reason: reason.NotTLS, Err: fmt.Errorf(format, args...)}
}

// write is for answers: most are constants.
func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

// cut says that a message was not whole: what follows a begun one is no end.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
