package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"
	"time"
)

// A chain of many certificates of one name costs no more than a bound: what lies
// behind it is not followed.
func TestThePathThroughCertificatesOfOneNameIsBounded(t *testing.T) {
	newCA := func() (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	ca, key := newCA()
	impostor, _ := newCA()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2)}, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for impostors, want := range map[int]int{maxPathChecks - 1: 2, maxPathChecks: 1, 5000: 1} {
		chain := append([]*x509.Certificate{leaf}, slices.Repeat([]*x509.Certificate{impostor}, impostors)...)
		if path := pathFrom(0, append(chain, ca)); len(path) != want {
			t.Errorf("with %d impostors before its issuer the path has %d certificates, want %d", impostors, len(path), want)
		}
	}
}
