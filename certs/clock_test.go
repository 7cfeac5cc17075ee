package certs_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/certs/storagetest"
)

const year = 365 * 24 * time.Hour

// ahead runs wrong while the clock is ahead, and then right when it has been set
// back: each bubble begins in the year 2000.
func ahead(t *testing.T, by time.Duration, before, wrong, right func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, before)
	synctest.Test(t, func(t *testing.T) { time.Sleep(by); wrong(t) })
	synctest.Test(t, right)
}

func TestAClockThatWasAheadMakesNothingGoodThatIsRevoked(t *testing.T) {
	var a *certs.Authority
	dir := filepath.Join(t.TempDir(), "authority")
	ahead(t, year, func(t *testing.T) {
		var err error
		if a, err = certs.CreateAuthority(dir, certs.AuthorityOptions{HostName: "box"}); err != nil {
			t.Fatal(err)
		}
		revoke(t, dir, server(t, a, "stolen.test").Certificate.Leaf)
	}, func(t *testing.T) {
		server(t, a, "other.test") // this removes old records
	}, func(t *testing.T) {
		if revoked, err := certs.ReadRevoked(dir); err != nil || len(revoked) != 1 {
			t.Errorf("%d are revoked, %v; want 1", len(revoked), err)
		}
	})
}

func TestAuthoritySourceIssuesAnewWhenAClockThatWasAheadIsSetRight(t *testing.T) {
	var a *certs.Authority
	var source *certs.AuthoritySource
	ahead(t, year, func(t *testing.T) { a = newAuthority(t) }, func(t *testing.T) {
		var err error
		if source, err = a.Source([]string{"localhost"}, 0); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) {
		if leaf := leafOf(t, source); leaf.NotBefore.After(time.Now()) {
			t.Errorf("presents a certificate that begins %v, at %v", leaf.NotBefore, time.Now())
		}
	})
}

func TestAuthoritySourceServesOnWhereTheClockIsBeforeTheRoot(t *testing.T) {
	var source *certs.AuthoritySource
	ahead(t, year, func(*testing.T) {}, func(t *testing.T) {
		var err error
		if source, err = newAuthority(t).Source([]string{"localhost"}, 0); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) {
		leafOf(t, source) // it is good by the clocks of others
	})
}

func TestManagerRenewsWhatAClockThatWasAheadHasStored(t *testing.T) {
	var a *certs.Authority
	storage := new(storagetest.Memory)
	run := func(t *testing.T) *certs.Manager {
		m := start(t, &certs.Manager{Names: []string{"localhost"}, Storage: storage, Issuer: a.Issuer(0)})
		time.Sleep(time.Minute)
		return m
	}
	ahead(t, year, func(t *testing.T) { a = newAuthority(t) }, func(t *testing.T) { run(t) }, func(t *testing.T) {
		m := run(t)
		if leaf := m.Leaves()["localhost"]; leaf.NotBefore.After(time.Now()) {
			t.Errorf("after a minute: presents a certificate that begins %v, at %v", leaf.NotBefore, time.Now())
		}
	})
}
