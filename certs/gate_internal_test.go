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
	"github.com/mholt/acmez/v3/acme"

	"tcps/certs/storagetest"
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

// A silentACME does not say when to renew.
type silentACME struct{ issuerFunc }

func (i *silentACME) GetRenewalInfo(context.Context, certmagic.Certificate) (acme.RenewalInfo, error) {
	i.asked++
	return acme.RenewalInfo{}, errors.New("not now")
}

// certmagic asks at every look: every five seconds.
func TestTheGateLetsAskingWhenToRenewWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &silentACME{}
		asker := newGate(slog.New(slog.DiscardHandler), false).wrap(inner).(certmagic.RenewalInfoGetter)
		for range 24 * time.Hour / checkTime {
			asker.GetRenewalInfo(t.Context(), certmagic.Certificate{Names: []string{"a.test"}})
			time.Sleep(checkTime)
		}
		if inner.asked < 9 || inner.asked > 12 {
			t.Errorf("asked %d times in a day", inner.asked)
		}
	})
}

// A supervisor starts a service again that ends soon: each time it is the first attempt of a process.
func TestRestartsDoNotHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, csr := new(storagetest.Memory), &x509.CertificateRequest{DNSNames: []string{"a.test"}}
		inner := &issuerFunc{issue: func(*x509.CertificateRequest) ([]byte, error) { return nil, errors.New("no") }}
		restart := func() error {
			g := newGate(slog.New(slog.DiscardHandler), false)
			g.starts = newStarts(storage, "test", []string{"a.test"})
			_, err := g.wrap(inner).Issue(t.Context(), csr)
			if next, _ := g.state("a.test"); err != nil && !next.After(time.Now()) {
				t.Errorf("nothing says when it is tried again after %v", err)
			}
			return err
		}
		for range 2 * time.Hour / time.Second {
			restart()
			time.Sleep(time.Second)
		}
		if inner.asked != 2*maxStarts {
			t.Errorf("in two hours there were %d orders, want %d", inner.asked, 2*maxStarts)
		}
		time.Sleep(startsWithin)
		inner.issue = func(*x509.CertificateRequest) ([]byte, error) { return nil, nil }
		for range 2 * maxStarts {
			if err := restart(); err != nil {
				t.Errorf("after successes: %v", err)
			}
		}
	})
}
