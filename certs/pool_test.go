package certs_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

func TestPoolOfFilesAndFoldersVerifies(t *testing.T) {
	one, two, three := newAuthority(t), newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "sub.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, folder, "two.CRT", two.RootPEM())
	write(t, folder, "three.cer", three.RootPEM())
	write(t, folder, "readme.txt", []byte("no certificate"))
	write(t, folder, ".hidden.pem", []byte("no certificate"))
	pool, warnings, err := certs.LoadPool(write(t, dir, "one.pem", one.RootPEM()), folder)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	for _, a := range []*certs.Authority{one, two, three} {
		if _, err := server(t, a, "a.test").Certificate.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "a.test"}); err != nil {
			t.Error(err)
		}
	}
}

func TestMistakesWithAuthoritiesAreNamed(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	leaf := server(t, a, "a.test")
	selfSigned := sign(t, nil, nil, func(*x509.Certificate) {})
	noSign := sign(t, nil, nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCRLSign })
	evil := sign(t, nil, nil, func(c *x509.Certificate) { c.Subject.CommonName = "evil\x1b[2J\nline" })
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"empty folder", empty, []string{"holds no *.pem"}},
		{"leaf", write(t, dir, "leaf.pem", leaf.CertPEM), []string{"CN=a.test is not an authority", a.Root().Subject.CommonName}},
		{"self-signed leaf", write(t, dir, "self.pem", selfSigned.certPEM), []string{"self-signed certificate without the CA flag", certs.Pin(selfSigned.cert)}},
		{"may not sign", write(t, dir, "nosign.pem", noSign.certPEM), []string{"does not let it sign"}},
		{"key", write(t, dir, "ca.key", leaf.KeyPEM), []string{"holds a private key, not a certificate"}},
		{"DER", write(t, dir, "ca.der", a.Root().Raw), []string{"DER certificate", "openssl x509 -inform DER"}},
		{"steers the terminal", write(t, dir, "evil.pem", evil.certPEM), []string{`evil\x1b`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := certs.LoadPool(test.path)
			wantError(t, err, append(test.want, test.path)...)
		})
	}
}

func TestPoolWarnsOfWhatIsLeftOutAndOfExpiredAuthorities(t *testing.T) {
	a := newAuthority(t)
	expired := sign(t, nil, nil, func(c *x509.Certificate) {
		c.IsCA, c.Subject.CommonName = true, "old root"
		c.NotBefore, c.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-50*time.Hour)
	})
	_, warnings, err := certs.LoadPool(write(t, t.TempDir(), "mixed.pem", server(t, a, "a.test").CertPEM, a.RootPEM(), expired.certPEM))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(warnings, "\n")
	if len(warnings) != 2 || !strings.Contains(got, "certificate 1 of") || !strings.Contains(got, "CN=old root) expired 2 days ago") {
		t.Errorf("warnings %q", got)
	}
}
