package tlsserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tcps/certs"
	"tcps/internal/reason"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

func chainOf(t testing.TB, cert *tls.Certificate) (chain []*x509.Certificate) {
	t.Helper()
	if cert == nil {
		return nil
	}
	for _, der := range cert.Certificate {
		link, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, link)
	}
	return chain
}

// judged compares what the server thinks of a client with what becomes of it.
func judged(t *testing.T, s *tlstest.Server, config *tls.Config, name string, cert *tls.Certificate) *tlsserver.Verdict {
	t.Helper()
	v, err := s.Config.Judge(t.Context(), tlsserver.Visitor{ServerName: name, Chain: chainOf(t, cert), Version: config.MaxVersion})
	if err != nil {
		t.Errorf("%q: %v", name, err)
		return nil
	}
	_, err = enter(s, config)
	e := s.WaitEnded()
	if v.Reason != e.Reason || v.Alert != reason.Alert(err) || (v.Err == nil) != (err == nil) || v.Version != config.MaxVersion {
		t.Errorf("%q: judged %q (%v), alert %q in %s; a client was told %v, and the server said %q (%v)", name, v.Reason, v.Err, v.Alert, tls.VersionName(v.Version), err, e.Reason, e.Err)
	}
	return v
}

// Judge says of every client what a handshake with it says.
func TestJudgeThinksAsTheHandshakeDoes(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	usage := issue(t, s.staff, certs.Request{Names: []string{"admin.localhost"}})
	past := s.revoker.expired("good")
	visits := append(visitsTo(t, s), visitTo{"strict.localhost", &usage, "wrong-usage"}, visitTo{"revoking.localhost", &past, "expired"})
	versions(t, func(t *testing.T, version uint16) {
		for _, c := range visits {
			if v := judged(t, s.Server, s.as(version, c.name, c.cert), c.name, c.cert); v != nil && v.Reason != c.reason {
				t.Errorf("%q: judged %q, want %q", c.name, v.Reason, c.reason)
			}
		}
	})
}

func TestJudgeNamesTheRuleAndAllThatMatch(t *testing.T) {
	authority := newAuthority(t)
	parse := func(rules ...string) (parsed []tlsserver.Rule) {
		for _, r := range rules {
			kind, value, _ := strings.Cut(r, "=")
			parsed = append(parsed, rule(t, tlsserver.RuleKind(kind), value))
		}
		return parsed
	}
	check := func(id *tlsserver.Identity) error {
		if id.CommonName == "carol" {
			return errors.New("not today")
		}
		return nil
	}
	policy := &tlsserver.Policy{Allow: parse("cn=b*", "email=*@home.internal", "cn=carol"), Deny: parse("email=bob@*.internal", "cn=mallory"), Check: check}
	for _, c := range []struct {
		names   []string
		reason  tlsserver.Reason
		rule    string
		matches []string
	}{
		{[]string{"bill"}, "done", "allow-cn=b*", []string{"allow-cn=b*"}},
		{[]string{"ben", "email:ben@home.internal"}, "done", "allow-cn=b*", []string{"allow-cn=b*", "allow-email=*@home.internal"}},
		{[]string{"bob", "email:bob@home.internal"}, "policy:deny-email=bob@*.internal", "deny-email=bob@*.internal", []string{"deny-email=bob@*.internal", "allow-cn=b*", "allow-email=*@home.internal"}},
		{[]string{"mallory"}, "policy:deny-cn=mallory", "deny-cn=mallory", []string{"deny-cn=mallory"}},
		{[]string{"eve"}, "policy:allow-cn,allow-email", "allow-cn,allow-email", nil},
		{[]string{"carol"}, "policy:check", "check", []string{"allow-cn=carol"}},
	} {
		s := new(tlsserver.Server)
		cert := issue(t, authority, certs.Request{Names: c.names, Client: true})
		if err := s.SetTrust(&tlsserver.Trust{Source: certs.Static(issue(t, authority, certs.Request{Names: []string{"localhost"}})), ClientCAs: authority.Pool(), Policy: policy}); err != nil {
			t.Fatal(err)
		}
		v, err := s.Judge(t.Context(), tlsserver.Visitor{Chain: chainOf(t, &cert)})
		if err != nil {
			t.Fatal(err)
		}
		if v.Reason != c.reason || v.Rule != c.rule || !slices.Equal(v.Matches, c.matches) || v.Identity.CommonName != c.names[0] || !v.Asked {
			t.Errorf("%q: %+v", c.names, v)
		}
	}
}

func TestJudgeSaysWhichNamesHold(t *testing.T) {
	s := newNamedServer(t)
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"": nil, "localhost": nil, "ALIAS.localhost": s.Trust.Names[1].Names, "x.wild.localhost": {"*.wild.localhost"},
	} {
		v, err := s.Config.Judge(t.Context(), tlsserver.Visitor{ServerName: name})
		if err != nil || !slices.Equal(v.Names, want) || v.Asked != (want != nil) || v.Identity != nil {
			t.Errorf("%q: %+v, %v; want the names %q", name, v, err, want)
		}
	}
}

// What the server asks of a hello is asked of a visitor too.
func TestJudgeGoesThroughTheServersOwnSteps(t *testing.T) {
	for _, c := range []struct {
		name   string
		server *tlsserver.Server
		visit  tlsserver.Visitor
		reason tlsserver.Reason
		alert  string
	}{
		{"strict names", &tlsserver.Server{StrictSNI: true}, tlsserver.Visitor{ServerName: "elsewhere.localhost"}, "sni", "unrecognized_name"},
		{"strict names, one of them", &tlsserver.Server{StrictSNI: true}, tlsserver.Visitor{ServerName: "localhost"}, "done", ""},
		{"a protocol is required", &tlsserver.Server{NextProtos: []string{"a"}, RequireALPN: true}, tlsserver.Visitor{}, "done", ""},
		{"an old version", &tlsserver.Server{MinVersion: tls.VersionTLS13}, tlsserver.Visitor{Version: tls.VersionTLS12}, "version", "protocol_version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var events atomic.Int32
			c.server.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
				if _, ok := e.(tlsserver.TrustChanged); !ok {
					events.Add(1)
				}
			})
			if _, err := c.server.Judge(t.Context(), c.visit); !errors.Is(err, tlsserver.ErrNoTrust) {
				t.Errorf("without a trust value: %v", err)
			}
			if err := c.server.SetTrust(&tlsserver.Trust{Source: certs.Static(issue(t, newAuthority(t), certs.Request{Names: []string{"localhost"}}))}); err != nil {
				t.Fatal(err)
			}
			v, err := c.server.Judge(t.Context(), c.visit)
			if err != nil || v.Reason != c.reason || v.Alert != c.alert {
				t.Errorf("%+v, %v; want %q, alert %q", v, err, c.reason, c.alert)
			}
			if n := events.Load(); n > 0 {
				t.Errorf("the observer heard of %d events", n)
			}
		})
	}
}

// Keys of every kind, and more certificates than a pipe would hold, are judged
// at once; the client's key is nowhere.
func TestJudgeTakesWhateverIsPresented(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	versions(t, func(t *testing.T, version uint16) {
		for _, kind := range certs.KeyTypes() {
			cert := issue(t, s.staff, certs.Request{Names: []string{"admin"}, Client: true, KeyType: kind})
			judged(t, s.Server, s.as(version, "strict.localhost", &cert), "strict.localhost", &cert)
		}
		long := client(t, s.guests, "admin")
		for range 80 {
			long.Certificate = append(long.Certificate, long.Certificate[0])
		}
		if v := judged(t, s.Server, s.as(version, "strict.localhost", &long), "strict.localhost", &long); v.Reason != "untrusted" {
			t.Errorf("a foreign chain of %d certificates: %q", len(long.Certificate), v.Reason)
		}
	})
}

func TestJudgeEndsWithItsContext(t *testing.T) {
	s := new(tlsserver.Server)
	ctx, cancel := context.WithCancel(t.Context())
	waits := sourceFunc(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cancel()
		<-hello.Context().Done()
		return nil, hello.Context().Err()
	})
	if err := s.SetTrust(&tlsserver.Trust{Source: waits}); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Judge(ctx, tlsserver.Visitor{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a source that waits: %+v, %v", v, err)
	}
	fails := sourceFunc(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no luck") })
	if err := s.SetTrust(&tlsserver.Trust{Source: fails}); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Judge(t.Context(), tlsserver.Visitor{}); err != nil || v.Reason != "failed" || v.Alert != "internal_error" || !strings.Contains(v.Err.Error(), "no luck") {
		t.Errorf("a source that fails: %+v, %v", v, err)
	}
}

// expired is a client's certificate that was good until an hour ago.
func (r *revoker) expired(name string) tls.Certificate {
	r.t.Helper()
	return r.signFor(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
}
