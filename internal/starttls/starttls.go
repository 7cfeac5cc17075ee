// Package starttls has the dialogues by which protocols go over to TLS on a
// connection that began in plain: both sides of each, and what has to be said
// again when only one side of a tunnel was upgraded so.
//
// What a peer sends in plain after the words that begin TLS must not be taken
// for a part of the encrypted stream (CVE-2011-0411, CVE-2021-23222). The server's
// side reads no further than the message that it looks at, a line byte by byte: so
// such bytes reach TLS as they are, and are no record of it. The client's side, on
// which nothing may come before TLS has begun, reads what there is, and calls it
// an Injection.
//
// Messages and their number are bounded. Deadlines are the caller's.
package starttls

import (
	"errors"
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

	// accept is the server's side. It returns when TLS is to begin. Nil: we are
	// no server of the protocol.
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
	{"lmtp", nil, requestLMTP, introduceSMTP, verbatim},
	{"ftp", nil, requestFTP, introduceFTP, verbatim},
	{"nntp", nil, requestNNTP, introduceNNTP, verbatim},
	{"sieve", nil, requestSieve, nil, verbatim}, // the server says in TLS what it is (RFC 5804, 2.2)
	{"xmpp", nil, requestXMPP, nil, verbatim},   // the stream begins anew (RFC 6120, 5.4.3.3)
	{"xmpp-server", nil, requestXMPP, nil, verbatim},
	{"irc", nil, requestIRC, nil, verbatim},
}

func verbatim(_ *Introduction, words []byte) []byte { return words }

// CheckServer refuses a protocol that we cannot accept; the empty one is none.
func CheckServer(name string) error { return check(name, ServerNames()) }

// CheckClient refuses a protocol in which we cannot ask; the empty one is none.
func CheckClient(name string) error { return check(name, ClientNames()) }

// CheckTunnel refuses a protocol in which the target of a tunnel cannot be asked;
// the empty one is none.
func CheckTunnel(name string) error {
	if name == "ftp" {
		return errFTPTunnel
	}
	return check(name, TunnelNames())
}

func check(name string, known []string) error {
	p, err := find(name)
	switch {
	case name == "" || slices.Contains(known, name):
		return nil
	case err != nil:
		return fmt.Errorf("unknown STARTTLS protocol %q: want one of %s", name, strings.Join(known, ", "))
	default:
		return fmt.Errorf("STARTTLS protocol %q works towards servers only: want one of %s", p.name, strings.Join(known, ", "))
	}
}

// ServerNames are the protocols that we can accept.
func ServerNames() []string { return names(func(p protocol) bool { return p.accept != nil }) }

// ClientNames are the protocols in which we can ask for TLS: all.
func ClientNames() []string { return names(func(protocol) bool { return true }) }

// TunnelNames are those in which the target of a tunnel can be asked.
func TunnelNames() []string { return names(func(p protocol) bool { return p.name != "ftp" }) }

func names(wanted func(protocol) bool) []string {
	var names []string
	for _, p := range protocols {
		if wanted(p) {
			names = append(names, p.name)
		}
	}
	return names
}

func find(name string) (*protocol, error) {
	i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown STARTTLS protocol %q", name)
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
	if err := CheckServer(s.Protocol); err != nil {
		return Accepted{}, err
	}
	p, err := find(s.Protocol)
	if err != nil {
		return Accepted{}, err
	}
	accepted, err := p.accept(s, c)
	return accepted, wrap(s.Protocol, err)
}

// wrap names the protocol, and gives a refusal its reason: that of an alert, which
// has a number where this has words. The end of a peer stays bare.
func wrap(protocol string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if _, ok := errors.AsType[*Refusal](err); ok {
		err = &reason.Error{Reason: reason.PeerRefusedUs("greeting"), Err: err}
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
