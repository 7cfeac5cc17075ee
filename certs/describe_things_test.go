package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

// Each thing that can be wrong with a certificate has its own word.
func TestDescribeFindsWhatIsWrongWithACertificate(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	a, key := authorityWithKey(t)
	ok := func(c *x509.Certificate) {
		c.DNSNames = []string{"a.test"}
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, test := range []struct {
		name   string
		change func(*x509.Certificate)
		code   string
	}{
		{"expired", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.Add(-time.Hour), c.NotAfter.Add(-2*time.Hour)
		}, "expired"},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "not-yet-valid"},
		{"near its end", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-100 * time.Hour) }, "expires-soon"},
		{"no SAN", func(c *x509.Certificate) { c.DNSNames = nil }, "no-san"},
		{"of no TLS use", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, "wrong-usage"},
		{"not for handshakes", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, "wrong-usage"},
		{"an authority that may not sign", func(c *x509.Certificate) { c.IsCA = true }, "wrong-usage"},
		{"unknown and critical", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "critical-extension"},
	} {
		t.Run(test.name, func(t *testing.T) {
			made := sign(t, a.Root(), key, func(c *x509.Certificate) { ok(c); test.change(c) })
			d := describe(t, write(t, t.TempDir(), "c.pem", made.certPEM))
			wantCodes(t, d.Certificates[0].Problems, test.code)
			wantText(t, d.String(), "\nproblem:      "+d.Certificates[0].Problems[0].Text+"\n")
		})
	}
	good := sign(t, a.Root(), key, ok)
	wantCodes(t, describe(t, write(t, t.TempDir(), "c.pem", good.certPEM)).Certificates[0].Problems)

	template := &x509.Certificate{Subject: pkix.Name{CommonName: "weak"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: x509.SHA256WithRSA}
	ok(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, weak.Public(), weak)
	if err != nil {
		t.Fatal(err)
	}
	wantCodes(t, describe(t, write(t, t.TempDir(), "c.der", der)).Certificates[0].Problems, "weak-key")
}

// A chain of three: its order, its gaps, what does not belong to it, and the key.
func TestDescribeJudgesTheChain(t *testing.T) {
	a, rootKey := authorityWithKey(t)
	intermediate := sign(t, a.Root(), rootKey, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "between", true, x509.KeyUsageCertSign
	})
	leaf := sign(t, intermediate.cert, intermediate.key, func(c *x509.Certificate) {
		c.DNSNames = []string{"a.test"}
		c.IssuingCertificateURL = []string{"http://ca.test/between.crt"}
	})
	stranger := server(t, a, "b.test")
	for _, test := range []struct {
		name     string
		parts    [][]byte
		complete bool
		codes    []string
	}{
		{"whole", [][]byte{leaf.certPEM, intermediate.certPEM, a.RootPEM()}, true, nil},
		{"without the root", [][]byte{leaf.certPEM, intermediate.certPEM}, true, nil},
		{"without the intermediate", [][]byte{leaf.certPEM}, false, []string{"chain-incomplete"}},
		{"root first", [][]byte{a.RootPEM(), intermediate.certPEM, leaf.certPEM}, true, []string{"chain-order"}},
		{"exchanged", [][]byte{leaf.certPEM, a.RootPEM(), intermediate.certPEM}, true, []string{"chain-order"}},
		{"a stranger in it", [][]byte{leaf.certPEM, stranger.CertPEM, intermediate.certPEM}, true, []string{"chain-order", "chain-stray"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := certs.DescribeFile(write(t, t.TempDir(), "c.pem", test.parts...), certs.DescribeOptions{Roots: a.Pool()})
			if err != nil {
				t.Fatal(err)
			}
			if d.Chain == nil || d.Chain.Complete != test.complete {
				t.Fatalf("chain %+v, want complete: %v", d.Chain, test.complete)
			}
			wantCodes(t, d.Chain.Problems, test.codes...)
		})
	}
	d := describe(t, write(t, t.TempDir(), "c.pem", leaf.certPEM, intermediate.certPEM))
	wantText(t, d.String(), "chain:        ends with CN=between; clients need to have the certificate of "+a.Root().Subject.String())
	if d := describe(t, write(t, t.TempDir(), "c.pem", a.RootPEM(), intermediate.certPEM)); d.Chain != nil {
		t.Errorf("authorities alone are a chain: %+v", d.Chain)
	}

	d = describe(t, write(t, t.TempDir(), "c.pem", leaf.certPEM, intermediate.certPEM, leaf.keyPEM))
	wantCodes(t, d.Keys[0].Problems)
	for _, other := range []made{intermediate, sign(t, nil, nil, func(*x509.Certificate) {})} {
		d = describe(t, write(t, t.TempDir(), "c.pem", leaf.certPEM, intermediate.certPEM, other.keyPEM))
		wantCodes(t, d.Keys[0].Problems, "key-mismatch")
		wantText(t, d.String(), "it does not belong to the first certificate of the file")
	}
}

func TestDescribeSigningRequests(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := func(template x509.CertificateRequest) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	named := request(x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"}, EmailAddresses: []string{"me@a.test"}})
	d := describe(t, write(t, t.TempDir(), "a.csr", pemBlock("CERTIFICATE REQUEST", named)))
	wantText(t, d.String(), "request:      for a certificate (CSR)\nsubject:      CN=a.test\nnames:        a.test, email:me@a.test\nkey:          ECDSA P-256\n")
	wantCodes(t, d.Requests[0].Problems)

	wantCodes(t, describe(t, write(t, t.TempDir(), "a.csr", request(x509.CertificateRequest{}))).Requests[0].Problems, "no-names")
	forged := append([]byte(nil), named...)
	forged[len(forged)-1] ^= 1
	wantCodes(t, describe(t, write(t, t.TempDir(), "a.csr", forged)).Requests[0].Problems, "csr-signature")
}

// revocationList makes a list as change leaves the template.
func revocationList(t testing.TB, issuer *x509.Certificate, key crypto.Signer, change func(*x509.RevocationList)) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	change(template)
	der, err := x509.CreateRevocationList(rand.Reader, template, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestDescribeRevocationLists(t *testing.T) {
	a, key := authorityWithKey(t)
	impostor := sign(t, nil, nil, func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.KeyUsage, c.SubjectKeyId = a.Root().Subject, true, x509.KeyUsageCRLSign, a.Root().SubjectKeyId
	})
	list := func(change func(*x509.RevocationList)) *certs.Description {
		path := write(t, t.TempDir(), "a.crl", pemBlock("X509 CRL", revocationList(t, a.Root(), key, change)))
		d, err := certs.DescribeFile(path, certs.DescribeOptions{Authorities: []*x509.Certificate{a.Root()}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	good := list(func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(0xabc), RevocationTime: time.Unix(1e9, 0), ReasonCode: 1}}
	})
	wantCodes(t, good.RevocationLists[0].Problems)
	wantText(t, good.String(), "number:       7\n", "verified by the authority "+certs.Fingerprint(a.Root()), "revoked:      1\nserial:       abc, 2001-09-09T01:46:40Z, keyCompromise\n")

	stale := list(func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	wantCodes(t, stale.RevocationLists[0].Problems, "expired")
	delta := list(func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	})
	wantCodes(t, delta.RevocationLists[0].Problems, "critical-extension")
	wantText(t, delta.String(), "a delta list")

	forged := describe(t, write(t, t.TempDir(), "a.pem", a.RootPEM(),
		pemBlock("X509 CRL", revocationList(t, impostor.cert, impostor.key, func(*x509.RevocationList) {}))))
	wantCodes(t, forged.RevocationLists[0].Problems, "crl-signature")
	if forged.RevocationLists[0].SignedBy != "" {
		t.Error("a forged list is said to be signed")
	}
}

// What is printed of a list does not grow with it.
func TestDescribeOfAnEnormousListIsShort(t *testing.T) {
	a, key := authorityWithKey(t)
	der := revocationList(t, a.Root(), key, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = make([]x509.RevocationListEntry, 100_000)
		for i := range l.RevokedCertificateEntries {
			l.RevokedCertificateEntries[i] = x509.RevocationListEntry{SerialNumber: big.NewInt(int64(i + 1)), RevocationTime: time.Unix(1e9, 0)}
		}
	})
	d := describe(t, write(t, t.TempDir(), "a.crl", pemBlock("X509 CRL", der)))
	wantText(t, d.String(), "revoked:      100000\n", "more:         99990 serial numbers")
	asJSON, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(d.String(), "\n"); lines > 20 || len(asJSON) > 4000 {
		t.Errorf("%d lines, %d bytes of JSON", lines, len(asJSON))
	}
}

// The names in JSON are a promise: programs read them.
func TestDescriptionsHaveStableNamesInJSON(t *testing.T) {
	a := newAuthority(t)
	one := server(t, a, "one.test")
	d := describe(t, write(t, t.TempDir(), "one.pem", one.CertPEM, one.KeyPEM))
	d.File = "one.pem"
	got, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	leaf := one.Certificate.Leaf
	want := `{
  "file": "one.pem",
  "format": "PEM",
  "certificates": [
    {
      "kind": "server",
      "self_signed": false,
      "subject": "CN=one.test",
      "names": [
        "one.test"
      ],
      "issuer": "` + a.Root().Subject.String() + `",
      "serial": "` + leaf.SerialNumber.Text(16) + `",
      "not_before": "` + leaf.NotBefore.Format(time.RFC3339) + `",
      "not_after": "` + leaf.NotAfter.Format(time.RFC3339) + `",
      "key": "ECDSA P-256",
      "signature": "ECDSA-SHA256",
      "usages": [
        "digitalSignature",
        "serverAuth"
      ],
      "sha256": "` + certs.Fingerprint(leaf) + `",
      "pin": "` + certs.Pin(leaf) + `"
    }
  ],
  "chain": {
    "path": [
      1
    ],
    "complete": false,
    "missing": "` + a.Root().Subject.String() + `"
  },
  "keys": [
    {
      "type": "ECDSA P-256",
      "pin": "` + certs.Pin(leaf) + `",
      "certificate": 1
    }
  ]
}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// How a key is encrypted is told without its passphrase; OpenSSL made the files.
func TestDescribeSaysHowAKeyIsEncrypted(t *testing.T) {
	dir := t.TempDir()
	one := server(t, newAuthority(t), "one.test")
	plain := write(t, dir, "plain.key", one.KeyPEM)
	for _, test := range []struct {
		name, want string
		weak       bool
		args       []string
	}{
		{"pbkdf2", "AES-256-CBC, PBKDF2 with HMAC-SHA-256 in 2048 rounds", false, []string{"pkcs8", "-topk8", "-v2", "aes-256-cbc"}},
		{"scrypt", "AES-256-CBC, scrypt with N=16384, r=8, p=1", false, []string{"pkcs8", "-topk8", "-scrypt"}},
		{"3des", "DES-EDE3-CBC, PBKDF2 with HMAC-SHA-1 in 5000 rounds", false, []string{"pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA1", "-iter", "5000"}},
		{"old", "DES-EDE3-CBC, PBE with SHA-1 in 2048 rounds", true, []string{"pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"}},
		{"pem", "AES-128-CBC, MD5 in a single round", true, []string{"ec", "-aes128"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, test.name+".key")
			args := append(test.args, "-in", plain, "-out", path, "-passout", "pass:secret")
			if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d := describe(t, path)
			wantText(t, d.String(), "private key:  encrypted: "+test.want+"\n")
			if d.Keys[0].Encryption.Weak != test.weak || d.Keys[0].Pin != "" {
				t.Errorf("%+v", d.Keys[0])
			}
			if test.weak {
				wantCodes(t, d.Keys[0].Problems, "weak-encryption")
			}
			if test.name == "old" { // too old to be opened
				return
			}
			d, err := certs.DescribeFile(path, certs.DescribeOptions{Passphrase: func(string) ([]byte, error) { return []byte("secret"), nil }})
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, d.String(), "private key:  ECDSA P-256, encrypted: "+test.want+"\npin:          "+certs.Pin(one.Certificate.Leaf)+"\n")
			_, err = certs.DescribeFile(path, certs.DescribeOptions{Passphrase: func(string) ([]byte, error) { return []byte("wrong"), nil }})
			if !errors.Is(err, certs.ErrWrongPassphrase) {
				t.Errorf("error %v, want that the passphrase is wrong", err)
			}
		})
	}
}
