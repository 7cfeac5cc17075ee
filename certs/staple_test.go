package certs_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tcps/certs"
)

// staple is a responder's answer as change leaves the template. Without a signer it is the issuer's own.
func staple(t testing.TB, issuer made, signer *made, c *x509.Certificate, change func(*ocsp.Response)) []byte {
	t.Helper()
	template := ocsp.Response{
		Status: ocsp.Good, SerialNumber: c.SerialNumber, IssuerHash: crypto.SHA1,
		ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}
	responder, key := issuer.cert, issuer.key
	if signer != nil {
		responder, key, template.Certificate = signer.cert, signer.key, signer.cert
	}
	if change != nil {
		change(&template)
	}
	response, err := ocsp.CreateResponse(issuer.cert, responder, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestAStapleMustBeTheIssuersGoodAndCurrent(t *testing.T) {
	h, foreign := newHierarchy(t), newHierarchy(t)
	responder := func(by made, change func(*x509.Certificate)) *made {
		m := sign(t, by.cert, by.key, func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = "responder", []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if change != nil {
				change(c)
			}
		})
		return &m
	}
	sibling := sign(t, h.intermediate.cert, h.intermediate.key, func(*x509.Certificate) {})
	otherIssuer := made{cert: h.root.cert, key: h.intermediate.key} // an answer about the root's certificates, by the intermediate's key
	leaf := h.leaf.cert
	for _, c := range []struct {
		name     string
		response []byte
		want     string // empty: good
	}{
		{"the issuer's", staple(t, h.intermediate, nil, leaf, nil), ""},
		{"the issuer's, with SHA-256", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }), ""},
		{"with the issuer's certificate", staple(t, h.intermediate, &h.intermediate, leaf, nil), ""},
		{"an appointed responder's", staple(t, h.intermediate, responder(h.intermediate, nil), leaf, nil), ""},
		{"none", nil, "no OCSP response is stapled"},
		{"garbage", []byte("<html>\x1b"), "cannot be used"},
		{"an error", ocsp.TryLaterErrorResponse, "cannot be used"},
		{"about another certificate", staple(t, h.intermediate, nil, sibling.cert, nil), "cannot be used"},
		{"about another issuer's", staple(t, otherIssuer, nil, leaf, nil), "about a certificate of another issuer than CN=intermediate"},
		{"a stranger's", staple(t, foreign.intermediate, nil, leaf, nil), "is not of the issuer CN=intermediate"},
		{"a stranger's responder's", staple(t, h.intermediate, responder(foreign.intermediate, nil), leaf, nil), "is not of the issuer CN=intermediate"},
		{"a certificate's that is no responder", staple(t, h.intermediate, responder(h.intermediate, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), leaf, nil), "may not answer for revocation"},
		{"an expired responder's", staple(t, h.intermediate, responder(h.intermediate, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), leaf, nil), "responder CN=responder is not valid now"},
		{"unknown", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) { r.Status = ocsp.Unknown }), "does not know it"},
		{"expired", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-2 * time.Hour) }), "expired 2 hours ago"},
		{"of tomorrow", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(24 * time.Hour) }), "is not valid yet"},
		{"without an end", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), "no nextUpdate"},
		{"revoked", staple(t, h.intermediate, nil, leaf, func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, time.Now().Add(-72*time.Hour), ocsp.KeyCompromise
		}), "was revoked by CN=intermediate 3 days ago"},
	} {
		err := certs.CheckStaple(c.response, [][]*x509.Certificate{h.chain})
		wantStaple(t, c.name, certs.DescribeStaple(c.response, h.chain, time.Now()), c.response, err)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		refusal := wantRefused(t, err, "certificate CN=alice (serial ", c.want)
		if refusal.Leaf != leaf || (refusal.Revoked != nil) != (c.name == "revoked") {
			t.Errorf("%s: refused %+v", c.name, refusal)
		}
	}
	wantRefused(t, certs.CheckStaple(staple(t, h.root, nil, h.root.cert, nil), [][]*x509.Certificate{{h.root.cert}}), "nobody can answer for it")
	wantRefused(t, certs.CheckStaple(nil, nil), "no authority vouches")
}

// wantStaple checks that a description knows a problem where CheckStaple refuses; that none is stapled is one only for
// a certificate that must have one.
func wantStaple(t *testing.T, name string, d certs.StapleDescription, response []byte, err error) {
	t.Helper()
	if d.Stapled != (len(response) > 0) || (len(d.Problems) > 0) != (err != nil && d.Stapled) || d.Revoked != (name == "revoked") {
		t.Errorf("%s is described as %+v, and refused with %v", name, d, err)
	}
	if d.Stapled && err == nil && (d.Status != "good" || d.NextUpdate.IsZero()) {
		t.Errorf("%s is described as %+v", name, d)
	}
}

func TestAMissingStapleIsAProblemWhereOneMustBe(t *testing.T) {
	h := newHierarchy(t)
	must := sign(t, h.intermediate.cert, h.intermediate.key, func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(99)
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}}
	})
	wantCodes(t, certs.DescribeStaple(nil, []*x509.Certificate{must.cert}, time.Now()).Problems, "staple-missing")
	good := staple(t, h.intermediate, nil, must.cert, nil)
	wantCodes(t, certs.DescribeStaple(good, []*x509.Certificate{must.cert, h.intermediate.cert}, time.Now()).Problems)
	wantCodes(t, certs.DescribeStaple(good, []*x509.Certificate{must.cert}, time.Now()).Problems, "staple-unverified")
}

// FuzzStaple: whatever a server staples, there is a verdict and no panic, and only what the issuer signed is good.
func FuzzStaple(f *testing.F) {
	h := newHierarchy(f)
	good := staple(f, h.intermediate, nil, h.leaf.cert, nil)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(staple(f, h.intermediate, &h.intermediate, h.leaf.cert, func(r *ocsp.Response) { r.Status = ocsp.Revoked }))
	f.Add(ocsp.UnauthorizedErrorResponse)
	f.Fuzz(func(t *testing.T, response []byte) {
		err := certs.CheckStaple(response, [][]*x509.Certificate{h.chain})
		if err != nil {
			wantError(t, err, "certificate CN=alice")
		} else if !bytes.Equal(response, good) {
			if _, err := ocsp.ParseResponseForCert(response, h.leaf.cert, h.intermediate.cert); err != nil {
				t.Errorf("accepted what package ocsp refuses: %v", err)
			}
		}
	})
}
