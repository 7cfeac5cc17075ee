package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
)

func leafOf(t *testing.T, s certs.Source) *x509.Certificate {
	t.Helper()
	c, err := s.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestAuthoritySourceIssuesAnewWhenTwoThirdsOfTheLifeAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, err := newAuthority(t).Source([]string{"localhost"}, 6*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		first := leafOf(t, source)
		time.Sleep(4*time.Hour - time.Second)
		if !leafOf(t, source).Equal(first) {
			t.Error("issued anew before two thirds of the life were gone")
		}
		time.Sleep(time.Second)
		second := leafOf(t, source)
		if second.Equal(first) || time.Until(second.NotAfter) < 6*time.Hour-time.Second {
			t.Errorf("not issued anew: until %v", second.NotAfter)
		}
		time.Sleep(100 * time.Hour) // no handshake in all this time
		if third := leafOf(t, source); time.Until(third.NotAfter) < 5*time.Hour {
			t.Errorf("presents a certificate until %v", third.NotAfter)
		}
	})
}

func TestAuthoritySourceIssuesOnceForHandshakesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, err := newAuthority(t).Source([]string{"localhost"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if life := time.Until(leafOf(t, source).NotAfter); life > 7*24*time.Hour || life < 7*24*time.Hour-time.Second {
			t.Errorf("lasts %v, want 7 days", life)
		}
		old := leafOf(t, source).SerialNumber.String()
		for _, wait := range []time.Duration{5 * 24 * time.Hour, 30 * 24 * time.Hour} { // still valid; long expired
			time.Sleep(wait)
			var mu sync.Mutex
			fresh := map[string]bool{}
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					c, err := source.Certificate(&tls.ClientHelloInfo{})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if time.Now().After(c.Leaf.NotAfter) {
						t.Error("presents an expired certificate")
					}
					if s := c.Leaf.SerialNumber.String(); s != old {
						fresh[s] = true
					}
				})
			}
			group.Wait()
			if len(fresh) != 1 {
				t.Errorf("%d certificates were issued, want 1", len(fresh))
			}
			old = leafOf(t, source).SerialNumber.String()
		}
	})
}

func TestAuthoritySourceServesUntilItsRootExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		time.Sleep(time.Until(a.Root().NotAfter) - 3*time.Hour)
		source, err := a.Source([]string{"localhost"}, 6*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if leaf := leafOf(t, source); leaf.NotAfter.After(a.Root().NotAfter) {
			t.Errorf("outlives its root: %v", leaf.NotAfter)
		}
		time.Sleep(3*time.Hour - time.Second)
		leafOf(t, source)
		time.Sleep(2 * time.Second) // now the root has expired, and so has all that it signed
		_, err = source.Certificate(&tls.ClientHelloInfo{})
		wantError(t, err, "the root expired", "tcps certs init --force")
	})
}

func TestAuthoritySourceOfANameOutsideFailsAtOnce(t *testing.T) {
	_, err := newAuthority(t).Source([]string{"example.com"}, 0)
	wantError(t, err, "outside")
}
