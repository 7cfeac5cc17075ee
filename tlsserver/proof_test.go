package tlsserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// proves checks what a server presents for a name.
func proves(t *testing.T, s *tlsserver.Server, name string, want tls.Certificate) *tls.ConnectionState {
	t.Helper()
	cs, err := s.Prove(t.Context(), name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	if got := cs.PeerCertificates[0]; !got.Equal(want.Leaf) {
		t.Errorf("%q: serial %x was served, want %x", name, got.SerialNumber, want.Leaf.SerialNumber)
	}
	return cs
}

// What is served is told for each name, and what has changed is what is served.
func TestAServerProvesWhatItServes(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	var events atomic.Int32
	s.Config.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if _, ok := e.(tlsserver.TrustChanged); !ok {
			events.Add(1)
		}
	})
	s.Config.Limits = tlsserver.Limits{MaxHandshakes: 1, MaxHellos: 1}
	if _, err := s.Config.Prove(t.Context(), "localhost"); !errors.Is(err, tlsserver.ErrNoTrust) {
		t.Errorf("without a trust value: %v", err)
	}
	a := issue(t, s.Authority, certs.Request{Names: []string{"a.localhost"}})
	b := issue(t, s.Authority, certs.Request{Names: []string{"b.localhost"}})
	s.Trust.Source = certs.Static(a, b)
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	proves(t, s.Config, "a.localhost", a) // not serving yet
	s.Start()
	proves(t, s.Config, "a.localhost", a)
	proves(t, s.Config, "b.localhost", b)
	proves(t, s.Config, "", a)
	renewed := issue(t, s.Authority, certs.Request{Names: []string{"a.localhost"}})
	if err := s.Config.SetTrust(&tlsserver.Trust{Source: certs.Static(renewed, b)}); err != nil {
		t.Fatal(err)
	}
	proves(t, s.Config, "a.localhost", renewed)
	s.Close()
	proves(t, s.Config, "b.localhost", b)
	if n := events.Load(); n > 0 {
		t.Errorf("the observer heard of %d events", n)
	}
}

// Whatever the server demands of clients, it proves what it serves.
func TestAServerProvesWithAllThatItDemands(t *testing.T) {
	for name, demand := range map[string]func(s *tlstest.Server){
		"client certificates": func(s *tlstest.Server) {
			s.Trust.ClientCAs = s.Authority.Pool()
			s.Trust.Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}}
		},
		"a pin": func(s *tlstest.Server) {
			pin := certs.Pin(issue(t, s.Authority, certs.Request{Names: []string{"bob"}, Client: true}).Leaf)
			s.Trust.Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RulePin, pin)}}
		},
		"protocols":    func(s *tlstest.Server) { s.Config.NextProtos, s.Config.RequireALPN = []string{"echo"}, true },
		"strict names": func(s *tlstest.Server) { s.Config.StrictSNI = true },
		"TLS 1.2":      func(s *tlstest.Server) { s.Config.MaxVersion = tls.VersionTLS12 },
		"TLS 1.3":      func(s *tlstest.Server) { s.Config.MinVersion = tls.VersionTLS13 },
		"one cipher suite": func(s *tlstest.Server) {
			s.Config.MaxVersion = tls.VersionTLS12
			s.Config.TLS12CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := tlstest.NewUnstartedServer(t, greetEcho)
			cert := issue(t, s.Authority, certs.Request{Names: []string{"localhost"}})
			s.Trust.Source = certs.Static(cert)
			demand(s)
			s.Start()
			cs := proves(t, s.Config, "localhost", cert)
			if v := s.Config.MaxVersion; v != 0 && cs.Version != v {
				t.Errorf("spoke %s", tls.VersionName(cs.Version))
			}
			if s.Config.RequireALPN && cs.NegotiatedProtocol != "echo" {
				t.Errorf("agreed on protocol %q", cs.NegotiatedProtocol)
			}
			if s.Config.StrictSNI {
				for _, unknown := range []string{"", "other.localhost"} {
					if _, err := s.Config.Prove(t.Context(), unknown); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
						t.Errorf("%q with strict names: %v", unknown, err)
					}
				}
			}
		})
	}
}

// A source that lies is found out, one that fails or panics is an error, and
// one that waits ends with the context.
func TestAServerProvesWhatASourceReallyGives(t *testing.T) {
	authority := newAuthority(t)
	good := issue(t, authority, certs.Request{Names: []string{"localhost"}})
	other := issue(t, authority, certs.Request{Names: []string{"localhost"}})
	wrongKey := good
	wrongKey.PrivateKey = other.PrivateKey
	garbage := tls.Certificate{Certificate: [][]byte{[]byte("garbage")}, PrivateKey: good.PrivateKey}
	prove := func(ctx context.Context, source sourceFunc) (*tls.ConnectionState, error) {
		s := &tlsserver.Server{Handler: greetEcho}
		if err := s.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
			t.Fatal(err)
		}
		return s.Prove(ctx, "localhost")
	}
	lie := sourceFunc(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: other.Certificate, PrivateKey: other.PrivateKey, Leaf: good.Leaf}, nil
	})
	if cs, err := prove(t.Context(), lie); err != nil || !cs.PeerCertificates[0].Equal(other.Leaf) {
		t.Errorf("a source that says one certificate and gives another: %v", err)
	}
	for want, source := range map[string]sourceFunc{
		"invalid signature": func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &wrongKey, nil },
		"certificate":       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &garbage, nil },
		"no luck":           func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no luck") },
		"panic: of mine":    func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("of mine") },
	} {
		if _, err := prove(t.Context(), source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := sourceFunc(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cancel()
		<-hello.Context().Done()
		return nil, hello.Context().Err()
	})
	if _, err := prove(ctx, waits); !errors.Is(err, context.Canceled) {
		t.Errorf("a source that waits: %v", err)
	}
}

type sourceFunc func(*tls.ClientHelloInfo) (*tls.Certificate, error)

func (f sourceFunc) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f(hello)
}
