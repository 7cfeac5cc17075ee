package tlsclient_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"tcps/tlsclient"
)

// A helloServer keeps the last hello that it got.
func helloServer(t *testing.T, a *authority, change func(*tls.Config)) (endpoint string, hellos <-chan *tls.ClientHelloInfo) {
	t.Helper()
	seen := make(chan *tls.ClientHelloInfo, 10)
	config := a.config(t)
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		seen <- hello
		return nil, nil
	}
	if change != nil {
		change(config)
	}
	return "tcps://" + serveTLS(t, config, greet), seen
}

// What is sent as the name, and what the certificate must have, are two things;
// sessions are judged by the same when they are resumed.
func TestTheNameThatIsSentIsNotTheOneThatIsVerified(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint, hellos := helloServer(t, a, nil)
		for _, c := range []struct{ sni, name, sent string }{
			{"", "localhost", "localhost"},
			{"front.test", "localhost", "front.test"},
			{"front.test", "", "front.test"}, // the endpoint's host is an address, which the certificate has
			{tlsclient.NoSNI, "localhost", ""},
		} {
			d := &tlsclient.Dialer{
				RootCAs: a.pool(), ServerName: c.name, SNI: c.sni, MaxVersion: version,
				Sessions: tls.NewLRUClientSessionCache(0),
			}
			for _, resumed := range []bool{false, true} {
				conn, err := d.Dial(t.Context(), endpoint)
				wantGreeting(t, closed(t, conn, err))
				if got := (<-hellos).ServerName; got != c.sent {
					t.Errorf("SNI %q, name %q: %q was sent, want %q", c.sni, c.name, got, c.sent)
				}
				if got := conn.TLS().DidResume; got != resumed {
					t.Errorf("SNI %q: resumed %v, want %v", c.sni, got, resumed)
				}
			}
			d.ServerName = "other.test"
			_, err := d.Dial(t.Context(), endpoint)
			wantFailure(t, err, "name", 7, "shake hands with "+endpoint)
			<-hellos
			foreign := newAuthority(t).pool()
			d.ServerName, d.RootCAs = c.name, foreign
			_, err = d.Dial(t.Context(), endpoint)
			wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
			<-hellos
		}
	})
}

// A name that is only sent must not make a revoked or an unpinned server good.
func TestAnotherSNIDoesNotTurnOffPins(t *testing.T) {
	a := newAuthority(t)
	endpoint, _ := helloServer(t, a, nil)
	d := &tlsclient.Dialer{RootCAs: a.pool(), SNI: "front.test", Pins: [][32]byte{{1}}}
	_, err := d.Dial(t.Context(), endpoint)
	wantFailure(t, err, "pin", 7, "shake hands with "+endpoint)
}

func TestNamesThatCannotBeSentAreRefused(t *testing.T) {
	for _, name := range []string{"127.0.0.1", "::1", "[::1]", "a b", "zürich.test", "a.test.", strings.Repeat("a", 254), "a\x00"} {
		if err := tlsclient.CheckSNI(name); err == nil {
			t.Errorf("%q can be sent", name)
		}
		if _, err := (&tlsclient.Dialer{SNI: name}).Dial(t.Context(), "tcps://"+serve(t, untilEnd)); err == nil || !strings.Contains(err.Error(), "server name") {
			t.Errorf("SNI %q: dialled, %v", name, err)
		}
	}
	for _, name := range []string{"localhost", "a.test", "_under.score", "xn--zrich-kva.test"} {
		if err := tlsclient.CheckSNI(name); err != nil {
			t.Error(err)
		}
	}
}

func TestGroupsAreOfferedAndAgreedOn(t *testing.T) {
	a := newAuthority(t)
	endpoint, hellos := helloServer(t, a, nil)
	for _, name := range tlsclient.GroupNames() {
		group, err := tlsclient.ParseGroup(name)
		if err != nil {
			t.Fatal(err)
		}
		d := &tlsclient.Dialer{RootCAs: a.pool(), CurvePreferences: []tls.CurveID{group}}
		conn, err := d.Dial(t.Context(), endpoint)
		closed(t, conn, err)
		if got := conn.TLS().CurveID; got != group || tlsclient.GroupName(got) != name {
			t.Errorf("%s: agreed on %v, %s", name, got, tlsclient.GroupName(got))
		}
		if got := (<-hellos).SupportedCurves; len(got) != 1 || got[0] != group {
			t.Errorf("%s: offered %v", name, got)
		}
	}
	server, _ := helloServer(t, a, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} })
	d := &tlsclient.Dialer{RootCAs: a.pool(), CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
	_, err := d.Dial(t.Context(), server)
	if failed := wantFailure(t, err, "no-shared-cipher", 5, "shake hands with "+server); failed == nil {
		t.Error("no group in common, and no failure")
	}
	for _, d := range []*tlsclient.Dialer{
		{RootCAs: a.pool(), CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}, MaxVersion: tls.VersionTLS12},
		{RootCAs: a.pool(), CurvePreferences: []tls.CurveID{30}},
	} {
		if _, err := d.Dial(t.Context(), endpoint); err == nil {
			t.Errorf("%v with TLS up to %x: dialled", d.CurvePreferences, d.MaxVersion)
		}
	}
}

func TestGroupsHaveTheNamesOfOthers(t *testing.T) {
	for name, want := range map[string]tls.CurveID{
		"x25519": tls.X25519, "P-256": tls.CurveP256, "p256": tls.CurveP256, "secp256r1": tls.CurveP256, "prime256v1": tls.CurveP256,
		"secp384r1": tls.CurveP384, "SECP521R1": tls.CurveP521, "x25519_mlkem768": tls.X25519MLKEM768, "SecP256r1MLKEM768": tls.SecP256r1MLKEM768,
	} {
		if got, err := tlsclient.ParseGroup(name); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "-", "x448", "ffdhe2048", "secp256k1"} {
		if got, err := tlsclient.ParseGroup(name); err == nil {
			t.Errorf("%q is %v", name, got)
		}
	}
}

func TestAProtocolThatMustBeAgreedOn(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		silent, _ := helloServer(t, a, nil) // has no protocols: it ignores the offer (RFC 7301, 3.2)
		d := &tlsclient.Dialer{RootCAs: a.pool(), NextProtos: []string{"ours"}, MaxVersion: version}
		conn, err := d.Dial(t.Context(), silent)
		if closed(t, conn, err).TLS().NegotiatedProtocol != "" {
			t.Error("the server chose a protocol that it has not")
		}
		d.RequireALPN = true
		_, err = d.Dial(t.Context(), silent)
		wantFailure(t, err, "alpn", 5, "shake hands with "+silent)
		d.Insecure = true
		_, err = d.Dial(t.Context(), silent)
		wantFailure(t, err, "alpn", 5, "shake hands with "+silent)
		d.Insecure = false
		knows, _ := helloServer(t, a, func(c *tls.Config) { c.NextProtos = []string{"theirs", "ours"} })
		conn, err = d.Dial(t.Context(), knows)
		if got := closed(t, conn, err).TLS().NegotiatedProtocol; got != "ours" {
			t.Errorf("agreed on %q", got)
		}
		d.NextProtos = nil
		if _, err := d.Dial(t.Context(), knows); err == nil || !strings.Contains(err.Error(), "NextProtos is empty") {
			t.Errorf("dialled with nothing to choose from: %v", err)
		}
	})
}

func TestTheKeyLogHasTheSecretsOfTheConnection(t *testing.T) {
	a := newAuthority(t)
	endpoint, _ := helloServer(t, a, nil)
	var log bytes.Buffer
	d := &tlsclient.Dialer{RootCAs: a.pool(), KeyLogWriter: &log}
	conn, err := d.Dial(t.Context(), endpoint)
	closed(t, conn, err)
	for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "} {
		if !strings.Contains(log.String(), label) {
			t.Errorf("no line begins with %s", label)
		}
	}
}

func TestEachStepOfDiallingIsTimed(t *testing.T) {
	a := newAuthority(t)
	endpoint, _ := helloServer(t, a, nil)
	conn, err := (&tlsclient.Dialer{RootCAs: a.pool()}).Dial(t.Context(), endpoint)
	if got := closed(t, conn, err).Timing(); got.Connect <= 0 || got.Handshake <= 0 || got.StartTLS != 0 {
		t.Errorf("%+v: want the steps that there were", got)
	}
	plain, err := new(tlsclient.Dialer).Dial(t.Context(), "tcp://"+serve(t, func(c net.Conn) { untilEnd(c) }))
	if got := closed(t, plain, err).Timing(); got.Connect <= 0 || got.Handshake != 0 {
		t.Errorf("%+v on a plain connection: want no handshake", got)
	}
}

// The certificates that a resumed session was made with are verified again by a
// dialer that does it itself.
func TestAResumedSessionIsVerifiedByTheNameThatCountsNow(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"one.test"} })}}
	endpoint := "tcps://" + serveTLS(t, config, greet)
	versions(t, func(t *testing.T, version uint16) {
		for _, sni := range []string{"front.test", "one.test"} { // crypto/tls verifies the first dialling of the latter
			d := &tlsclient.Dialer{RootCAs: a.pool(), ServerName: "one.test", SNI: sni, MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(0)}
			conn, err := d.Dial(t.Context(), endpoint)
			wantGreeting(t, closed(t, conn, err))
			refused := func(why tlsclient.Reason, code int) {
				conn, err := d.Dial(t.Context(), endpoint)
				if err == nil {
					conn.Close()
				}
				wantFailure(t, err, why, code, "shake hands with "+endpoint)
			}
			d.ServerName = "two.test"
			refused("name", 7)
			d.ServerName, d.RootCAs = "one.test", newAuthority(t).pool()
			refused("untrusted", 6)
		}
	})
}
