package certs_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
)

// createAuthority makes an authority for a machine named "box" in a new folder.
func createAuthority(t testing.TB, o certs.AuthorityOptions) (a *certs.Authority, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "authority")
	o.HostName = "box"
	a, err := certs.CreateAuthority(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func openLedger(t testing.TB, dir string) *certs.Ledger {
	t.Helper()
	l, err := certs.OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func revoke(t testing.TB, dir string, leaf *x509.Certificate) {
	t.Helper()
	if _, _, err := openLedger(t, dir).Revoke(leaf, 0); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerHasWhatWasIssuedAndRevoked(t *testing.T) {
	if _, err := certs.OpenLedger(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no authority: %v, want fs.ErrNotExist", err)
	}
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	if revoked, err := certs.ReadRevoked(dir); err != nil || len(revoked) != 0 {
		t.Errorf("nothing revoked: %v, %v", revoked, err)
	}
	late := issue(t, a, certs.Request{Names: []string{"late.test"}, For: 9 * time.Hour}).Certificate.Leaf
	early := issue(t, a, certs.Request{Names: []string{"early.test"}, For: time.Hour}).Certificate.Leaf
	revoke(t, dir, late)
	records, err := openLedger(t, dir).Issued()
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v; want 2", len(records), err)
	}
	if !records[0].Certificate.Equal(early) || records[0].Revoked != nil || !records[1].Certificate.Equal(late) || records[1].Revoked == nil {
		t.Errorf("got %v", records)
	}
	revoked, err := certs.ReadRevoked(dir)
	if err != nil || len(revoked) != 1 || revoked[0].Serial.Cmp(late.SerialNumber) != 0 || string(revoked[0].IssuerKeyID) != string(a.Root().SubjectKeyId) {
		t.Errorf("revoked: %v, %v", revoked, err)
	}
}

func TestWhoRevokesAtOnceLosesNothing(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	leaf := server(t, a, "same.test").Certificate.Leaf
	var all sync.WaitGroup
	for i := range 8 {
		own := server(t, a, fmt.Sprintf("n%d.test", i)).Certificate.Leaf
		all.Go(func() { revoke(t, dir, leaf); revoke(t, dir, own) })
	}
	all.Wait()
	if revoked, err := certs.ReadRevoked(dir); err != nil || len(revoked) != 9 {
		t.Errorf("%d are revoked, %v; want 9", len(revoked), err)
	}
}

func TestDamagedRevocationIsAnErrorAndNotForgotten(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"cut off":   func(path string) error { return os.Truncate(path, 300) },
		"other":     func(path string) error { return os.WriteFile(path, []byte("hello"), 0o600) },
		"renamed":   func(path string) error { return os.Rename(path, filepath.Join(filepath.Dir(path), "12.pem")) },
		"no record": func(path string) error { return os.WriteFile(path+".txt", nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			a, dir := createAuthority(t, certs.AuthorityOptions{})
			leaf := server(t, a, "a.test").Certificate.Leaf
			revoke(t, dir, leaf)
			must(t, damage(filepath.Join(certs.RevokedPath(dir), fmt.Sprintf("%x.pem", leaf.SerialNumber))))
			other := server(t, a, "other.test").Certificate.Leaf
			revoke(t, dir, other)
			others, err := certs.ReadRevoked(dir)
			wantError(t, err, "record", dir)
			if !slices.ContainsFunc(others, func(r certs.RevokedCertificate) bool { return r.Serial.Cmp(other.SerialNumber) == 0 }) {
				t.Error("what another record says is lost too")
			}
			_, err = a.RevocationLists(0)
			wantError(t, err, "record")
		})
	}
}

func TestRecordsElsewhereThatAreNotThereAreAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there links need a privilege")
	}
	_, dir := createAuthority(t, certs.AuthorityOptions{})
	if err := os.Symlink(filepath.Join(t.TempDir(), "volume"), certs.RevokedPath(dir)); err != nil {
		t.Fatal(err)
	}
	_, err := certs.ReadRevoked(dir)
	wantError(t, err, "what is revoked", certs.RevokedPath(dir))
}

func TestAuthorityThatCannotRecordIssuesNothing(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	write(t, dir, "issued", []byte("a file in the way"))
	_, err := a.Issue(certs.Request{Names: []string{"a.test"}})
	wantError(t, err, "a.test", "issued")
}

func TestLedgerForgetsLongAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir := createAuthority(t, certs.AuthorityOptions{})
		issue(t, a, certs.Request{Names: []string{"old.test"}, For: time.Hour})
		revoke(t, dir, issue(t, a, certs.Request{Names: []string{"revoked.test"}, For: time.Hour}).Certificate.Leaf)
		time.Sleep(31 * 24 * time.Hour)
		issue(t, a, certs.Request{Names: []string{"ended.test"}, For: time.Hour})
		time.Sleep(24 * time.Hour)
		server(t, a, "new.test")
		records, err := openLedger(t, dir).Issued()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range records {
			names = append(names, r.Certificate.Subject.CommonName)
		}
		if fmt.Sprint(names) != "[revoked.test ended.test new.test]" { // what is revoked stays
			t.Errorf("on record: %v, want revoked, ended and new", names)
		}
	})
}

func TestNumbersOfListsRise(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	var mu sync.Mutex
	seen := map[string]bool{}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			lists, err := a.RevocationLists(time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[lists[0].Number.String()] = true
		})
	}
	all.Wait()
	if len(seen) != 6 {
		t.Errorf("%d numbers for 6 lists", len(seen))
	}
	write(t, dir, "crl.number", []byte("many"))
	_, err := a.RevocationLists(time.Hour)
	wantError(t, err, "crl.number", "damaged")
}
