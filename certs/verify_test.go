package certs_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

func TestVerifyFindsTheChainOrSaysWhatIsWrong(t *testing.T) {
	a, rootKey := authorityWithKey(t)
	between := sign(t, a.Root(), rootKey, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "between", true, x509.KeyUsageCertSign
		c.NotAfter = time.Now().Add(30 * time.Minute)
	})
	namesake := sign(t, a.Root(), rootKey, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "between", true, x509.KeyUsageCertSign
	})
	leaf := sign(t, between.cert, between.key, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"a.test"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	outside := sign(t, a.Root(), rootKey, func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} })
	alone := sign(t, nil, nil, func(c *x509.Certificate) { c.DNSNames = []string{"a.test"} })
	whole := []*x509.Certificate{leaf.cert, between.cert}
	rootName := a.Root().Subject.String()
	for _, test := range []struct {
		name    string
		chain   []*x509.Certificate
		options certs.VerifyOptions
		reason  certs.Reason // "": good
		text    string
	}{
		{"good", whole, certs.VerifyOptions{Roots: a.Pool(), Name: "a.test", Usage: certs.UsageServer}, "", ""},
		{"good with its root", append(whole, a.Root()), certs.VerifyOptions{Roots: a.Pool()}, "", ""},
		{"the root itself", []*x509.Certificate{a.Root()}, certs.VerifyOptions{Roots: a.Pool()}, "", ""},
		{"another name", whole, certs.VerifyOptions{Roots: a.Pool(), Name: "b.test"}, "name", `it is for a.test, not for "b.test"`},
		{"another use", whole, certs.VerifyOptions{Roots: a.Pool(), Usage: certs.UsageClient}, "wrong-usage", "does not let it be a TLS client"},
		{"expired", whole, certs.VerifyOptions{Roots: a.Pool(), At: leaf.cert.NotAfter.Add(72 * time.Hour)}, "expired", "it expired 3 days ago"},
		{"not yet valid", whole, certs.VerifyOptions{Roots: a.Pool(), At: leaf.cert.NotBefore.Add(-72 * time.Hour)}, "not-yet-valid", "it is not valid yet: it begins in 3 days"},
		{"expired between", whole, certs.VerifyOptions{Roots: a.Pool(), At: between.cert.NotAfter.Add(2 * time.Minute)}, "expired", "the certificate of its authority CN=between expired 2 minutes ago"},
		{"expired root", []*x509.Certificate{longer(t, a, rootKey)}, certs.VerifyOptions{Roots: a.Pool(), At: a.Root().NotAfter.Add(time.Hour)}, "expired", "the certificate of its authority " + rootName + " expired"},
		{"gap", whole[:1], certs.VerifyOptions{Roots: a.Pool()}, "untrusted", "it was issued by CN=between, whose certificate is neither in the chain"},
		{"unknown root", whole, certs.VerifyOptions{Roots: x509.NewCertPool()}, "untrusted", "CN=between was issued by " + rootName + ", whose certificate is neither"},
		{"unknown root in the chain", append(whole, a.Root()), certs.VerifyOptions{Roots: x509.NewCertPool()}, "untrusted", "ends with the root " + rootName},
		{"namesake", []*x509.Certificate{leaf.cert, namesake.cert}, certs.VerifyOptions{Roots: a.Pool()}, "untrusted", "of that name in the chain has another key"},
		{"self-signed", []*x509.Certificate{alone.cert}, certs.VerifyOptions{Roots: a.Pool()}, "untrusted", "it is self-signed"},
		{"outside of the root's names", []*x509.Certificate{outside.cert}, certs.VerifyOptions{Roots: a.Pool()}, "untrusted", "example.org"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := certs.Verify(test.chain, test.options)
			wantSameFault(t, test.chain, test.options, err)
			if test.reason == "" {
				if err != nil || !found[len(found)-1].Equal(a.Root()) || !found[0].Equal(test.chain[0]) {
					t.Errorf("%v, chain of %d", err, len(found))
				}
				return
			}
			wantError(t, err, test.text)
			refused, ok := errors.AsType[*certs.VerifyError](err)
			if !ok || refused.Reason != test.reason {
				t.Errorf("%#v, want the reason %s", err, test.reason)
			}
		})
	}
	if refused, ok := errors.AsType[*certs.VerifyError](verifyError(whole[:1], a)); !ok || !refused.Missing || !refused.Last.Equal(leaf.cert) {
		t.Errorf("%+v: it does not say what is missing", refused)
	}
}

// wantSameFault checks that Faults says what Verify does, where one thing is wrong.
func wantSameFault(t *testing.T, chain []*x509.Certificate, o certs.VerifyOptions, err error) {
	t.Helper()
	path, faults := certs.Faults(chain, o)
	switch {
	case err == nil && len(faults) == 0 && path[0].Equal(chain[0]):
	case err != nil && len(faults) == 1 && faults[0].Error() == err.Error():
	default:
		t.Errorf("faults %v, and Verify says %v", faults, err)
	}
}

func TestFaultsNamesAllThatIsWrong(t *testing.T) {
	h := newHierarchy(t)
	bad := sign(t, h.intermediate.cert, h.intermediate.key, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"a.test"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		c.NotAfter = time.Now().Add(-time.Second)
	})
	_, faults := certs.Faults([]*x509.Certificate{bad.cert}, certs.VerifyOptions{Roots: x509.NewCertPool(), Name: "b.test", Usage: certs.UsageServer})
	var reasons []string
	for _, f := range faults {
		reasons = append(reasons, string(f.Reason))
	}
	if got := strings.Join(reasons, " "); got != "untrusted wrong-usage name expired" {
		t.Errorf("found %q: %v", got, faults)
	}
}

// A root that was made after a certificate of its key vouches for it all the same:
// only its time is over.
func TestFaultsTellsTimeFromTrust(t *testing.T) {
	a, key := authorityWithKey(t)
	old := sign(t, a.Root(), key, func(c *x509.Certificate) {
		c.DNSNames = []string{"a.test"}
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	})
	_, faults := certs.Faults([]*x509.Certificate{old.cert}, certs.VerifyOptions{Roots: a.Pool()})
	if len(faults) != 1 || faults[0].Reason != "expired" {
		t.Errorf("found %v, want only that it expired", faults)
	}
}

func TestDescribePresentedSaysWhatAServerShouldSendOtherwise(t *testing.T) {
	h := newHierarchy(t)
	pool := x509.NewCertPool()
	pool.AddCert(h.root.cert)
	leaf, between, root := h.leaf.cert, h.intermediate.cert, h.root.cert
	for name, c := range map[string]struct {
		chain    []*x509.Certificate
		codes    []string
		complete bool
	}{
		"whole":       {[]*x509.Certificate{leaf, between}, nil, true},
		"its root":    {[]*x509.Certificate{leaf, between, root}, []string{"chain-root"}, true},
		"disorder":    {[]*x509.Certificate{leaf, root, between}, []string{"chain-order", "chain-root"}, true},
		"gap":         {[]*x509.Certificate{leaf}, nil, false},
		"stray":       {[]*x509.Certificate{leaf, between, newHierarchy(t).leaf.cert}, []string{"chain-stray"}, true},
		"an issuer's": {[]*x509.Certificate{root}, nil, true},
	} {
		d := certs.DescribePresented(c.chain, pool, time.Now())
		if d.Complete != c.complete {
			t.Errorf("%s: complete is %v", name, d.Complete)
		}
		wantCodes(t, d.Problems, c.codes...)
	}
}

// longer makes a certificate that outlives its root.
func longer(t *testing.T, a *certs.Authority, key crypto.Signer) *x509.Certificate {
	return sign(t, a.Root(), key, func(c *x509.Certificate) {
		c.DNSNames, c.NotAfter = []string{"a.test"}, a.Root().NotAfter.Add(1000*time.Hour)
	}).cert
}

func verifyError(chain []*x509.Certificate, a *certs.Authority) error {
	_, err := certs.Verify(chain, certs.VerifyOptions{Roots: a.Pool()})
	return err
}

func TestLoadChainReadsPEMAndDERAndPKCS12(t *testing.T) {
	a := newAuthority(t)
	one := server(t, a, "one.test")
	dir := t.TempDir()
	for name, parts := range map[string][][]byte{"both.pem": {one.CertPEM, a.RootPEM(), one.KeyPEM}, "both.der": {one.Certificate.Leaf.Raw, a.Root().Raw}} {
		chain, err := certs.LoadChain(write(t, dir, name, parts...), nil)
		if err != nil || len(chain) != 2 || !chain[0].Equal(one.Certificate.Leaf) {
			t.Errorf("%s: %d certificates, %v", name, len(chain), err)
		}
	}
	chain, err := certs.ReadChain("it", strings.NewReader(string(one.CertPEM)), nil)
	if err != nil || len(chain) != 1 {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
	_, err = certs.LoadChain(write(t, dir, "one.key", one.KeyPEM), nil)
	wantError(t, err, "load certificate ", "the file holds a private key, not a certificate")
	_, err = certs.ReadChain("it", strings.NewReader("hello"), nil)
	wantError(t, err, `load certificate "it": not a PEM file`)
	_, err = certs.LoadChain("testdata/keys/openssl.p12", nil)
	if !errors.Is(err, certs.ErrPassphraseNeeded) {
		t.Errorf("PKCS#12 without a passphrase: %v", err)
	}
	chain, err = certs.LoadChain("testdata/keys/openssl.p12", func(string) ([]byte, error) { return []byte("changeit"), nil })
	if err != nil || len(chain) != 3 {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
}

func TestVerifyRefusesWhatWasRevoked(t *testing.T) {
	a := newAuthority(t)
	one, two := server(t, a, "one.test").Certificate.Leaf, server(t, a, "two.test").Certificate.Leaf
	revocation, err := certs.LoadRevocation(certs.RevocationOptions{
		Revoked: []certs.RevokedCertificate{{IssuerKeyID: a.Root().SubjectKeyId, Serial: one.SerialNumber, At: time.Now()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	options := certs.VerifyOptions{Roots: a.Pool(), Revocation: revocation}
	_, err = certs.Verify([]*x509.Certificate{one}, options)
	if refused, ok := errors.AsType[*certs.VerifyError](err); !ok || refused.Reason != "revoked" || !refused.Last.Equal(one) {
		t.Errorf("%v, want that it was revoked", err)
	}
	if _, err := certs.Verify([]*x509.Certificate{two}, options); err != nil {
		t.Error(err)
	}
}
