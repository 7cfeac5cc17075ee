package tlsclient_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tcps/certs"
	"tcps/tlsclient"
)

// newListingAuthority is an authority that may sign revocation lists.
func newListingAuthority(t testing.TB) *authority {
	t.Helper()
	signed := (&authority{}).issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA = "the test's authority", true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		c.ExtKeyUsage, c.DNSNames, c.IPAddresses = nil, nil, nil
	})
	return &authority{signed.Leaf, signed.PrivateKey.(*ecdsa.PrivateKey)}
}

// revocation is a list, good for life, that names these certificates.
func (a *authority) revocation(t testing.TB, life time.Duration, revoked ...tls.Certificate) *certs.Revocation {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(min(life, 0) - time.Minute), NextUpdate: time.Now().Add(life)}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now(), ReasonCode: 1,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := certs.ParseRevocationLists("test.crl", der)
	if err != nil {
		t.Fatal(err)
	}
	r, err := certs.LoadRevocation(certs.RevocationOptions{Lists: lists})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// staple is what the authority says of a certificate by OCSP.
func (a *authority) staple(t testing.TB, c tls.Certificate, status int, life time.Duration) []byte {
	t.Helper()
	response, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{
		Status: status, SerialNumber: c.Leaf.SerialNumber, RevokedAt: time.Now().Add(-time.Minute), RevocationReason: ocsp.Superseded,
		ThisUpdate: time.Now().Add(min(life, 0) - time.Minute), NextUpdate: time.Now().Add(life),
	}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// wantRevoked checks that dialling fails as it should, and what the error says.
func wantRevoked(t testing.TB, d *tlsclient.Dialer, endpoint, want string) *certs.RevocationError {
	t.Helper()
	c, err := d.Dial(t.Context(), endpoint)
	if err == nil {
		c.Close()
	}
	wantFailure(t, err, "revoked", 9, "shake hands with "+endpoint)
	refusal, ok := errors.AsType[*certs.RevocationError](err)
	if !ok || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v, want a *certs.RevocationError that says %q", err, want)
	}
	return refusal
}

func TestARevokedServerIsRefusedInFullAndInResumedHandshakes(t *testing.T) {
	a := newListingAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		cert := a.issue(t, nil)
		endpoint := "tcps://" + serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, greet)
		dial := func(d *tlsclient.Dialer) bool {
			c, err := d.Dial(t.Context(), endpoint)
			c = closed(t, c, err)
			wantGreeting(t, c)
			c.Close()
			return c.TLS().DidResume
		}
		for name, c := range map[string]struct {
			revocation *certs.Revocation
			want       string
		}{
			"revoked": {a.revocation(t, time.Hour, cert), "was revoked by CN=the test's authority"},
			"expired": {a.revocation(t, -3*time.Hour), "expired 3 hours ago"},
			"missing": {newListingAuthority(t).revocation(t, time.Hour), "no revocation list of its issuer"},
		} {
			d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(1), Revocation: a.revocation(t, time.Hour)}
			if dial(d) || !dial(d) {
				t.Errorf("%s: the second visit was not resumed", name)
			}
			d.Revocation = c.revocation
			for range 2 { // with the session, and without
				refusal := wantRevoked(t, d, endpoint, c.want)
				if (refusal.Revoked != nil) != (name == "revoked") || refusal.Leaf == nil {
					t.Errorf("%s: %+v", name, refusal)
				}
			}
		}
	})
}

func TestARequiredStapleMustBeThereGoodAndCurrent(t *testing.T) {
	a := newListingAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		for name, c := range map[string]struct {
			staple func(tls.Certificate) []byte
			want   string // empty: good
		}{
			"good":     {func(c tls.Certificate) []byte { return a.staple(t, c, ocsp.Good, time.Hour) }, ""},
			"none":     {func(tls.Certificate) []byte { return nil }, "no OCSP response is stapled"},
			"revoked":  {func(c tls.Certificate) []byte { return a.staple(t, c, ocsp.Revoked, time.Hour) }, "was revoked by CN=the test's authority"},
			"expired":  {func(c tls.Certificate) []byte { return a.staple(t, c, ocsp.Good, -3*time.Hour) }, "expired 3 hours ago"},
			"unknown":  {func(c tls.Certificate) []byte { return a.staple(t, c, ocsp.Unknown, time.Hour) }, "does not know it"},
			"another":  {func(tls.Certificate) []byte { return a.staple(t, a.issue(t, nil), ocsp.Good, time.Hour) }, "cannot be used"},
			"forged":   {func(c tls.Certificate) []byte { return newListingAuthority(t).staple(t, c, ocsp.Good, time.Hour) }, "is not of the issuer"},
			"nonsense": {func(tls.Certificate) []byte { return []byte("good") }, "cannot be used"},
		} {
			cert := a.issue(t, nil)
			cert.OCSPStaple = c.staple(cert)
			endpoint := "tcps://" + serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, greet)
			d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, RequireOCSPStaple: true, Sessions: tls.NewLRUClientSessionCache(1)}
			if c.want != "" {
				wantRevoked(t, d, endpoint, c.want)
				continue
			}
			for _, resumed := range []bool{false, true} { // a session has the response of its full handshake
				conn, err := d.Dial(t.Context(), endpoint)
				conn = closed(t, conn, err)
				wantGreeting(t, conn)
				conn.Close()
				if conn.TLS().DidResume != resumed {
					t.Errorf("%s: resumed %v, want %v", name, !resumed, resumed)
				}
			}
		}
	})
}

// A session that was made without asking is no way around the question.
func TestASessionWithoutAStapleIsRefusedWhereOneIsRequired(t *testing.T) {
	a := newListingAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(1)}
		c, err := d.Dial(t.Context(), endpoint)
		c = closed(t, c, err)
		wantGreeting(t, c)
		c.Close()
		d.RequireOCSPStaple = true
		wantRevoked(t, d, endpoint, "no OCSP response is stapled")
	})
}

func TestInsecureCannotBeJudgedForRevocation(t *testing.T) {
	a := newListingAuthority(t)
	addr := serveTLS(t, a.config(t), greet)
	for _, d := range []*tlsclient.Dialer{{Revocation: a.revocation(t, time.Hour)}, {RequireOCSPStaple: true}} {
		d.Insecure = true
		_, err := d.Dial(t.Context(), addr)
		if failed := wantFailure(t, err, "failed", 1, "shake hands with tcps://"+addr); !strings.Contains(failed.Error(), "Insecure") {
			t.Error(failed)
		}
	}
}
