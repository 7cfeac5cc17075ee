package tlsserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// A challenged source answers ACME challenges with a certificate of their own.
type challenged struct {
	certs.Source
	answer tls.Certificate
}

func (c challenged) ChallengeConfig(hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != "acme-tls/1" {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{c.answer}, NextProtos: []string{"acme-tls/1"}}
}

// newChallengedServer demands client certificates and an application protocol:
// an ACME authority has neither.
func newChallengedServer(t *testing.T) (*tlstest.Server, tls.Certificate) {
	served := tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		if c.TLS().NegotiatedProtocol == "acme-tls/1" {
			t.Error("a service has seen an ACME challenge")
		}
		return greetEcho.ServeConn(ctx, c)
	})
	s := tlstest.NewUnstartedServer(t, served)
	answer := issue(t, s.Authority, certs.Request{Names: []string{"challenge.test"}})
	s.Config.NextProtos, s.Config.RequireALPN = []string{"talk/1"}, true
	s.Trust.Source = challenged{s.Trust.Source, answer}
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	return s, answer
}

func TestAnACMEChallengeIsAnsweredWithoutAClientCertificate(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, answer := newChallengedServer(t)
		c := dialTLS(t, s, &tls.Config{
			InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"acme-tls/1"},
			MinVersion: version, MaxVersion: version,
		})
		cs := c.ConnectionState()
		if cs.NegotiatedProtocol != "acme-tls/1" || !cs.PeerCertificates[0].Equal(answer.Leaf) {
			t.Fatalf("the authority was answered with %q and %v", cs.NegotiatedProtocol, cs.PeerCertificates[0].Subject)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Fatalf("the challenge did not end cleanly: %v", err)
		}
		c.Close()
		wantReason(t, s, tlsserver.ReasonDone)
	})
}

func TestNobodyElseNegotiatesTheProtocolOfChallenges(t *testing.T) {
	s, _ := newChallengedServer(t)
	config := withClient(clientConfig(s, 0), client(t, s.Authority, "someone"))
	config.NextProtos = []string{"acme-tls/1", "talk/1"}
	cs, err := enter(s, config)
	if err != nil || cs.NegotiatedProtocol != "talk/1" {
		t.Fatalf("a client that offers both got %v, %v", cs, err)
	}
	wantReason(t, s, tlsserver.ReasonDone)
}

func TestTheProtocolOfChallengesCannotBeAService(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.NextProtos = []string{"acme-tls/1"}
	s.Trust.Source = challenged{s.Trust.Source, tls.Certificate{}}
	if err := s.Config.SetTrust(s.Trust); err == nil || !strings.Contains(err.Error(), "acme-tls/1") {
		t.Fatalf("SetTrust answered %v", err)
	}
}
