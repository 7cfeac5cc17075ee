package certs

import (
	"crypto/x509"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
)

// StapleDescription says what a server sends along about the revocation of its certificate (OCSP, RFC 6066, 8).
type StapleDescription struct {
	Stapled    bool      `json:"stapled"`
	Status     string    `json:"status,omitempty"` // good, revoked or unknown; empty: it is not stapled, or not to be used
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"` // until when it holds
	Revoked    bool      `json:"revoked,omitempty"`    // the issuer itself says so
	Problems   []Problem `json:"problems,omitempty"`
}

// DescribeStaple says what response is worth for the first certificate of a chain, whose second is its issuer: without
// it the signature is not looked at. An empty response is none; chain is not empty.
func DescribeStaple(response []byte, chain []*x509.Certificate, now time.Time) StapleDescription {
	leaf := chain[0]
	d := StapleDescription{Stapled: len(response) > 0}
	add := func(code, format string, args ...any) {
		d.Problems = append(d.Problems, Problem{code, fmt.Sprintf(format, args...)})
	}
	if !d.Stapled {
		if mustStaple(leaf) {
			add("staple-missing", "the certificate must be served with an OCSP staple (RFC 7633), and none comes: clients may refuse it")
		}
		return d
	}
	if parsed, err := ocsp.ParseResponseForCert(response, leaf, nil); err == nil {
		d.Status = map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked"}[parsed.Status]
		if d.Status == "" {
			d.Status = "unknown"
		}
		d.ThisUpdate, d.NextUpdate = parsed.ThisUpdate.UTC(), parsed.NextUpdate.UTC()
	}
	if len(chain) < 2 {
		add("staple-unverified", "nobody can say whether the stapled OCSP response is good: the certificate of the issuer is not known")
		return d
	}
	switch revoked, err := readStaple(response, leaf, chain[1], now); {
	case err != nil:
		add("staple-bad", "%v", err)
	case revoked != nil:
		d.Revoked = true
		add("revoked", "the stapled OCSP response says that the certificate was revoked %s", moment(revoked.At, now))
	}
	return d
}
