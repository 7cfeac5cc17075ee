package certs_test

import (
	"bytes"
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

func TestRenewLeavesPKCS12AsItIs(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	issued, err := a.Issue(certs.Request{Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := issued.Write(filepath.Join(dir, "pair"), false)
	if err != nil {
		t.Fatal(err)
	}
	file, passphrase := filepath.Join(dir, "both.p12"), []byte("secret")
	if err := certs.ExportPKCS12(certs.Pair{Cert: cert, Key: key}, file, certs.PKCS12Options{Passphrase: passphrase}); err != nil {
		t.Fatal(err)
	}
	pair := certs.Pair{Cert: file, Passphrase: func(string) ([]byte, error) { return passphrase, nil }}
	_, err = a.Renew(pair, certs.Renewal{})
	wantError(t, err, "both.p12", "PKCS#12")
	if _, err := certs.LoadFiles(pair); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	content, err := os.ReadFile(file)
	if err != nil || bytes.Contains(content, []byte("-----BEGIN")) {
		t.Errorf("the file is PEM now: %v", err)
	}
}
