package certs_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

func TestFilesLoadEveryEncodingOfAKey(t *testing.T) {
	a, rootKey := authorityWithKey(t)
	ec := sign(t, a.Root(), rootKey, func(c *x509.Certificate) { c.DNSNames = []string{"ec.test"} })
	sec1, err := x509.MarshalECPrivateKey(ec.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := newRSAKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: "rsa.test"}}, a.Root(), rsaKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pemBlock("CERTIFICATE", der)
	ed := issue(t, a, certs.Request{Names: []string{"ed.test"}, KeyType: certs.Ed25519})
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		pair certs.Pair
	}{
		{"PKCS#8", certs.Pair{Cert: write(t, dir, "1.pem", ec.certPEM), Key: write(t, dir, "1.key", ec.keyPEM)}},
		{"SEC1 after its parameters", certs.Pair{Cert: write(t, dir, "2.pem", ec.certPEM), Key: write(t, dir, "2.key", pemBlock("EC PARAMETERS", []byte{6, 0}), pemBlock("EC PRIVATE KEY", sec1))}},
		{"PKCS#1", certs.Pair{Cert: write(t, dir, "3.pem", rsaPEM), Key: write(t, dir, "3.key", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)))}},
		{"DER", certs.Pair{Cert: write(t, dir, "9.pem", ec.certPEM), Key: write(t, dir, "9.key", sec1)}},
		{"Ed25519", certs.Pair{Cert: write(t, dir, "4.pem", ed.CertPEM), Key: write(t, dir, "4.key", ed.KeyPEM)}},
		{"key in the certificate file", certs.Pair{Cert: write(t, dir, "5.pem", ec.certPEM, ec.keyPEM)}},
		{"key before the certificate", certs.Pair{Cert: write(t, dir, "6.pem", ec.keyPEM, ec.certPEM)}},
		{"chain", certs.Pair{Cert: write(t, dir, "7.pem", ec.certPEM, a.RootPEM()), Key: write(t, dir, "7.key", ec.keyPEM)}},
		{"text around, line ends of Windows, byte order mark", certs.Pair{
			Cert: write(t, dir, "8.pem", []byte("\xEF\xBB\xBF"), []byte(strings.ReplaceAll(string(ec.certPEM), "\n", "\r\n")), []byte("some text\r\n"), ec.keyPEM),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := certs.LoadFiles(test.pair)
			if err != nil {
				t.Fatal(err)
			}
			if c, _ := presented(t, f, &tls.Config{}, nil); !c.Equal(f.Leaves()[0]) {
				t.Errorf("presented %v", c.Subject)
			}
		})
	}
}

func TestMistakesInCertificateFilesAreNamed(t *testing.T) {
	a, rootKey := authorityWithKey(t)
	dir := t.TempDir()
	one, other := server(t, a, "one.test"), server(t, a, "other.test")
	intermediate := sign(t, a.Root(), rootKey, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "intermediate", true, x509.KeyUsageCertSign
	})
	leaf := sign(t, intermediate.cert, intermediate.key, func(c *x509.Certificate) { c.DNSNames = []string{"one.test"} })
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(leaf.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good, goodKey := write(t, dir, "one.pem", one.CertPEM), write(t, dir, "one.key", one.KeyPEM)
	for _, test := range []struct {
		name string
		cert string
		key  string
		want []string
	}{
		{"key of another certificate", good, write(t, dir, "other.key", other.KeyPEM), []string{`other.key" belongs to another certificate`}},
		{"exchanged", goodKey, good, []string{"exchanged", `one.pem" is the certificate`}},
		{"no key", good, "", []string{"no key file is given"}},
		{"certificate as key", good, write(t, dir, "cert.key", other.CertPEM), []string{"cert.key", "holds a certificate, not a private key"}},
		{"key as certificate", goodKey, "", []string{"holds a private key, not a certificate"}},
		{"text", write(t, dir, "text.pem", []byte("hello")), goodKey, []string{"not a PEM file", "-----BEGIN"}},
		{"UTF-16", write(t, dir, "utf16.pem", []byte("\xFF\xFE-\x00")), goodKey, []string{"UTF-16", "iconv"}},
		{"DER certificate", write(t, dir, "der.crt", derOf(t, one.CertPEM)), goodKey, []string{"DER certificate", "openssl x509 -inform DER -in", "der.crt"}},
		{"DER key as certificate", write(t, dir, "der.key", derOf(t, one.KeyPEM)), "", []string{"DER private key", "openssl pkey -inform DER -in"}},
		{"DER request", write(t, dir, "der.csr", request), goodKey, []string{"signing request (CSR)"}},
		{"PKCS#12", write(t, dir, "store.p12", []byte("\x30\x82\x09\x00\x02\x01\x03\x30\x82\x08\x00")), goodKey, []string{"PKCS#12", "openssl pkcs12 -in"}},
		{"PKCS#7", write(t, dir, "chain.p7b", []byte("\x30\x82\x09\x00\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02\xA0")), goodKey, []string{"PKCS#7", "openssl pkcs7 -inform DER"}},
		{"Java key store", write(t, dir, "store.jks", []byte("\xFE\xED\xFE\xED\x00")), goodKey, []string{"Java key store", "keytool"}},
		{"request", write(t, dir, "one.csr", pemBlock("CERTIFICATE REQUEST", request)), goodKey, []string{"signing request (CSR), not a certificate"}},
		{"public key as certificate", write(t, dir, "one.pub", pemBlock("PUBLIC KEY", public)), goodKey, []string{"a public key, not a certificate"}},
		{"public key as key", good, write(t, dir, "two.pub", pemBlock("PUBLIC KEY", public)), []string{"a public key, not a private key"}},
		{"encrypted PKCS#8", good, filepath.Join("testdata", "keys", "pkcs8-pbkdf2.key"), []string{"the private key is encrypted", "set Passphrase of the Pair"}},
		{"encrypted in the old way", good, filepath.Join("testdata", "keys", "old-aes.key"), []string{"the private key is encrypted", "set Passphrase of the Pair"}},
		{"encrypted in a way that is too old", good, filepath.Join("testdata", "keys", "pkcs8-pbes1.key"), []string{"not PBES2", "openssl pkcs8 -topk8"}},
		{"encrypted and damaged", good, write(t, dir, "enc8.key", pemBlock("ENCRYPTED PRIVATE KEY", []byte{1})), []string{"enc8.key", "PEM block 1", "not an encrypted PKCS#8 key"}},
		{"encrypted as certificate", filepath.Join("testdata", "keys", "old-aes.key"), "", []string{"holds a private key, not a certificate"}},
		{"OpenSSH key", good, write(t, dir, "ssh.key", pemBlock("OPENSSH PRIVATE KEY", []byte{1})), []string{"OpenSSH", "ssh-keygen"}},
		{"OpenSSL's trusted form", write(t, dir, "trusted.pem", pemBlock("TRUSTED CERTIFICATE", []byte{1})), goodKey, []string{"OpenSSL's own form", "openssl x509 -in"}},
		{"empty", write(t, dir, "empty.pem", []byte(" \n")), goodKey, []string{"empty"}},
		{"empty key", good, write(t, dir, "empty.key"), []string{"empty.key", "empty"}},
		{"folder", dir, goodKey, []string{"folder"}},
		{"folder as key", good, dir, []string{"folder"}},
		{"endless", "/dev/zero", goodKey, []string{"larger than 1048576 bytes"}},
		{"cut off", write(t, dir, "cut.pem", one.CertPEM[:len(one.CertPEM)/2]), goodKey, []string{"damaged or cut off"}},
		{"chain cut off", write(t, dir, "cutchain.pem", leaf.certPEM, intermediate.certPEM[:100]), goodKey, []string{"1 of 2 PEM blocks are damaged"}},
		{"damaged inside", write(t, dir, "damaged.pem", pemBlock("CERTIFICATE", []byte{0x30, 0})), goodKey, []string{"certificate in PEM block 1 is damaged"}},
		{"chain in the wrong order", write(t, dir, "order.pem", intermediate.certPEM, leaf.certPEM), write(t, dir, "order.key", leaf.keyPEM), []string{"wrong order", "certificate 2 of the file"}},
		{"chain begins with the authority", write(t, dir, "order2.pem", intermediate.certPEM, leaf.certPEM), write(t, dir, "order2.key", intermediate.keyPEM), []string{"wrong order", "must be the first"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := certs.LoadFiles(certs.Pair{Cert: test.cert, Key: test.key})
			wantError(t, err, append(test.want, `load certificate "`+test.cert+`": `)...)
		})
	}
}

func TestMissingAndUnreadableFilesAreFoundByErrorsIs(t *testing.T) {
	dir := t.TempDir()
	good := write(t, dir, "one.pem", server(t, newAuthority(t), "one.test").CertPEM)
	missing := filepath.Join(dir, "missing.pem")
	for _, pair := range []certs.Pair{{Cert: missing}, {Cert: good, Key: missing}} {
		if _, err := certs.LoadFiles(pair); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), missing) != 1 {
			t.Errorf("%+v: %v", pair, err)
		}
	}
	if _, _, err := certs.LoadPool(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pool: %v", err)
	}
	if os.Geteuid() == 0 {
		return // permissions do not stop root, so only others can prove the next
	}
	if err := os.Chmod(good, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.LoadFiles(certs.Pair{Cert: good}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("unreadable: %v", err)
	}
}

// aged makes a pair of files whose certificate is valid from and until these times from now.
func aged(t *testing.T, dir string, from, until time.Duration) certs.Pair {
	m := sign(t, nil, nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(until)
	})
	return certs.Pair{Cert: write(t, dir, "aged.pem", m.certPEM), Key: write(t, dir, "aged.key", m.keyPEM)}
}

func TestCertificatesOutOfTheirTimeLoadWithAWarning(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name        string
		from, until time.Duration
		want        string
	}{
		{"expired", -9 * day, -3*day - time.Minute, "expired 3 days ago, at 20"},
		{"not yet valid", 5*time.Hour + time.Minute, 9 * day, "not valid yet: it begins in 5 hours, at 20"},
		{"last tenth", -95 * day, 5*day + time.Minute, "expires in 5 days, at 20"},
		{"fine", -day, 9 * day, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := certs.LoadFiles(aged(t, t.TempDir(), test.from, test.until))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(f.Warnings(), "\n")
			if !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("warnings %q, want %q", got, test.want)
			}
		})
	}
}

func TestAGapInTheChainIsWarnedOf(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	one := server(t, a, "one.test")
	f, err := certs.LoadFiles(certs.Pair{Cert: write(t, t.TempDir(), "one.pem", one.CertPEM, b.RootPEM(), one.KeyPEM)})
	if err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings(); len(w) != 1 || !strings.Contains(w[0], "certificate 2 of the chain") {
		t.Errorf("warnings %q", w)
	}
}

func TestReloadTakesTheNewFilesAndLeavesTheOldValue(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	old, fresh := server(t, a, "old.test"), server(t, a, "fresh.test")
	pair := certs.Pair{Cert: write(t, dir, "c.pem", old.CertPEM), Key: write(t, dir, "c.key", old.KeyPEM)}
	f, err := certs.LoadFiles(pair)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "c.pem", fresh.CertPEM)
	if _, err := f.Reload(); err == nil {
		t.Error("a certificate with the key of another one was loaded")
	}
	write(t, dir, "c.key", fresh.KeyPEM)
	next, err := f.Reload()
	if err != nil {
		t.Fatal(err)
	}
	if f.Leaves()[0].DNSNames[0] != "old.test" || next.Leaves()[0].DNSNames[0] != "fresh.test" {
		t.Errorf("old value has %q, new one %q", f.Leaves()[0].DNSNames, next.Leaves()[0].DNSNames)
	}
	if want := []string{pair.Cert, pair.Key}; !slices.Equal(next.Paths(), want) {
		t.Errorf("paths %q, want %q", next.Paths(), want)
	}
}

func TestReloadRefusesAnExpiredCertificateOnlyWhileTheCurrentOneIsValid(t *testing.T) {
	dir := t.TempDir()
	valid, err := certs.LoadFiles(aged(t, dir, -time.Hour, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	expired, err := certs.LoadFiles(aged(t, dir, -2*time.Hour, -time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	aged(t, dir, -3*time.Hour, -time.Minute)
	_, err = valid.Reload()
	wantError(t, err, "expired", "current one is valid until")
	if _, err = expired.Reload(); err != nil {
		t.Errorf("expired after expired: %v", err)
	}
	aged(t, dir, time.Hour, 2*time.Hour)
	if _, err = valid.Reload(); err != nil {
		t.Errorf("one that is not valid yet: %v", err)
	}
}

func TestFilesPresentAClientsCertificate(t *testing.T) {
	a := newAuthority(t)
	ann := issue(t, a, certs.Request{Names: []string{"ann"}, Client: true})
	f, err := certs.LoadFiles(certs.Pair{Cert: write(t, t.TempDir(), "ann.pem", ann.CertPEM, ann.KeyPEM)})
	if err != nil {
		t.Fatal(err)
	}
	_, c := presented(t, certs.Static(server(t, a, "localhost").Certificate), &tls.Config{GetClientCertificate: f.ClientCertificate},
		func(s *tls.Config) { s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool() })
	if c == nil || c.Subject.CommonName != "ann" {
		t.Errorf("presented %v", c)
	}
}
