package tlsserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

const (
	pgSSLRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	pgCancelRequest = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x2a\xde\xad\xbe\xef"
)

// startTLSServer is one whose clients speak a protocol first.
func startTLSServer(t *testing.T, protocol string, h tlsserver.Handler) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, h)
	s.Config.StartTLS = protocol
	return s
}

func dialPlain(t *testing.T, s *tlstest.Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc
}

func TestTLSBeginsWhenTheClientHasAsked(t *testing.T) {
	s := startTLSServer(t, "postgres", service.Echo())
	s.Start()
	for _, first := range []string{pgSSLRequest, ""} { // "": sslnegotiation=direct
		nc := dialPlain(t, s)
		io.WriteString(nc, first)
		if yes := make([]byte, 1); first != "" {
			if _, err := io.ReadFull(nc, yes); err != nil || yes[0] != 'S' {
				t.Fatalf("answered %q, %v", yes, err)
			}
		}
		c := tls.Client(nc, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost"})
		io.WriteString(c, "abc")
		c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "abc" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonDone || e.Conn.StartTLS() != map[bool]string{true: "postgres"}[first != ""] {
			t.Errorf("reason %q (%v), StartTLS %q", e.Reason, e.Err, e.Conn.StartTLS())
		}
	}
}

func TestWhatIsSentInPlainBehindTheRequestIsNoTLS(t *testing.T) {
	reached := tlsserver.HandlerFunc(func(context.Context, *tlsserver.Conn) error {
		t.Error("the Handler was reached")
		return nil
	})
	for protocol, says := range map[string]string{
		"postgres": pgSSLRequest + "\x00\x00\x00\x09\x00\x03\x00\x00\x00",
		"smtp":     "STARTTLS\r\nMAIL FROM:<a@example.org>\r\n",
		"imap":     "a STARTTLS\r\nb NOOP and more\r\n",
		"pop3":     "STLS\r\nUSER joe and more\r\n",
	} {
		t.Run(protocol, func(t *testing.T) {
			s := startTLSServer(t, protocol, reached)
			s.Start()
			nc := dialPlain(t, s)
			io.WriteString(nc, says)
			io.Copy(io.Discard, nc)
			if e := s.WaitEnded(); e.Reason != tlsserver.ReasonNotTLS {
				t.Errorf("reason %q (%v), want not-tls", e.Reason, e.Err)
			}
		})
	}
}

func TestAClientThatStaysInPlainIsToldAndEnded(t *testing.T) {
	s := startTLSServer(t, "postgres", service.Echo())
	s.Start()
	nc := dialPlain(t, s)
	io.WriteString(nc, "\x00\x00\x00\x13\x00\x03\x00\x00user\x00alice\x00\x00")
	if got, err := io.ReadAll(nc); !strings.Contains(string(got), "C28000\x00MTLS is required") || err != nil {
		t.Errorf("it is told %q, %v", got, err)
	}
	nc.Close()
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonNotTLS || !strings.Contains(e.Err.Error(), "starttls postgres: the client begins without TLS") {
		t.Errorf("reason %q (%v)", e.Reason, e.Err)
	}
}

func TestAClientThatGoesAwayInTheDialogueIsClosedBeforeHello(t *testing.T) {
	for _, says := range []string{"", "QUIT\r\n", "EHL"} {
		s := startTLSServer(t, "smtp", service.Echo())
		s.Start()
		nc := dialPlain(t, s)
		io.WriteString(nc, says)
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, nc)
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonClosedBeforeHello {
			t.Errorf("%q: reason %q (%v)", says, e.Reason, e.Err)
		}
	}
}

// A cancelling client's 16 bytes reach the Handler in plain, and nothing else
// does, though a client's certificate is required.
func TestACancelRequestInPlain(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		got := make(chan string, 1)
		s := startTLSServer(t, "postgres", tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
			all, err := io.ReadAll(c)
			if c.TLS() != nil || c.Identity() != nil {
				t.Error("it is taken for TLS")
			}
			got <- string(all)
			return err
		}))
		s.Config.StartTLSCancelPlain = allowed
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		nc := dialPlain(t, s)
		io.WriteString(nc, pgCancelRequest+"SELECT 1")
		io.Copy(io.Discard, nc)
		nc.Close()
		e := s.WaitEnded()
		if allowed {
			if request := <-got; request != pgCancelRequest || e.Reason != tlsserver.ReasonDone {
				t.Errorf("the Handler got %q, reason %q (%v)", request, e.Reason, e.Err)
			}
		} else if e.Reason != tlsserver.ReasonNotTLS || !strings.Contains(e.Err.Error(), "CancelRequest in plain") {
			t.Errorf("reason %q (%v)", e.Reason, e.Err)
		}
	}
}

func TestAStalledDialogueEndsWithTheHandshakesDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{StartTLS: "smtp"})
		for _, says := range []string{"", "EHLO me\r\n", "STARTTLS\r\n", "EHL"} {
			start := time.Now()
			c := b.listener.dialBuffered()
			io.WriteString(c, says)
			io.Copy(io.Discard, c)
			c.Close()
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("%q: it was put out after %v, want 10s", says, took)
			}
			if e := <-b.ended; e.Reason != "timeout:hello" {
				t.Errorf("%q: reason %q (%v), want timeout:hello", says, e.Reason, e.Err)
			}
		}
		b.close()
	})
}

func TestServersRefuseProtocolsTheyDoNotKnow(t *testing.T) {
	trust := &tlsserver.Trust{Source: certs.Static(tls.Certificate{})}
	s := &tlsserver.Server{Handler: service.Echo(), StartTLS: "gopher"}
	if err := s.SetTrust(trust); err == nil || !strings.Contains(err.Error(), `"gopher": want one of postgres, mysql`) {
		t.Errorf("got %v", err)
	}
	s = &tlsserver.Server{Handler: service.Echo(), StartTLS: "smtp", StartTLSCancelPlain: true}
	if err := s.SetTrust(trust); err == nil || errors.Is(err, tlsserver.ErrNoTrust) {
		t.Errorf("got %v, want that cancelling is for postgres", err)
	}
}
