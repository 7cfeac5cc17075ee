package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"tcps/certs"
)

func parseCSR(t *testing.T, csr *certs.CSR) *x509.CertificateRequest {
	t.Helper()
	request, err := x509.ParseCertificateRequest(derOf(t, csr.RequestPEM))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	return request
}

func TestCSRAsksForNamesAndUse(t *testing.T) {
	for _, keyType := range certs.KeyTypes() {
		csr, err := certs.NewCSR(certs.Request{Names: []string{"DB.example.org", "*.example.org", "203.0.113.7"}, KeyType: keyType}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := parseCSR(t, csr); got.Subject.CommonName != "db.example.org" || len(got.DNSNames) != 2 || len(got.IPAddresses) != 1 {
			t.Errorf("%s: asks for %v %v %v", keyType, got.Subject, got.DNSNames, got.IPAddresses)
		}
		d := describe(t, write(t, t.TempDir(), "a.csr", csr.RequestPEM))
		wantCodes(t, d.Requests[0].Problems)
		wantText(t, d.String(), "names:        db.example.org, *.example.org, 203.0.113.7\n", "to:           be a TLS server\n")
	}
	csr, err := certs.NewCSR(certs.Request{Names: []string{"Ann B.", "email:ann@example.org", "uri:spiffe://example.org/ann"}, Client: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := parseCSR(t, csr); got.Subject.CommonName != "Ann B." || len(got.EmailAddresses) != 1 || len(got.URIs) != 1 {
		t.Errorf("asks for %v %v %v", got.Subject, got.EmailAddresses, got.URIs)
	}
	wantText(t, describe(t, write(t, t.TempDir(), "a.csr", csr.RequestPEM)).String(), "to:           be a TLS client\n")
}

func TestCSRUsesAKeyThatIsThere(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := certs.NewCSR(certs.Request{Names: []string{"a.test"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if csr.KeyPEM != nil || !key.PublicKey.Equal(parseCSR(t, csr).PublicKey) {
		t.Error("the request is of another key")
	}
	dir := t.TempDir()
	if _, keyPath, err := csr.Write(dir, false); keyPath != "" || err != nil {
		t.Errorf("key %q, %v", keyPath, err)
	}
	wantEmpty(t, dir, "a.test.csr")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, err = certs.NewCSR(certs.Request{Names: []string{"a.test"}}, weak)
	wantError(t, err, `request certificate for "a.test": an RSA key of 1024 bits is too weak`)
}

func TestCSRRefusesWhatIsNoName(t *testing.T) {
	for _, names := range [][]string{nil, {"a..test"}, {"a.test:443"}, {"a.test", "email:a@b.test"}, {"uri:spiffe://a/b"}} {
		if _, err := certs.NewCSR(certs.Request{Names: names}, nil); err == nil {
			t.Errorf("%q is taken", names)
		}
	}
	_, err := certs.NewCSR(certs.Request{Names: []string{"ann", "ann@example.org"}, Client: true}, nil)
	wantError(t, err, "dns:, email: or uri: in front")
}

func TestCSRWritesBothFilesOrNone(t *testing.T) {
	csr, err := certs.NewCSR(certs.Request{Names: []string{"a.test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	request, key, err := csr.Write(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{request: 0o644, key: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := csr.Write(dir, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwrites: %v", err)
	}
	wantEmpty(t, dir, "a.test.csr")
	if _, _, err := csr.Write(dir, true); err != nil {
		t.Error(err)
	}
	wantEmpty(t, dir, "a.test.csr", "a.test.key")
}

func TestLoadKeyReadsWhatHoldsOneKey(t *testing.T) {
	changeit := func(string) ([]byte, error) { return []byte("changeit"), nil }
	for _, name := range []string{"pkcs8-pbkdf2.key", "pkcs8-scrypt.key", "pkcs8-pbkdf2.der", "old-aes.key", "openssl.p12", "leaf-and-key.pem"} {
		if _, err := certs.LoadKey(filepath.Join("testdata/keys", name), changeit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := certs.LoadKey("testdata/keys/pkcs8-pbkdf2.key", nil)
	if !errors.Is(err, certs.ErrPassphraseNeeded) {
		t.Errorf("error %v, want that a passphrase is needed", err)
	}
	_, err = certs.LoadKey("testdata/keys/leaf.pem", nil)
	wantError(t, err, `load key "testdata/keys/leaf.pem": the file holds a certificate, not a private key`)
	one, two := server(t, newAuthority(t), "a.test"), server(t, newAuthority(t), "b.test")
	_, err = certs.LoadKey(write(t, t.TempDir(), "two.key", one.KeyPEM, two.KeyPEM), nil)
	wantError(t, err, "2 private keys, not one")
}
