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
	in  *strings.Reader
	out bytes.Buffer
}

func newWire(says string) *wire { return &wire{in: strings.NewReader(says)} }

func (w *wire) Read(b []byte) (int, error)  { return w.in.Read(b) }
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

// request runs the client's side against bytes of a server.
func request(protocol, says string) ([]byte, *wire, error) {
	w := newWire(says)
	greeting, err := (&starttls.Client{Protocol: protocol, Local: local}).Request(w)
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
	want := `unknown STARTTLS protocol "gopher": want one of postgres, mysql, smtp, imap, pop3, ldap`
	if err := starttls.Check("gopher"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, name := range append(starttls.Names(), "") {
		if err := starttls.Check(name); err != nil {
			t.Error(err)
		}
	}
}
