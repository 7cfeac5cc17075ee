package certs

import (
	"testing"
	"testing/synctest"
	"time"
)

// Inside the package, because from outside nothing makes issuing fail as long as what was issued is valid.
func TestAuthoritySourceServesOnWhileIssuingFailsAndTheCertificateIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := NewAuthority(AuthorityOptions{HostName: "box"})
		if err != nil {
			t.Fatal(err)
		}
		source, err := a.Source([]string{"localhost"}, 3*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := source.Certificate(nil)
		source.request.Names = []string{"example.com"} // not permitted: every issuing fails from now on
		time.Sleep(3*time.Hour - time.Second)
		if c, err := source.Certificate(nil); c != first || err != nil {
			t.Errorf("while it is valid: %v, %v", c, err)
		}
		time.Sleep(2 * time.Second)
		if c, err := source.Certificate(nil); c != nil || err == nil {
			t.Errorf("after it expired: %v, %v", c, err)
		}
		source.request.Names = []string{"localhost"}
		if c, err := source.Certificate(nil); err != nil || time.Until(c.Leaf.NotAfter) < 2*time.Hour {
			t.Errorf("after issuing works again: %v, %v", c, err)
		}
	})
}
