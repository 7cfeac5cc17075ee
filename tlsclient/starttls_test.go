package tlsclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tcps/tlsclient"
)

// smtpServer answers as a mail server, and then speaks what begin says.
func smtpServer(t *testing.T, greeting, offer string, begin func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, func(c net.Conn) {
		io.WriteString(c, greeting)
		if !hear(c, "EHLO [127.0.0.1]\r\n") {
			return
		}
		io.WriteString(c, offer)
		if hear(c, "STARTTLS\r\n") {
			begin(c)
		}
	})
	return "tcps://localhost:" + portOf(l)
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func hear(c net.Conn, want string) bool {
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	return err == nil && string(got) == want
}

const offer = "250-me\r\n250 STARTTLS\r\n"

func TestTheServerIsAskedForTLSInItsOwnProtocol(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	endpoint := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) {
		io.WriteString(c, "220 go\r\n")
		over := tls.Server(c, config)
		io.Copy(over, over)
		over.Close()
	})
	d := &tlsclient.Dialer{RootCAs: a.pool(), StartTLS: "smtp", Network: "tcp4"}
	c, err := d.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.StartTLS() != "smtp" || string(c.Greeting()) != "220 hi\r\n" {
		t.Errorf("StartTLS %q, greeting %q", c.StartTLS(), c.Greeting())
	}
	io.WriteString(c, "abc")
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "abc" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A warning alert, over which crypto/tls passes in TLS 1.2, and which so would
// stand before a handshake that succeeds.
const warning = "\x15\x03\x01\x00\x02\x01\x70"

// duringHello is called while the ClientHello is being made.
type duringHello struct{ call func() }

func (d duringHello) Get(string) (*tls.ClientSessionState, bool) { d.call(); return nil, false }
func (duringHello) Put(string, *tls.ClientSessionState)          {}

// Whenever bytes come in plain between the server's agreement and TLS, and
// whatever they look like, the connection ends with the same words, although the
// server would shake hands.
func TestWhatAServerSendsInPlainBehindItsAnswerEndsTheConnection(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.MaxVersion = tls.VersionTLS12
	shakeHands := func(c net.Conn) { tls.Server(c, config).Handshake() }
	for _, text := range []string{"250 injected\r\n", "2", warning} {
		for when, begin := range map[string]func(c net.Conn, hello <-chan struct{}, sent chan<- struct{}){
			"in the same segment": func(c net.Conn, hello <-chan struct{}, sent chan<- struct{}) {
				io.WriteString(c, "220 go\r\n"+text)
				close(sent)
				shakeHands(c)
			},
			"while the hello is made": func(c net.Conn, hello <-chan struct{}, sent chan<- struct{}) {
				io.WriteString(c, "220 go\r\n")
				<-hello
				io.WriteString(c, text)
				close(sent)
				shakeHands(c)
			},
			"after the hello": func(c net.Conn, hello <-chan struct{}, sent chan<- struct{}) {
				close(sent)
				io.WriteString(c, "220 go\r\n")
				c.Read(make([]byte, 1))
				io.WriteString(c, text)
				io.Copy(io.Discard, c)
			},
		} {
			if text == warning && when == "after the hello" {
				continue // a server may warn us then (RFC 6066, 3)
			}
			t.Run(when, func(t *testing.T) {
				hello, sent := make(chan struct{}), make(chan struct{})
				endpoint := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) { begin(c, hello, sent) })
				d := &tlsclient.Dialer{RootCAs: a.pool(), StartTLS: "smtp", Network: "tcp4", Sessions: duringHello{func() {
					close(hello)
					<-sent
				}}}
				_, err := d.Dial(t.Context(), endpoint)
				failed, ok := errors.AsType[*tlsclient.Error](err)
				if !ok || failed.Reason != tlsclient.ReasonNotTLS {
					t.Fatalf("got %v, want not-tls", err)
				}
				want := fmt.Sprintf("ask for TLS at %s: starttls smtp: the server goes on in plain, with %q, after it has agreed to TLS", endpoint, text)
				if !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got  %s\nwant %s…", err, want)
				}
			})
		}
	}
}

// Somebody in between who agrees in the server's place leaves the server's own
// agreement in plain.
func TestAnAgreementThatComesTwiceIsAnInjection(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	serveOn(t, l, func(c net.Conn) {
		io.WriteString(c, "220 hi\r\n"+offer+"220 go\r\n")
		if hear(c, "EHLO [127.0.0.1]\r\nSTARTTLS\r\n\x16") {
			io.WriteString(c, "220 go\r\n")
			io.Copy(io.Discard, c)
		}
	})
	_, err := (&tlsclient.Dialer{StartTLS: "smtp", Network: "tcp4"}).Dial(t.Context(), "tcps://localhost:"+portOf(l))
	if err == nil || !strings.Contains(err.Error(), `goes on in plain, with "220 go\r\n"`) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamNamesTheServerAsItsCertificateDoes(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.Certificates[0] = a.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} })
	const features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
	l := listen(t, "tcp", "127.0.0.1:0")
	serveOn(t, l, func(c net.Conn) {
		if !hear(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>") {
			return
		}
		io.WriteString(c, "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"+features)
		if !hear(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
			return
		}
		io.WriteString(c, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		over := tls.Server(c, config)
		io.Copy(over, over)
		over.Close()
	})
	d := &tlsclient.Dialer{RootCAs: a.pool(), StartTLS: "xmpp", ServerName: "example.org", Network: "tcp4"}
	c, err := d.Dial(t.Context(), "tcps://localhost:"+portOf(l))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.CloseWrite()
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil || c.Greeting() != nil {
		t.Errorf("got %q, %v, greeting %q", got, err, c.Greeting())
	}
}

func TestAServerThatDoesNotOfferTLSIsNotTLS(t *testing.T) {
	endpoint := smtpServer(t, "220 hi\r\n", "250 me\r\n", func(net.Conn) {})
	_, err := (&tlsclient.Dialer{StartTLS: "smtp", Network: "tcp4"}).Dial(t.Context(), endpoint)
	failed, ok := errors.AsType[*tlsclient.Error](err)
	if !ok || failed.Reason != tlsclient.ReasonNotTLS || !strings.HasPrefix(err.Error(), "ask for TLS at "+endpoint+": starttls smtp: the server does not offer STARTTLS") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatStallsInTheDialogueIsGivenUp(t *testing.T) {
	stall := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, greeting := range []string{"220 hi\r\n", "220-hi\r\n", ""} {
		endpoint := smtpServer(t, greeting, offer, stall)
		d := &tlsclient.Dialer{StartTLS: "smtp", Network: "tcp4", Timeout: 50 * time.Millisecond}
		_, err := d.Dial(t.Context(), endpoint)
		if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != "timeout:handshake" {
			t.Errorf("got %v, want timeout:handshake", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	endpoint := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) { cancel(); stall(c) })
	_, err := (&tlsclient.Dialer{StartTLS: "smtp", Network: "tcp4"}).Dial(ctx, endpoint)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestStartTLSThatCannotBe(t *testing.T) {
	for _, tt := range []struct{ protocol, endpoint, want string }{
		{"gopher", "tcps://localhost:1", "unknown STARTTLS protocol"},
		{"smtp", "tcp://localhost:1", "the endpoint is plain"},
	} {
		_, err := (&tlsclient.Dialer{StartTLS: tt.protocol}).Dial(t.Context(), tt.endpoint)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.protocol, err, tt.want)
		}
	}
}

// Whoever shakes hands himself gets the connection as it is when TLS begins.
func TestDialBareStopsWhereTLSBegins(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	endpoint := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) {
		io.WriteString(c, "220 go\r\n")
		over := tls.Server(c, config)
		io.Copy(over, over)
		over.Close()
	})
	d := &tlsclient.Dialer{StartTLS: "smtp", Network: "tcp4"}
	c, err := d.DialBare(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	over := tls.Client(c, &tls.Config{RootCAs: a.pool(), ServerName: "localhost"})
	io.WriteString(over, "ping")
	if !hear(over, "ping") {
		t.Error("no echo came over TLS")
	}
	attacked := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) {
		io.WriteString(c, "220 go\r\n250 injected\r\n")
		io.Copy(io.Discard, c)
	})
	if c, err = d.DialBare(t.Context(), attacked); err == nil {
		defer c.Close()
		if err = tls.Client(c, &tls.Config{RootCAs: a.pool(), ServerName: "localhost"}).Handshake(); err != nil {
			err = tlsclient.HandshakeError(attacked, err)
		}
	}
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != tlsclient.ReasonNotTLS || failed.Op != "ask for TLS at" {
		t.Errorf("words behind the answer to STARTTLS: %v", err)
	}
	_, err = d.DialBare(t.Context(), "tcp://localhost:1")
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.NotReached {
		t.Errorf("a plain endpoint with StartTLS: %v", err)
	}
	_, err = d.DialBare(t.Context(), "nonsense://")
	if _, ok := errors.AsType[*tlsclient.Error](err); !ok {
		t.Errorf("no endpoint: %v", err)
	}
	if why := tlsclient.HandshakeError(endpoint, io.EOF); why.Reason != tlsclient.ReasonTruncated || why.Endpoint != endpoint {
		t.Errorf("an end in the handshake is %+v", why)
	}
}
