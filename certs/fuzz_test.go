package certs_test

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcps/certs"
)

// FuzzLoadCertificatePEM: whatever bytes the files hold, loading does not panic, and an error is one clean line.
func FuzzLoadCertificatePEM(f *testing.F) {
	a := newAuthority(f)
	one, other := server(f, a, "one.test"), server(f, a, "other.test")
	rsa := issue(f, a, certs.Request{Names: []string{"rsa.test"}, KeyType: certs.RSA2048})
	for _, seed := range [][2][]byte{
		{one.CertPEM, one.KeyPEM},
		{one.CertPEM, other.KeyPEM},
		{one.KeyPEM, one.CertPEM},
		{rsa.CertPEM, rsa.KeyPEM},
		{append(one.CertPEM, a.RootPEM()...), one.KeyPEM},
		{derOf(f, one.CertPEM), derOf(f, one.KeyPEM)},
		{one.CertPEM[:100], one.KeyPEM[:100]},
		{[]byte("-----BEGIN \x1b[2J-----\n-----END \x1b[2J-----\n"), []byte("-----BEGIN A-----\n-----END A-----\n")},
		{[]byte("0"), []byte("0\x82")},
		{nil, []byte("\xFF\xFE")},
	} {
		f.Add(seed[0], seed[1])
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		certPath, keyPath := write(t, dir, "c.pem", cert), write(t, dir, "c.key", key)
		for _, pair := range []certs.Pair{{Cert: certPath, Key: keyPath}, {Cert: certPath}} {
			files, err := certs.LoadFiles(pair)
			if err != nil {
				wantError(t, err, "load certificate ")
				continue
			}
			files.Warnings()
			if c := files.Leaves()[0]; strings.ContainsAny(certs.OneLine(c), "\n\x1b") {
				t.Errorf("not a clean line: %q", certs.OneLine(c))
			}
		}
		if _, _, err := certs.LoadPool(certPath); err != nil {
			wantError(t, err, "load authority ")
		}
		d, err := certs.DescribeFile(certPath, certs.DescribeOptions{})
		if err != nil {
			wantError(t, err, "describe ")
			return
		}
		if text := d.String(); strings.Contains(text, "\x1b") {
			t.Errorf("unsafe for a terminal: %q", text)
		}
		if _, err := json.Marshal(d); err != nil {
			t.Error(err)
		}
	})
}

// FuzzEncryptedKey: whatever bytes a file holds that a passphrase is given for, opening it does not panic, and an error is
// one clean line without the passphrase.
func FuzzEncryptedKey(f *testing.F) {
	seeds, err := filepath.Glob(kept("*"))
	if err != nil || len(seeds) < 20 {
		f.Fatalf("%d seeds, %v", len(seeds), err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, dir, "x.key", data)
		_, loadErr := certs.LoadFiles(certs.Pair{Cert: path, Passphrase: says("changeit")})
		_, _, poolErr := certs.LoadPool(path)
		for _, err := range []error{certs.CheckPassphrase(path, []byte("changeit")), loadErr, poolErr} {
			if err == nil {
				continue
			}
			if wantError(t, err, "x.key"); strings.Contains(err.Error(), "changeit") {
				t.Errorf("it shows the passphrase: %v", err)
			}
		}
	})
}

// FuzzRevocationList: whatever bytes a list has, reading it and judging by it does not panic, and an error is one clean line.
func FuzzRevocationList(f *testing.F) {
	h := newHierarchy(f)
	good := crl(f, h.intermediate, nil, h.leaf.cert, h.intermediate.cert)
	for _, seed := range [][]byte{
		good,
		crlPEM(good, crl(f, h.root, nil)),
		good[:len(good)/2],
		crlPEM(good)[:100],
		h.root.certPEM,
		[]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"),
		{0x30, 0x84, 0xFF},
		nil,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := certs.ParseRevocationLists("fuzz.crl", data)
		if err != nil {
			wantError(t, err)
			return
		}
		for _, l := range lists {
			if strings.ContainsAny(l.String(), "\n\x1b") {
				t.Errorf("not a clean line: %q", l)
			}
		}
		r, err := certs.LoadRevocation(certs.RevocationOptions{Lists: lists})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check([][]*x509.Certificate{h.chain}); err != nil {
			wantError(t, err, "certificate CN=")
		}
		for _, w := range r.Warnings() {
			if strings.ContainsAny(w, "\n\x1b") {
				t.Errorf("not a clean line: %q", w)
			}
		}
	})
}

// FuzzServerName: what Permits takes, a certificate can carry and the constraints of the root allow; the
// file that it is written to stays in its folder.
func FuzzServerName(f *testing.F) {
	for _, seed := range []string{
		"localhost", "*.a.test", "box", "a.box", "127.0.0.1", "::1", "fe80::1%x", "example.com", "a..test", "xn--a.test", "A_b.test.",
		"email:a@b.test", "email:a@@b.test", "uri:spiffe://a.local/x", "uri:https://[::1]/", "uri:urn:x", "uri:http://a.test:99999/", "dns:a.test", "[::1]", "0x7f.1", "1.test", "",
	} {
		f.Add(seed)
	}
	a := newAuthority(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, name string) {
		permitted := a.Permits(name)
		if permitted != nil {
			wantError(t, permitted)
		}
		var issued *certs.Issued
		var err error
		if strings.HasPrefix(name, "email:") || strings.HasPrefix(name, "uri:") || strings.HasPrefix(name, "dns:") {
			issued, err = a.Issue(certs.Request{Names: []string{"client", name}, Client: true})
		} else {
			issued, err = a.Issue(certs.Request{Names: []string{name}})
		}
		if (err == nil) != (permitted == nil) {
			t.Fatalf("%q: Permits says %v, Issue says %v", name, permitted, err)
		}
		if err != nil {
			wantError(t, err)
			return
		}
		if _, err := issued.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		certPath, keyPath, err := issued.Write(dir, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{certPath, keyPath} {
			if filepath.Dir(path) != dir {
				t.Errorf("%q was written to %q", name, path)
			}
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
	})
}
