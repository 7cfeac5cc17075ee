package tlsclient_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// refusing is a server that asks for a client certificate.
func refusing(t *testing.T) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, service.Greet("hello\r\n", service.Discard()))
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	return s
}

func TestATLS13RefusalComesFromRead(t *testing.T) {
	s := refusing(t)
	for range 20 {
		c := s.Dial(s.Dialer())
		_, err := c.Read(make([]byte, 1))
		wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+s.Endpoint)
		c.Close()
	}
}

// A broken pipe or a reset must not hide what the server said.
func TestATLS13RefusalComesFromReadThoughMuchWasWritten(t *testing.T) {
	s := refusing(t)
	for range 20 {
		c := s.Dial(s.Dialer())
		for range 64 {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				break
			}
		}
		_, err := c.Read(make([]byte, 1))
		wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+s.Endpoint)
		c.Close()
	}
}

func TestATLS12RefusalComesFromTheHandshake(t *testing.T) {
	s := refusing(t)
	d := s.Dialer()
	d.MaxVersion = tls.VersionTLS12
	for range 20 {
		_, err := d.Dial(t.Context(), s.Endpoint)
		wantFailure(t, err, "peer-refused-us:handshake_failure", 10, "shake hands with "+s.Endpoint)
	}
}

func TestARefusalSaysWhatTheServerDoesNotLike(t *testing.T) {
	foreign := newAuthority(t)
	s := refusing(t)
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion = version
		d.Source = always(foreign.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil }))
		c, err := d.Dial(t.Context(), s.Endpoint)
		if err == nil {
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
		}
		if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != "peer-refused-us:unknown_ca" {
			t.Errorf("%v: want peer-refused-us:unknown_ca", err)
		}
	})
}

// always presents a certificate, whatever authorities the server names.
type always tls.Certificate

func (a always) ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert := tls.Certificate(a)
	return &cert, nil
}

func TestInsecureConnectsAndSaysWhatItWouldHaveRefused(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		for _, c := range []struct {
			name    string
			change  func(*x509.Certificate)
			roots   *x509.CertPool
			want    string
			resumes bool // crypto/tls drops the sessions of expired certificates by itself
		}{
			{"good", nil, a.pool(), "", true},
			{"unknown authority", nil, nil, "unknown authority", true},
			{"wrong name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.test"}, nil }, a.pool(), "other.test", true},
			{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, a.pool(), "expired", false},
			{"a client's", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, a.pool(), "incompatible key usage", true},
		} {
			t.Run(c.name, func(t *testing.T) {
				config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, c.change)}}
				addr := serveTLS(t, config, greet)
				d := &tlsclient.Dialer{RootCAs: c.roots, ServerName: "localhost", Insecure: true, MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(1)}
				for _, resumed := range []bool{false, c.resumes} {
					conn, err := d.Dial(t.Context(), addr)
					conn = closed(t, conn, err)
					wantGreeting(t, conn)
					if conn.TLS().DidResume != resumed {
						t.Errorf("resumed %v, want %v", conn.TLS().DidResume, resumed)
					}
					got := conn.Untrusted()
					if (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.Error(), c.want) {
						t.Errorf("resumed %v: Untrusted is %v, want it to say %q", resumed, got, c.want)
					}
					conn.Close()
				}
			})
		}
	})
}

func TestWithoutInsecureNothingIsUntrusted(t *testing.T) {
	s := tlstest.NewServer(t, service.Discard())
	if err := s.Dial(s.Dialer()).Untrusted(); err != nil {
		t.Error(err)
	}
}

// What Insecure accepted is no ticket into a Dialer that verifies, nor is what
// another authority vouched for.
func TestSessionsDoNotCarryTrustFromOneDialerToAnother(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		sessions := tls.NewLRUClientSessionCache(8)
		for _, d := range []*tlsclient.Dialer{{Insecure: true}, {RootCAs: a.pool()}} {
			d.MaxVersion, d.Sessions = version, sessions
			c, err := d.Dial(t.Context(), endpoint)
			c = closed(t, c, err)
			wantGreeting(t, c)
			c.Close()
			for _, roots := range []*x509.CertPool{nil, other.pool()} {
				strict := &tlsclient.Dialer{RootCAs: roots, MaxVersion: version, Sessions: sessions}
				_, err = strict.Dial(t.Context(), endpoint)
				wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
			}
		}
	})
}

func TestSessionsResume(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion = version
		visit := func() bool {
			c := s.Dial(d)
			wantGreeting(t, c)
			c.Close()
			return c.TLS().DidResume
		}
		for range 2 {
			if visit() {
				t.Error("without Sessions a session was resumed")
			}
		}
		d.Sessions = tls.NewLRUClientSessionCache(4)
		if visit() {
			t.Error("the first session was resumed")
		}
		if !visit() {
			t.Error("the second session was not resumed")
		}
	})
}

func TestServerNameOverridesTheHost(t *testing.T) {
	names := make(chan string, 8)
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"db.internal"}, nil
	})}}
	addr := serveTLS(t, config, func(c *tls.Conn) {
		names <- c.ConnectionState().ServerName
		untilEnd(c)
	})
	d := &tlsclient.Dialer{RootCAs: a.pool()}
	_, err := d.Dial(t.Context(), addr)
	wantFailure(t, err, "name", 7, "shake hands with tcps://"+addr)
	d.ServerName = "db.internal"
	c, err := d.Dial(t.Context(), addr)
	closed(t, c, err)
	if got := <-names; got != "db.internal" {
		t.Errorf("the server was asked for %q, want db.internal", got)
	}
	d.ServerName = "127.0.0.1"
	_, err = d.Dial(t.Context(), strings.Replace(addr, "127.0.0.1", "localhost", 1))
	wantFailure(t, err, "name", 7, "shake hands with tcps://"+strings.Replace(addr, "127.0.0.1", "localhost", 1))
}

// One server takes ECDSA alone, another names an authority: each gets the
// certificate that it can use, and one that can use none gets none.
func TestSourcePresentsTheCertificateThatTheServerAccepts(t *testing.T) {
	server := newAuthority(t)
	issuers := []*certs.Authority{certsAuthority(t), certsAuthority(t)}
	var all []tls.Certificate
	for _, a := range issuers {
		for _, kind := range []certs.KeyType{certs.RSA2048, certs.ECDSAP256} {
			issued, err := a.Issue(certs.Request{Names: []string{"alice"}, Client: true, KeyType: kind})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, issued.Certificate)
		}
	}
	source := certs.Static(all...)
	for _, c := range []struct {
		name   string
		accept *x509.CertPool
		want   *x509.Certificate
	}{
		{"the first authority", issuers[0].Pool(), all[0].Leaf},
		{"the second authority", issuers[1].Pool(), all[2].Leaf},
		{"another authority", server.pool(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				presented := make(chan []*x509.Certificate, 1)
				config := server.config(t)
				config.ClientAuth, config.ClientCAs = tls.RequestClientCert, c.accept
				addr := serveTLS(t, config, func(conn *tls.Conn) {
					presented <- conn.ConnectionState().PeerCertificates
					untilEnd(conn)
				})
				d := &tlsclient.Dialer{RootCAs: server.pool(), Source: source, MaxVersion: version}
				conn, err := d.Dial(t.Context(), addr)
				closed(t, conn, err)
				got := <-presented
				switch {
				case c.want == nil && len(got) > 0:
					t.Errorf("presented a certificate of %s, want none", got[0].Issuer)
				case c.want != nil && (len(got) == 0 || !got[0].Equal(c.want)):
					t.Errorf("presented %d certificates, want the one of %s with a key of %s", len(got), c.want.Issuer, c.want.PublicKeyAlgorithm)
				}
			})
		})
	}
	t.Run("a server without RSA", func(t *testing.T) {
		got, err := source.ClientCertificate(&tls.CertificateRequestInfo{
			Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		})
		if err != nil || !got.Leaf.Equal(all[1].Leaf) {
			t.Errorf("%v: presented another certificate than the ECDSA one", err)
		}
	})
}

func certsAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
