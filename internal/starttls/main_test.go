package starttls_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tcps/internal/reason"
	"tcps/internal/starttls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A wire is a peer that has said all it will say: it keeps what it hears.
type wire struct {
	in    *strings.Reader
	piece int // bytes that come at once; 0: all
	out   bytes.Buffer
}

func newWire(says string) *wire { return &wire{in: strings.NewReader(says)} }

func (w *wire) Read(b []byte) (int, error) {
	if w.piece > 0 {
		b = b[:min(len(b), w.piece)]
	}
	return w.in.Read(b)
}

func (w *wire) Write(b []byte) (int, error) { return w.out.Write(b) }

// rest is what nobody has read.
func (w *wire) rest() string {
	b, _ := io.ReadAll(w.in)
	return string(b)
}

var local = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}

// accept runs the server's side against bytes of a client.
func accept(s starttls.Server, says string) (starttls.Accepted, *wire, error) {
	w := newWire(says)
	s.Local = local
	accepted, err := s.Accept(w)
	return accepted, w, err
}

// request runs the client's side against bytes of a server that come at once.
func request(protocol, says string) ([]byte, *wire, error) { return requestPieces(protocol, says, 0) }

func requestPieces(protocol, says string, piece int) ([]byte, *wire, error) {
	w := newWire(says)
	w.piece = piece
	greeting, err := (&starttls.Client{Protocol: protocol, Local: local, ServerName: "example.org"}).Request(w)
	return greeting, w, err
}

func reasonOf(err error) reason.Reason { return reason.Of(err, "test") }

// check compares an error with what it should say; empty: none, EOF: the bare one.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want == "EOF" && err != io.EOF:
		t.Errorf("error %v, want a bare io.EOF", err)
	case want != "" && want != "EOF" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want one with %q", err, want)
	}
}

func TestUnknownProtocolsAreRefusedWithTheKnownOnes(t *testing.T) {
	const both = "postgres, mysql, smtp, imap, pop3, ldap"
	for _, tt := range []struct {
		check      func(string) error
		name, want string
	}{
		{starttls.CheckServer, "gopher", `unknown STARTTLS protocol "gopher": want one of ` + both},
		{starttls.CheckServer, "xmpp", `STARTTLS protocol "xmpp" works towards servers only: want one of ` + both},
		{starttls.CheckClient, "gopher", `unknown STARTTLS protocol "gopher": want one of ` + both + ", lmtp, ftp, nntp, sieve, xmpp, xmpp-server, irc"},
		{starttls.CheckTunnel, "gopher", `unknown STARTTLS protocol "gopher": want one of ` + both + ", lmtp, nntp, sieve, xmpp, xmpp-server, irc"},
		{starttls.CheckTunnel, "ftp", "ftp sends files over connections of their own, which would go past the tunnel, without TLS"},
	} {
		if err := tt.check(tt.name); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	for _, tt := range []struct {
		check func(string) error
		names []string
	}{{starttls.CheckServer, starttls.ServerNames()}, {starttls.CheckClient, starttls.ClientNames()}, {starttls.CheckTunnel, starttls.TunnelNames()}} {
		for _, name := range append(tt.names, "") {
			if err := tt.check(name); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := (&starttls.Server{Protocol: "irc"}).Accept(newWire(""))
	check(t, err, "works towards servers only")
}
