package tlsserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// A revoker is an authority for clients that makes lists of those it revoked.
type revoker struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	list int64 // the number of the last one
}

func newRevoker(t testing.TB) *revoker {
	t.Helper()
	r := &revoker{t: t, pool: x509.NewCertPool()}
	root := r.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	r.cert, r.key = root.Leaf, root.PrivateKey.(*ecdsa.PrivateKey)
	r.pool.AddCert(r.cert)
	return r
}

func (r *revoker) sign(template *x509.Certificate) tls.Certificate {
	r.t.Helper()
	return r.signFor(template, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
}

func (r *revoker) signFor(template *x509.Certificate, from, until time.Time) tls.Certificate {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = from, until
	parent, parentKey := r.cert, r.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		r.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (r *revoker) client(name string) tls.Certificate {
	r.t.Helper()
	return r.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// revoke makes a list, good for an hour, that names these certificates.
func (r *revoker) revoke(revoked ...tls.Certificate) *certs.Revocation {
	r.t.Helper()
	r.list++
	template := &x509.RevocationList{Number: big.NewInt(r.list), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now(), ReasonCode: 1,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, r.cert, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	lists, err := certs.ParseRevocationLists("clients.crl", der)
	if err != nil {
		r.t.Fatal(err)
	}
	revocation, err := certs.LoadRevocation(certs.RevocationOptions{Lists: lists})
	if err != nil {
		r.t.Fatal(err)
	}
	return revocation
}

// serving is a server whose clients are r's, none of them revoked.
func (r *revoker) serving(t *testing.T) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs, s.Trust.Revocation = r.pool, r.revoke()
	s.Start()
	return s
}

// set replaces the revocation of s.
func (r *revoker) set(s *tlstest.Server, revocation *certs.Revocation) {
	r.t.Helper()
	trust := *s.Trust
	trust.Revocation = revocation
	if err := s.Config.SetTrust(&trust); err != nil {
		r.t.Fatal(err)
	}
}

// open connects and hears the greeting; resumed says how.
func open(t *testing.T, s *tlstest.Server, config *tls.Config, resumed bool) *tls.Conn {
	t.Helper()
	c := dialTLS(t, s, config)
	if _, err := io.ReadFull(c, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().DidResume; got != resumed {
		t.Fatalf("resumed %v, want %v", got, resumed)
	}
	return c
}

// wantAlive checks that a connection still echoes.
func wantAlive(t *testing.T, c net.Conn, who string) {
	t.Helper()
	io.WriteString(c, "abc")
	b := make([]byte, 3)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "abc" {
		t.Errorf("%s: read %q, %v; want the connection untouched", who, b, err)
	}
}

// wantRevoked waits for the end of a connection of cert's, which its
// authority has revoked.
func wantRevoked(t *testing.T, s *tlstest.Server, cert tls.Certificate) {
	t.Helper()
	e := wantReason(t, s, tlsserver.ReasonRevoked)
	if got := e.Certificate(); got == nil || !got.Equal(cert.Leaf) {
		t.Errorf("the event does not have the certificate of %s", cert.Leaf.Subject)
	}
	refusal, ok := errors.AsType[*certs.RevocationError](e.Err)
	if serial := fmt.Sprintf("(serial %x) was revoked", cert.Leaf.SerialNumber); !ok || refusal.Revoked == nil || !strings.Contains(e.Err.Error(), serial) {
		t.Errorf("the event says %v, want it to say %q", e.Err, serial)
	}
}

func TestANewListCutsTheRevokedClientAndNobodyElse(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for _, resumed := range []bool{false, true} {
			t.Run(fmt.Sprintf("resumed %v", resumed), func(t *testing.T) {
				r := newRevoker(t)
				s := r.serving(t)
				certificates := map[string]tls.Certificate{"alice": r.client("alice"), "bob": r.client("bob")}
				conns, configs := make(map[string]*tls.Conn), make(map[string]*tls.Config)
				for name, cert := range certificates {
					configs[name] = withClient(clientConfig(s, version), cert)
					configs[name].ClientSessionCache = tls.NewLRUClientSessionCache(4)
					if resumed {
						open(t, s, configs[name], false).Close()
						wantReason(t, s, "done")
					}
					conns[name] = open(t, s, configs[name], resumed)
				}
				r.set(s, r.revoke(certificates["alice"]))
				wantRevoked(t, s, certificates["alice"])
				if _, err := conns["alice"].Read(make([]byte, 1)); err == nil {
					t.Error("the revoked client goes on reading")
				}
				wantAlive(t, conns["bob"], "bob")

				// The next resumed handshake of each, and the next full one. A
				// handshake that asks for the certificate is none that resumes.
				for name, cert := range certificates {
					config := configs[name].Clone()
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						t.Errorf("%s: the handshake was not resumed", name)
						return &cert, nil
					}
					for _, config := range []*tls.Config{config, withClient(clientConfig(s, version), cert)} {
						_, err := enter(s, config)
						if name == "bob" {
							if err != nil {
								t.Errorf("bob: %v", err)
							}
							wantReason(t, s, "done")
							continue
						}
						if alertOf(err) != "bad certificate" {
							t.Errorf("the revoked client: %v, want the alert bad certificate", err)
						}
						wantRevoked(t, s, cert)
					}
				}
			})
		}
	})
}

func TestKeepRefusedLetsOpenConnectionsLiveOn(t *testing.T) {
	r := newRevoker(t)
	s := r.serving(t)
	alice := r.client("alice")
	config := withClient(clientConfig(s, tls.VersionTLS13), alice)
	conn := open(t, s, config, false)
	s.Trust.KeepRefused = true
	s.Trust.Policy = &tlsserver.Policy{Deny: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}}
	r.set(s, r.revoke(alice))
	wantAlive(t, conn, "alice")
	if _, err := enter(s, config); alertOf(err) != "bad certificate" {
		t.Errorf("the next handshake: %v, want the alert bad certificate", err)
	}
	wantRevoked(t, s, alice)
	conn.Close()
	wantReason(t, s, "done")
}

func TestADrainingServerStillCutsWhoIsRevoked(t *testing.T) {
	r := newRevoker(t)
	s := r.serving(t)
	alice, bob := r.client("alice"), r.client("bob")
	open(t, s, withClient(clientConfig(s, tls.VersionTLS13), alice), false)
	stays := open(t, s, withClient(clientConfig(s, tls.VersionTLS12), bob), false)
	done := make(chan error)
	go func() { done <- s.Config.Shutdown(context.Background()) }()
	for { // until the drain has begun
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			break
		}
		c.Close()
	}
	r.set(s, r.revoke(alice))
	for e := s.WaitEnded(); e.Reason != tlsserver.ReasonRevoked; e = s.WaitEnded() {
		if e.Conn.Identity() != nil { // not one of those that looked whether it drains
			t.Fatalf("%s ended for %q", e.Conn.Identity(), e.Reason)
		}
	}
	wantAlive(t, stays, "bob")
	stays.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestANewListReachesTheHandshakesThatHaveBegun(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		r := newRevoker(t)
		s := r.serving(t)
		alice := r.client("alice")
		revoked := r.revoke(alice)
		config := withClient(clientConfig(s, version), alice)
		config.VerifyConnection = func(tls.ConnectionState) error { // the server has read its trust value
			r.set(s, revoked)
			return nil
		}
		if _, err := enter(s, config); err == nil {
			t.Error("alice got in under the old list, after the new one was set")
		}
		wantRevoked(t, s, alice)
	})
}

func TestConnectionsOfOtherServersAreCutToo(t *testing.T) {
	r := newRevoker(t)
	alice := r.client("alice")
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs, s.Trust.Revocation = r.pool, r.revoke()
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := s.Config.Listener(inner)
	defer s.Config.Close()
	s.Addr = inner.Addr().String()
	client := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", s.Addr, withClient(clientConfig(s, 0), alice))
		if err == nil {
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
		}
		client <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.set(s, r.revoke(alice))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the other server goes on reading")
	}
	c.Close()
	if err := <-client; err == nil {
		t.Error("the revoked client was sent something")
	}
}

// No reload is needed for a list to expire.
func TestAListThatExpiresRefusesWhoComesThen(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, &tlsserver.Server{})
			r := newRevoker(t)
			source, err := b.authority.Source([]string{"localhost"}, 90*24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.SetTrust(&tlsserver.Trust{Source: source, ClientCAs: r.pool, Revocation: r.revoke()}); err != nil {
				t.Fatal(err)
			}
			config := withClient(b.config(), r.client("alice"))
			config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			visitPipe(t, b, config)
			if !visitPipe(t, b, config) {
				t.Error("the second visit was not resumed")
			}
			time.Sleep(2 * time.Hour)
			for range 2 { // once with the session, once without
				c := tls.Client(b.listener.dialBuffered(), config)
				if _, err := c.Read(make([]byte, 1)); alertOf(err) != "bad certificate" {
					t.Errorf("%v, want the alert bad certificate", err)
				}
				c.Close()
				e := <-b.ended
				if e.Reason != "revoked" || !strings.Contains(e.Err.Error(), `revocation list "clients.crl" of CN=clients expired 60 minutes ago`) {
					t.Errorf("ended for %q (%v), want an expired list to be the reason", e.Reason, e.Err)
				}
			}
			b.close()
		})
	})
}

func TestRevocationIsAboutClientsThatHaveACertificate(t *testing.T) {
	r := newRevoker(t)
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs, s.Trust.Revocation, s.Trust.ClientAuth = r.pool, r.revoke(), tlsserver.ClientAuthOptional
	s.Start()
	anonymous := open(t, s, clientConfig(s, 0), false)
	r.set(s, r.revoke())
	wantAlive(t, anonymous, "who has no certificate")
}
