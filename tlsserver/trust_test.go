package tlsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

func newAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *certs.Authority, r certs.Request) tls.Certificate {
	t.Helper()
	issued, err := a.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Certificate
}

func client(t *testing.T, a *certs.Authority, names ...string) tls.Certificate {
	t.Helper()
	return issue(t, a, certs.Request{Names: names, Client: true})
}

// enter tries a whole visit, and returns what the client was told.
func enter(s *tlstest.Server, config *tls.Config) (*tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", s.Addr, config)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	cs := c.ConnectionState()
	return &cs, visit(c)
}

// withClient adds a client certificate, whatever authorities the server names.
func withClient(config *tls.Config, cert tls.Certificate) *tls.Config {
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	return config
}

func alertOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

func TestWhoGetsInWithClientAuthorities(t *testing.T) {
	foreign := newAuthority(t)
	for _, c := range []struct {
		name          string
		mode          tlsserver.ClientAuth
		present       string // alice, foreign, server, or nothing
		in            bool
		reason        tlsserver.Reason
		alert, alert2 string // TLS 1.3, TLS 1.2
	}{
		{"required by default, valid", tlsserver.ClientAuthDefault, "alice", true, "done", "", ""},
		{"required, none", tlsserver.ClientAuthRequired, "", false, "no-certificate", "certificate required", "handshake failure"},
		{"required, foreign", tlsserver.ClientAuthRequired, "foreign", false, "untrusted", "unknown certificate authority", "unknown certificate authority"},
		{"required, a server's", tlsserver.ClientAuthRequired, "server", false, "wrong-usage", "bad certificate", "bad certificate"},
		{"optional, none", tlsserver.ClientAuthOptional, "", true, "done", "", ""},
		{"optional, valid", tlsserver.ClientAuthOptional, "alice", true, "done", "", ""},
		{"optional, foreign", tlsserver.ClientAuthOptional, "foreign", false, "untrusted", "unknown certificate authority", "unknown certificate authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tlstest.NewUnstartedServer(t, greetEcho)
			s.Trust.ClientCAs = s.Authority.Pool()
			s.Trust.ClientAuth = c.mode
			s.Start()
			present := map[string]tls.Certificate{
				"alice": s.ClientCertificate("alice"), "foreign": client(t, foreign, "alice"),
				"server": issue(t, s.Authority, certs.Request{Names: []string{"localhost"}}),
			}
			versions(t, func(t *testing.T, version uint16) {
				config := clientConfig(s, version)
				if c.present != "" {
					withClient(config, present[c.present])
				}
				_, err := enter(s, config)
				if c.in != (err == nil) {
					t.Errorf("the visit ended with %v, want it to succeed: %v", err, c.in)
				}
				alert := c.alert
				if version == tls.VersionTLS12 {
					alert = c.alert2
				}
				if got := alertOf(err); got != alert {
					t.Errorf("the client got the alert %q (%v), want %q", got, err, alert)
				}
				e := wantReason(t, s, c.reason)
				if c.present != "" && (e.Certificate() == nil || e.Certificate().SerialNumber.Cmp(present[c.present].Leaf.SerialNumber) != 0) {
					t.Errorf("the event does not have the certificate that was presented")
				}
			})
		})
	}
}

func TestPoliciesHoldInFullAndInResumedHandshakes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		config := withClient(clientConfig(s, version), s.ClientCertificate("alice"))
		config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for i, resumed := range []bool{false, true} {
			cs, err := enter(s, config)
			if err != nil || cs.DidResume != resumed {
				t.Fatalf("visit %d: %v, resumed %v; want resumed %v", i, err, cs != nil && cs.DidResume, resumed)
			}
			if e := wantReason(t, s, "done"); e.Conn.Identity().CommonName != "alice" {
				t.Errorf("visit %d: identity %q", i, e.Conn.Identity())
			}
		}
		var resumedAtServer bool
		deny := &tlsserver.Policy{Deny: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}, Check: nil}
		if err := s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, ClientCAs: s.Trust.ClientCAs, Policy: deny}); err != nil {
			t.Fatal(err)
		}
		// The client offers its session: that the server takes it is seen from
		// the refusal coming before any certificate was asked for.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			resumedAtServer = false
			return &tls.Certificate{}, nil
		}
		resumedAtServer = true
		_, err := enter(s, config)
		if alertOf(err) != "bad certificate" {
			t.Errorf("the denied client's resumption: %v, want the alert bad certificate", err)
		}
		if !resumedAtServer {
			t.Error("the server did a full handshake: the policy was not tried on a resumed one")
		}
		wantReason(t, s, "policy:deny-cn=alice")
	})
}

func TestASessionBegunUnderAnAuthorityThatIsGoneDoesNotComeBack(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		old, fresh := newAuthority(t), newAuthority(t)
		both := old.Pool()
		both.AddCert(fresh.Root())
		s.Trust.ClientCAs = both
		s.Start()
		config := withClient(clientConfig(s, version), client(t, old, "alice"))
		config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for _, resumed := range []bool{false, true} {
			if cs, err := enter(s, config); err != nil || cs.DidResume != resumed {
				t.Fatalf("before the change: %v, want resumed %v", err, resumed)
			}
			wantReason(t, s, "done")
		}
		open := dialTLS(t, s, withClient(clientConfig(s, version), client(t, old, "bob")))
		if _, err := io.ReadFull(open, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		if err := s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, ClientCAs: fresh.Pool()}); err != nil {
			t.Fatal(err)
		}
		if _, err := enter(s, config); alertOf(err) != "unknown certificate authority" {
			t.Errorf("the old session: %v, want the alert unknown certificate authority", err)
		}
		wantReason(t, s, "untrusted")
		io.WriteString(open, "abc") // open connections live on
		if b := make([]byte, 3); true {
			if _, err := io.ReadFull(open, b); err != nil || string(b) != "abc" {
				t.Errorf("the open connection: %q, %v", b, err)
			}
		}
		open.CloseWrite()
		wantReason(t, s, "done")
		if _, err := enter(s, withClient(clientConfig(s, version), client(t, fresh, "carol"))); err != nil {
			t.Errorf("a client of the new authority: %v", err)
		}
		wantReason(t, s, "done")
	})
}

func TestANewPolicyEndsTheOpenConnectionsThatItRefuses(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	alice, bob := s.Dial(s.DialerAs("alice")), s.Dial(s.DialerAs("bob"))
	for _, c := range []io.Reader{alice, bob} {
		if _, err := io.ReadFull(c, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
	}
	policy := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "bob")}}
	if err := s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, ClientCAs: s.Trust.ClientCAs, Policy: policy}); err != nil {
		t.Fatal(err)
	}
	if e := wantReason(t, s, "policy:allow-cn"); e.Conn.Identity().CommonName != "alice" {
		t.Errorf("ended %q, want alice", e.Conn.Identity())
	}
	io.WriteString(bob, "abc")
	if _, err := io.ReadFull(bob, make([]byte, 3)); err != nil {
		t.Errorf("bob's connection: %v, want it untouched", err)
	}
}

func TestANewPolicyReachesTheHandshakesThatHaveBegun(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		config := withClient(clientConfig(s, version), s.ClientCertificate("alice"))
		config.VerifyConnection = func(tls.ConnectionState) error { // the server has read its trust value
			return s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, ClientCAs: s.Trust.ClientCAs, Policy: &tlsserver.Policy{
				Deny: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")},
			}})
		}
		if _, err := enter(s, config); err == nil {
			t.Error("alice got in under the old policy, after the new one was set")
		}
		wantReason(t, s, "policy:deny-cn=alice")
	})
}

func TestAPinAloneLetsExactlyThatKeyIn(t *testing.T) {
	foreign := newAuthority(t)
	alice, mallory := client(t, foreign, "alice"), client(t, foreign, "alice")
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RulePin, certs.Pin(alice.Leaf))}}
	s.Start()
	versions(t, func(t *testing.T, version uint16) {
		if _, err := enter(s, withClient(clientConfig(s, version), alice)); err != nil {
			t.Errorf("the pinned key: %v", err)
		}
		e := wantReason(t, s, "done")
		if id := e.Conn.Identity(); id.Verified || id.CommonName != "" {
			t.Errorf("the identity has the name %q, for which nobody vouches", id.CommonName)
		}
		if _, err := enter(s, withClient(clientConfig(s, version), mallory)); alertOf(err) != "bad certificate" {
			t.Errorf("another key with the same name: %v", err)
		}
		wantReason(t, s, "policy:allow-pin")
		want := map[uint16]string{tls.VersionTLS12: "handshake failure", tls.VersionTLS13: "certificate required"}[version]
		if _, err := enter(s, clientConfig(s, version)); alertOf(err) != want {
			t.Errorf("no certificate: %v, want the alert %s", err, want)
		}
		wantReason(t, s, "no-certificate")
	})
}

func TestWithAllowRulesAClientWithoutACertificateNeverGetsIn(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Trust.ClientAuth = tlsserver.ClientAuthOptional
	s.Trust.Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "*")}}
	s.Start()
	if _, err := enter(s, clientConfig(s, tls.VersionTLS13)); alertOf(err) != "certificate required" {
		t.Errorf("no certificate: %v, want the alert certificate required", err)
	}
	wantReason(t, s, "no-certificate")
}

func TestPolicyCheckIsAskedLast(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Trust.Policy = &tlsserver.Policy{Check: func(id *tlsserver.Identity) error {
		if id.CommonName == "mallory" {
			return errors.New("not today")
		}
		return nil
	}}
	s.Start()
	if _, err := enter(s, withClient(clientConfig(s, 0), s.ClientCertificate("alice"))); err != nil {
		t.Errorf("alice: %v", err)
	}
	wantReason(t, s, "done")
	if _, err := enter(s, withClient(clientConfig(s, 0), s.ClientCertificate("mallory"))); err == nil {
		t.Error("mallory got in")
	}
	if e := wantReason(t, s, "policy:check"); !strings.Contains(e.Err.Error(), "not today") {
		t.Errorf("the event says %v", e.Err)
	}
}

func TestSetTrustRefusesWhatCannotBeMeantAndChangesNothing(t *testing.T) {
	s := tlstest.NewServer(t, greetEcho)
	source, pool := s.Trust.Source, s.Authority.Pool()
	cn := []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}
	pin := []tlsserver.Rule{rule(t, tlsserver.RulePin, strings.Repeat("00", 32))}
	for name, trust := range map[string]*tlsserver.Trust{
		"nil":                             nil,
		"no source":                       {},
		"none with authorities":           {Source: source, ClientCAs: pool, ClientAuth: tlsserver.ClientAuthNone},
		"none with a pin":                 {Source: source, ClientAuth: tlsserver.ClientAuthNone, Policy: &tlsserver.Policy{Allow: pin}},
		"required without an authority":   {Source: source, ClientAuth: tlsserver.ClientAuthRequired},
		"optional without an authority":   {Source: source, ClientAuth: tlsserver.ClientAuthOptional},
		"a name without an authority":     {Source: source, Policy: &tlsserver.Policy{Allow: cn}},
		"a denied name without authority": {Source: source, Policy: &tlsserver.Policy{Allow: pin, Deny: cn}},
		"a denied pin without authority":  {Source: source, Policy: &tlsserver.Policy{Deny: pin}},
		"an empty rule":                   {Source: source, ClientCAs: pool, Policy: &tlsserver.Policy{Allow: make([]tlsserver.Rule, 1)}},
		"revocation without an authority": {Source: source, Revocation: newRevoker(t).revoke()},
		"revocation of pins":              {Source: source, Revocation: newRevoker(t).revoke(), Policy: &tlsserver.Policy{Allow: pin}},
		"an unknown mode of client auth":  {Source: source, ClientCAs: pool, ClientAuth: 17},
	} {
		if err := s.Config.SetTrust(trust); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := enter(s, clientConfig(s, 0)); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}

func TestServerFieldsThatCannotBeMeantAreRefused(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	for name, server := range map[string]*tlsserver.Server{
		"TLS 1.1":              {MinVersion: tls.VersionTLS11},
		"min above max":        {MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12},
		"no forward secrecy":   {TLS12CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		"no AEAD":              {TLS12CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}},
		"a suite of TLS 1.3":   {TLS12CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256}},
		"no suite for TLS 1.2": {TLS12CipherSuites: []uint16{}},
	} {
		if err := server.SetTrust(s.Trust); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTLS12CipherSuiteSaysWhyASuiteCannotBeHad(t *testing.T) {
	for name, want := range map[string]string{
		"TLS_RSA_WITH_AES_128_GCM_SHA256":       "no forward secrecy",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "no authenticated encryption",
		"TLS_AES_128_GCM_SHA256":                "TLS 1.3",
		"ECDHE-RSA-AES128-GCM-SHA256":           "IANA",
		"TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA": "unknown",
	} {
		if _, err := tlsserver.TLS12CipherSuite(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", name, err, want)
		}
	}
	if id, err := tlsserver.TLS12CipherSuite("tls_ecdhe_rsa_with_aes_256_gcm_sha384"); id != tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 || err != nil {
		t.Errorf("a good one: %v, %v", id, err)
	}
}

func TestVersionsSuitesGroupsAndProtocolsAreNegotiatedAsSet(t *testing.T) {
	t.Run("TLS 1.2 has only suites with forward secrecy and AEAD", func(t *testing.T) {
		s := tlstest.NewServer(t, greetEcho)
		config := clientConfig(s, tls.VersionTLS12)
		config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		if _, err := enter(s, config); alertOf(err) != "handshake failure" {
			t.Errorf("weak suites: %v", err)
		}
		wantReason(t, s, "no-shared-cipher")
	})
	t.Run("hybrid groups are on", func(t *testing.T) {
		s := tlstest.NewServer(t, greetEcho)
		if cs, err := enter(s, clientConfig(s, tls.VersionTLS13)); err != nil || cs.CurveID != tls.X25519MLKEM768 {
			t.Errorf("%v, group %v; want X25519MLKEM768", err, cs.CurveID)
		}
	})
	t.Run("a chosen suite", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Config.TLS12CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		s.Start()
		if cs, err := enter(s, clientConfig(s, tls.VersionTLS12)); err != nil || cs.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 {
			t.Errorf("%v, suite %v", err, cs)
		}
	})
	t.Run("versions", func(t *testing.T) {
		for _, only := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := tlstest.NewUnstartedServer(t, greetEcho)
			s.Config.MinVersion, s.Config.MaxVersion = only, only
			s.Start()
			versions(t, func(t *testing.T, version uint16) {
				_, err := enter(s, clientConfig(s, version))
				if (err == nil) != (version == only) {
					t.Errorf("a server of %s alone: %v", tls.VersionName(only), err)
				}
				if version == only {
					wantReason(t, s, "done")
				} else {
					wantReason(t, s, "version")
				}
			})
		}
	})
	t.Run("no tickets", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Config.SessionTicketsDisabled = true
		s.Start()
		config := clientConfig(s, tls.VersionTLS13)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for range 2 {
			if cs, err := enter(s, config); err != nil || cs.DidResume {
				t.Errorf("%v, resumed %v", err, cs.DidResume)
			}
		}
	})
	t.Run("protocols", func(t *testing.T) {
		for _, c := range []struct {
			required bool
			offered  []string
			got      string
			reason   tlsserver.Reason
		}{
			{false, nil, "", "done"},
			{true, nil, "", "alpn"},
			{true, []string{"b", "a"}, "a", "done"},
			{false, []string{"c"}, "", "alpn"},
		} {
			s := tlstest.NewUnstartedServer(t, greetEcho)
			s.Config.NextProtos, s.Config.RequireALPN = []string{"a", "b"}, c.required
			s.Start()
			config := clientConfig(s, 0)
			config.NextProtos = c.offered
			cs, err := enter(s, config)
			if (err == nil) != (c.reason == "done") || err == nil && cs.NegotiatedProtocol != c.got {
				t.Errorf("required %v, offered %v: %v, got %v", c.required, c.offered, err, cs)
			}
			if c.reason == "alpn" && alertOf(err) != "no application protocol" {
				t.Errorf("required %v, offered %v: %v, want the alert no application protocol", c.required, c.offered, err)
			}
			wantReason(t, s, c.reason)
		}
	})
}

func TestNamesThatAreNotServed(t *testing.T) {
	ask := func(s *tlstest.Server, name string) *tls.Config {
		config := clientConfig(s, tls.VersionTLS13)
		config.ServerName = name
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(cs tls.ConnectionState) error {
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: s.Authority.Pool(), DNSName: "localhost"})
			return err
		}
		return config
	}
	lax := tlstest.NewServer(t, greetEcho)
	strict := tlstest.NewUnstartedServer(t, greetEcho)
	strict.Config.StrictSNI = true
	strict.Start()
	for _, name := range []string{"", "elsewhere.test"} {
		if _, err := enter(lax, ask(lax, name)); err != nil {
			t.Errorf("name %q: %v, want the first certificate", name, err)
		}
		wantReason(t, lax, "done")
		if _, err := enter(strict, ask(strict, name)); alertOf(err) != "unrecognized name" {
			t.Errorf("name %q with StrictSNI: %v, want the alert unrecognized name", name, err)
		}
		wantReason(t, strict, "sni")
	}
	if _, err := enter(strict, ask(strict, "LocalHost")); err != nil {
		t.Errorf("the right name: %v", err)
	}
}

// oneSession gives every name the same session, as a client could that wants
// to pass by the check of the name.
type oneSession struct{ tls.ClientSessionCache }

func (o oneSession) Get(string) (*tls.ClientSessionState, bool) { return o.ClientSessionCache.Get("") }
func (o oneSession) Put(_ string, s *tls.ClientSessionState)    { o.ClientSessionCache.Put("", s) }

func TestASessionResumesOnlyUnderTheNameItWasMadeFor(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		cert := issue(t, s.Authority, certs.Request{Names: []string{"a.localhost", "b.localhost"}})
		s.Trust.Source = certs.Static(cert)
		s.Start()
		cache := oneSession{tls.NewLRUClientSessionCache(1)}
		for _, c := range []struct {
			name    string
			resumes bool
		}{{"a.localhost", false}, {"a.localhost", true}, {"b.localhost", false}, {"b.localhost", true}} {
			config := clientConfig(s, version)
			config.ServerName, config.ClientSessionCache = c.name, cache
			if cs, err := enter(s, config); err != nil || cs.DidResume != c.resumes {
				t.Errorf("%s: %v, resumed %v; want %v", c.name, err, cs != nil && cs.DidResume, c.resumes)
			}
		}
	})
}
