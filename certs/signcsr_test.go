package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"

	"tcps/certs"
)

func request(t *testing.T, key any, template x509.CertificateRequest) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestSignCSRSignsTheKeyOfTheRequestForItsNames(t *testing.T) {
	a := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := request(t, key, x509.CertificateRequest{DNSNames: []string{"db.test"}})
	issued, err := a.SignCSR(csr, certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	leaf := issued.Certificate.Leaf
	if !key.PublicKey.Equal(leaf.PublicKey) || issued.KeyPEM != nil {
		t.Error("the certificate is for another key than the request's")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: "db.test"}); err != nil {
		t.Error(err)
	}
	csr = request(t, key, x509.CertificateRequest{Subject: pkix.Name{CommonName: "alice"}, EmailAddresses: []string{"alice@box"}})
	issued, err = a.SignCSR(csr, certs.Request{Client: true})
	if err != nil || issued.Certificate.Leaf.Subject.CommonName != "alice" || issued.Certificate.Leaf.EmailAddresses[0] != "alice@box" {
		t.Errorf("a client's request: %+v, %v", issued, err)
	}
}

func TestSignCSRRefuses(t *testing.T) {
	a := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	forged := request(t, key, x509.CertificateRequest{DNSNames: []string{"db.test"}})
	forged.Signature[len(forged.Signature)-1] ^= 1
	for want, csr := range map[string]*x509.CertificateRequest{
		"outside":   request(t, key, x509.CertificateRequest{DNSNames: []string{"example.com"}}),
		"no altern": request(t, key, x509.CertificateRequest{Subject: pkix.Name{CommonName: "db.test"}}),
		"too weak":  request(t, weak, x509.CertificateRequest{DNSNames: []string{"db.test"}}),
		"P-224":     request(t, p224, x509.CertificateRequest{DNSNames: []string{"db.test"}}),
		"signature": forged,
	} {
		if _, err := a.SignCSR(csr, certs.Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
