package certs_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/certs"
)

func TestWhoRenewsAtOnceLeavesAPair(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	cert, key, err := server(t, a, "a.test").Write(t.TempDir(), false)
	must(t, err)
	for range 5 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				again, err := certs.OpenAuthority(dir)
				if err == nil {
					_, err = again.Renew(certs.Pair{Cert: cert, Key: key}, certs.Renewal{ReuseKey: true})
				}
				if err == nil {
					_, err = again.Renew(certs.Pair{Cert: cert, Key: key}, certs.Renewal{})
				}
				// Who reads between the two files sees no pair.
				if err != nil && !strings.Contains(err.Error(), "belongs to another certificate") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if _, err := certs.LoadFiles(certs.Pair{Cert: cert, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, filepath.Dir(cert), "a.test.key", "a.test.pem")
}

// What a revoked certificate was revoked for is forgotten some time after its end; it must not come back then.
func TestRenewRefusesWhatIsOnRecordNoMore(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	for name, ago := range map[string]time.Duration{"forgotten": 31 * 24 * time.Hour, "expired": time.Hour} {
		c := sign(t, a.Root(), readPair(t, dir, "root"), func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = name, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			c.NotBefore, c.NotAfter = time.Now().Add(-90*24*time.Hour), time.Now().Add(-ago)
		})
		out := t.TempDir()
		pair := certs.Pair{Cert: write(t, out, "c.pem", c.certPEM), Key: write(t, out, "c.key", c.keyPEM)}
		_, err := a.Renew(pair, certs.Renewal{})
		if name == "expired" {
			must(t, err)
			continue
		}
		wantError(t, err, "expired 31 days ago", "tcps certs issue")
		if data, err := os.ReadFile(pair.Cert); err != nil || string(data) != string(c.certPEM) {
			t.Errorf("the file has changed: %v", err)
		}
	}
}
