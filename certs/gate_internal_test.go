package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
)

// An issuerFunc is an issuer that counts.
type issuerFunc struct {
	issue func(*x509.CertificateRequest) ([]byte, error)
	asked int
}

func (i *issuerFunc) IssuerKey() string { return "test" }

func (i *issuerFunc) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	i.asked++
	chain, err := i.issue(csr)
	return &certmagic.IssuedCertificate{Certificate: chain}, err
}

// A clock that is wrong, or an authority that asks for a renewal at once, makes each new certificate due already.
func TestTheGateLetsARenewalWaitAfterASuccess(t *testing.T) {
	csr := &x509.CertificateRequest{DNSNames: []string{"localhost"}}
	for name, test := range map[string]struct{ life, rest time.Duration }{
		"half a minute":   {30 * time.Second, 15 * time.Second},
		"ninety days":     {90 * day, time.Hour},
		"expired already": {-time.Minute, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, err := NewAuthority(AuthorityOptions{HostName: "box"})
				if err != nil {
					t.Fatal(err)
				}
				issued, err := a.Issue(Request{Names: []string{"localhost"}, For: max(test.life, time.Second)})
				if err != nil {
					t.Fatal(err)
				}
				if test.life < 0 {
					time.Sleep(-test.life)
				}
				inner := &issuerFunc{issue: func(*x509.CertificateRequest) ([]byte, error) { return issued.CertPEM, nil }}
				g := newGate(slog.New(slog.DiscardHandler), true)
				gated := g.wrap(inner)
				if _, err := gated.Issue(t.Context(), csr); err != nil {
					t.Fatal(err)
				}
				g.done(t.Context(), "localhost", nil)
				time.Sleep(test.rest - 2*time.Second)
				if _, err := gated.Issue(t.Context(), csr); !errors.Is(err, errNotYet) {
					t.Errorf("too early: %v", err)
				}
				<-g.due() // the certificate's times are whole seconds
				if _, err := gated.Issue(t.Context(), csr); err != nil || inner.asked != 2 {
					t.Errorf("after the rest: %v, %d orders", err, inner.asked)
				}
			})
		})
	}
}

// What the authority signs begins earlier than now: that is no part of the life of which a third is left.
func TestAShortLifeIsNotDueFromTheStart(t *testing.T) {
	for _, life := range []time.Duration{20 * time.Minute, 7 * day} {
		config := certmagic.Config{RenewalWindowRatio: renewalShare}
		if _, err := (&authorityIssuer{life: life}).prepare(&config, nil); err != nil {
			t.Fatal(err)
		}
		window := time.Duration(float64(life+backdateOf(life)) * config.RenewalWindowRatio)
		if d := window - life/3; d.Abs() > time.Second {
			t.Errorf("of %v a certificate is renewed when %v are left", life, window)
		}
	}
}
