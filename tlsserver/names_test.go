package tlsserver_test

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// A namedServer lets others in by other rules for each of its names.
type namedServer struct {
	*tlstest.Server
	staff, guests *certs.Authority
	revoker       *revoker
	revoked       tls.Certificate
}

// allNames are in the certificate of a namedServer.
var allNames = []string{
	"localhost", "lax.localhost", "strict.localhost", "alias.localhost", "pinned.localhost", "revoking.localhost",
	"a.wild.localhost", "exact.wild.localhost", "a.b.wild.localhost", "other.localhost",
}

func newNamedServer(t *testing.T) *namedServer {
	t.Helper()
	s := &namedServer{Server: tlstest.NewUnstartedServer(t, greetEcho), staff: newAuthority(t), guests: newAuthority(t), revoker: newRevoker(t)}
	s.revoked = s.revoker.client("mallory")
	s.Trust.Source = certs.Static(issue(t, s.Authority, certs.Request{Names: allNames}))
	both := s.staff.Pool()
	both.AddCert(s.guests.Root())
	admin := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "admin")}}
	pinned := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RulePin, certs.Pin(s.revoked.Leaf))}}
	s.Trust.Names = []tlsserver.NameTrust{
		{Names: []string{"lax.localhost"}, ClientCAs: both, ClientAuth: tlsserver.ClientAuthOptional},
		{Names: []string{"Strict.localhost.", "alias.localhost"}, ClientCAs: s.staff.Pool(), Policy: admin},
		{Names: []string{"pinned.localhost"}, Policy: pinned},
		{Names: []string{"revoking.localhost"}, ClientCAs: s.revoker.pool, Revocation: s.revoker.revoke(s.revoked)},
		{Names: []string{"*.wild.localhost"}, ClientCAs: s.guests.Pool()},
		{Names: []string{"exact.wild.localhost"}},
	}
	return s
}

// as is the configuration of a client that asks for a name; "" is none.
func (s *namedServer) as(version uint16, name string, cert *tls.Certificate) *tls.Config {
	config := clientConfig(s.Server, version)
	if config.ServerName = name; name == "" {
		config.ServerName = "127.0.0.1" // crypto/tls asks for no name then
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(tls.ConnectionState) error { return nil }
	}
	if cert != nil {
		withClient(config, *cert)
	}
	return config
}

// A visitTo is a client that asks for a name, and what becomes of it.
type visitTo struct {
	name   string
	cert   *tls.Certificate
	reason tlsserver.Reason
}

// visitsTo are clients of each kind, at each name.
func visitsTo(t *testing.T, s *namedServer) []visitTo {
	t.Helper()
	admin, alice, guest, good := client(t, s.staff, "admin"), client(t, s.staff, "alice"), client(t, s.guests, "guest"), s.revoker.client("good")
	return []visitTo{
		{"", nil, "done"},
		{"", &alice, "done"}, // not asked for
		{"localhost", nil, "done"},
		{"other.localhost", nil, "done"},
		{"lax.localhost", nil, "done"},
		{"lax.localhost", &guest, "done"},
		{"lax.localhost", &good, "untrusted"},
		{"strict.localhost", nil, "no-certificate"},
		{"STRICT.LocalHost", nil, "no-certificate"},
		{"strict.localhost", &admin, "done"},
		{"strict.localhost", &alice, "policy:allow-cn"},
		{"strict.localhost", &guest, "untrusted"},
		{"alias.localhost", &alice, "policy:allow-cn"},
		{"alias.localhost", &admin, "done"},
		{"pinned.localhost", &s.revoked, "done"},
		{"pinned.localhost", &good, "policy:allow-pin"},
		{"revoking.localhost", &good, "done"},
		{"revoking.localhost", &s.revoked, "revoked"},
		{"a.wild.localhost", &guest, "done"},
		{"A.WILD.localhost", &alice, "untrusted"},
		{"a.wild.localhost", nil, "no-certificate"},
		{"exact.wild.localhost", nil, "done"}, // the exact name first
		{"a.b.wild.localhost", nil, "done"},   // one label only
	}
}

func TestRulesDifferByServerName(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	for _, c := range visitsTo(t, s) {
		versions(t, func(t *testing.T, version uint16) {
			_, err := enter(s.Server, s.as(version, c.name, c.cert))
			if e := s.WaitEnded(); e.Reason != c.reason || (err == nil) != (c.reason == "done") {
				t.Errorf("%q: ended for %q (%v), the client saw %v; want %q", c.name, e.Reason, e.Err, err, c.reason)
			} else if e.Conn.ServerName() != c.name {
				t.Errorf("%q: the Conn says that the client asked for %q", c.name, e.Conn.ServerName())
			}
		})
	}
}

// Whoever was let in under one name gets in under another one only by what that
// one asks, whatever session it offers.
func TestNoSessionLeadsFromOneNameToAnother(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newNamedServer(t)
		s.Start()
		admin, alice, guest := client(t, s.staff, "admin"), client(t, s.staff, "alice"), client(t, s.guests, "guest")
		for _, c := range []struct {
			from, to string
			cert     *tls.Certificate
			reason   tlsserver.Reason
		}{
			{"lax.localhost", "strict.localhost", &alice, "policy:allow-cn"}, // the same authority
			{"lax.localhost", "strict.localhost", &guest, "untrusted"},
			{"lax.localhost", "strict.localhost", nil, "no-certificate"},
			{"pinned.localhost", "revoking.localhost", &s.revoked, "revoked"},
			{"other.localhost", "strict.localhost", nil, "no-certificate"},
			{"", "strict.localhost", nil, "no-certificate"},
			{"exact.wild.localhost", "a.wild.localhost", nil, "no-certificate"},
			{"a.wild.localhost", "exact.wild.localhost", &guest, "done"},
			{"lax.localhost", "strict.localhost", &admin, "done"},
			{"strict.localhost", "alias.localhost", &admin, "done"}, // the same rules
		} {
			config := s.as(version, c.from, c.cert)
			config.ClientSessionCache = oneSession{tls.NewLRUClientSessionCache(1)}
			_, err := enter(s.Server, config)
			s.WaitEnded()
			if err == nil {
				if cs, err := enter(s.Server, config); err != nil || !cs.DidResume {
					t.Fatalf("%q again: %v, want the session resumed", c.from, err)
				}
				s.WaitEnded()
			}
			to := s.as(version, c.to, c.cert)
			to.ClientSessionCache = config.ClientSessionCache
			cs, err := enter(s.Server, to)
			if e := s.WaitEnded(); e.Reason != c.reason {
				t.Errorf("%q with a session of %q: ended for %q (%v), the client saw %v; want %q", c.to, c.from, e.Reason, e.Err, err, c.reason)
			} else if c.reason == "done" && cs.DidResume {
				t.Errorf("%q with a session of %q: resumed", c.to, c.from)
			} else if who := e.Conn.Identity(); c.to == "exact.wild.localhost" && who != nil {
				t.Errorf("%q with a session of %q: the client is taken for %q, though nobody vouches for clients there", c.to, c.from, who)
			}
		}
	})
}

// A name whose authority changes lets in nobody by a session of before.
func TestASessionOfANameEndsWithItsAuthority(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newNamedServer(t)
		s.Start()
		guest := client(t, s.guests, "guest")
		config := s.as(version, "a.wild.localhost", &guest)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			if cs, err := enter(s.Server, config); err != nil || cs.DidResume != resumed {
				t.Fatalf("before the change: %v, want resumed %v", err, resumed)
			}
			wantReason(t, s.Server, "done")
		}
		next := *s.Trust
		next.Names = slices.Clone(next.Names)
		next.Names[4].ClientCAs = s.staff.Pool()
		if err := s.Config.SetTrust(&next); err != nil {
			t.Fatal(err)
		}
		if _, err := enter(s.Server, config); alertOf(err) != "unknown certificate authority" {
			t.Errorf("the old session: %v", err)
		}
		wantReason(t, s.Server, "untrusted")
	})
}

// A new value judges the open connections of each name by the rules of that name,
// and the handshakes that have begun too.
func TestNewRulesOfANameReachItsConnections(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	admin, guest := client(t, s.staff, "admin"), client(t, s.guests, "guest")
	strict := open(t, s.Server, s.as(0, "strict.localhost", &admin), false)
	alias := open(t, s.Server, s.as(0, "alias.localhost", &admin), false)
	lax := open(t, s.Server, s.as(0, "lax.localhost", &guest), false)
	wild := open(t, s.Server, s.as(0, "a.WILD.localhost", &guest), false)
	plain := open(t, s.Server, s.as(0, "other.localhost", nil), false)
	next := *s.Trust
	next.Names = slices.Clone(next.Names)
	next.Names[1].Names = []string{"strict.localhost"}
	next.Names[1].Policy = &tlsserver.Policy{Deny: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "admin")}}
	next.Names[4].Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "nobody")}}
	ended := make(map[string]tlsserver.Reason)
	late := s.as(0, "a.wild.localhost", &guest)
	late.VerifyConnection = func(tls.ConnectionState) error { // the server has read its trust value
		return s.Config.SetTrust(&next)
	}
	if _, err := enter(s.Server, late); err == nil {
		t.Error("a guest got in under the old rules, after the new ones were set")
	}
	for range 3 {
		e := s.WaitEnded()
		ended[strings.ToLower(e.Conn.ServerName())] += e.Reason
	}
	if ended["strict.localhost"] != "policy:deny-cn=admin" || ended["a.wild.localhost"] != "policy:allow-cnpolicy:allow-cn" {
		t.Errorf("ended: %v", ended)
	}
	for _, c := range []io.Reader{strict, wild} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a refused connection lives on")
		}
	}
	wantAlive(t, alias, "a name that is no longer there")
	wantAlive(t, lax, "another name")
	wantAlive(t, plain, "no name of the list")
}

func TestStrictNamesAndRulesOfNames(t *testing.T) {
	s := newNamedServer(t)
	s.Config.StrictSNI = true
	s.Trust.Source = certs.Static(issue(t, s.Authority, certs.Request{Names: []string{"localhost", "strict.localhost"}}))
	s.Start()
	admin := client(t, s.staff, "admin")
	for name, want := range map[string]tlsserver.Reason{
		"": "sni", "lax.localhost": "sni", "other.localhost": "sni", "localhost": "done", "strict.localhost": "done",
	} {
		enter(s.Server, s.as(0, name, &admin))
		if e := s.WaitEnded(); e.Reason != want {
			t.Errorf("%q: ended for %q (%v), want %q", name, e.Reason, e.Err, want)
		}
	}
}

func TestSetTrustChecksEachName(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	cn := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}}
	named := func(n ...tlsserver.NameTrust) []tlsserver.NameTrust { return n }
	for want, names := range map[string][]tlsserver.NameTrust{
		"no name": named(tlsserver.NameTrust{ClientCAs: s.staff.Pool()}),
		`name "admin.localhost": client authentication is none, but there are authorities`: named(
			tlsserver.NameTrust{Names: []string{"lax.localhost"}},
			tlsserver.NameTrust{Names: []string{"admin.localhost"}, ClientCAs: s.staff.Pool(), ClientAuth: tlsserver.ClientAuthNone}),
		// The Trust's own authorities are no name's.
		`name "admin.localhost": rules other than pins need an authority`:      named(tlsserver.NameTrust{Names: []string{"admin.localhost"}, Policy: cn}),
		`name "127.0.0.1": an address is no server name`:                       named(tlsserver.NameTrust{Names: []string{"127.0.0.1"}}),
		`name "a*.localhost": a * stands for the whole first label`:            named(tlsserver.NameTrust{Names: []string{"a*.localhost"}}),
		`name "LAX.localhost.": it is there twice`:                             named(tlsserver.NameTrust{Names: []string{"lax.localhost"}}, tlsserver.NameTrust{Names: []string{"LAX.localhost."}}),
		`name "*.b.localhost": a rule of the policy is empty: ParseRule makes`: named(tlsserver.NameTrust{Names: []string{"*.b.localhost"}, ClientCAs: s.staff.Pool(), Policy: &tlsserver.Policy{Deny: make([]tlsserver.Rule, 1)}}),
	} {
		trust := *s.Trust
		trust.ClientCAs, trust.Names = s.staff.Pool(), names
		if err := s.Config.SetTrust(&trust); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
	if _, err := enter(s.Server, s.as(0, "strict.localhost", nil)); err == nil {
		t.Error("a refused value has changed something")
	}
	wantReason(t, s.Server, "no-certificate")
}

// The ticket keys of all names change together, whichever name finds them old.
func TestTicketKeysOfNamesAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{})
		source, err := b.authority.Source([]string{"localhost", "other.localhost"}, 90*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.SetTrust(&tlsserver.Trust{Source: source, Names: []tlsserver.NameTrust{{Names: []string{"other.localhost"}}}}); err != nil {
			t.Fatal(err)
		}
		other := func() *tls.Config {
			config := b.config()
			config.ServerName, config.ClientSessionCache = "other.localhost", tls.NewLRUClientSessionCache(1)
			return config
		}
		old, later := other(), other()
		visitPipe(t, b, old)
		for range 3 {
			time.Sleep(12*time.Hour + time.Minute)
			visitPipe(t, b, b.config()) // finds that they are old
		}
		visitPipe(t, b, later)
		if visitPipe(t, b, old) {
			t.Error("a session of 36 hours ago was resumed")
		}
		if !visitPipe(t, b, later) {
			t.Error("a session of now was not resumed")
		}
		b.close()
	})
}

func TestServerNames(t *testing.T) {
	for in, want := range map[string]string{
		"db.example.org": "db.example.org", "DB.Example.ORG.": "db.example.org", "*.Example.org": "*.example.org", "*.internal": "*.internal", "localhost": "localhost", "a_b.test": "a_b.test",
		"xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		if got, err := tlsserver.ServerName(in); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range slices.Concat([]string{
		"", ".", "*", "*.", "a*.example.org", "a.*.example.org", "*.*.example.org", "192.0.2.1", "::1", "a..b", "-a.b", "a-.b", "bücher.example",
		"a b.c", "a:443", "a/b", strings.Repeat("a", 64) + ".b",
	}, []string{strings.Repeat("abc.", 70) + "d"}) {
		if got, err := tlsserver.ServerName(in); err == nil {
			t.Errorf("%q is taken for %q", in, got)
		}
	}
}
