package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"tcps/internal/terminal"
)

// RequestDescription says what a certificate signing request (PKCS#10) asks for. A challenge password in it is left out.
type RequestDescription struct {
	Subject   string    `json:"subject"`
	Names     []string  `json:"names,omitempty"` // as Request.Names has them
	Key       string    `json:"key"`
	Signature string    `json:"signature"`
	Usages    []string  `json:"usages,omitempty"` // extended key usages that it asks for
	Pin       string    `json:"pin"`
	Problems  []Problem `json:"problems,omitempty"`
}

func describeRequest(r *x509.CertificateRequest) RequestDescription {
	d := RequestDescription{
		Subject:   nameInWords(r.Subject),
		Names:     alternativesIn(r).inWords(),
		Key:       keyInWords(r.PublicKey),
		Signature: r.SignatureAlgorithm.String(),
		Usages:    requestedUsages(r),
		Pin:       pinOf(r.RawSubjectPublicKeyInfo),
	}
	if err := r.CheckSignature(); err != nil {
		d.Problems = append(d.Problems, Problem{"csr-signature", "its signature is not by its own key: no authority may sign it (" + terminal.Printable(err.Error()) + ")"})
	}
	if text := weakKey(r.PublicKey); text != "" {
		d.Problems = append(d.Problems, Problem{"weak-key", text})
	}
	if len(d.Names) == 0 && r.Subject.CommonName == "" {
		d.Problems = append(d.Problems, Problem{"no-names", "it asks for no name at all"})
	} else if len(d.Names) == 0 {
		d.Problems = append(d.Problems, Problem{"no-san", "it asks for no alternative name (SAN): clients accept no server by its common name"})
	}
	return d
}

// oidExtKeyUsage is the extension of extended key usages (RFC 5280, 4.2.1.12).
var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// requestedUsages returns the names of the extended key usages in a request.
func requestedUsages(r *x509.CertificateRequest) []string {
	var names []string
	for _, e := range r.Extensions {
		var oids []asn1.ObjectIdentifier
		if !e.Id.Equal(oidExtKeyUsage) {
			continue
		}
		if _, err := asn1.Unmarshal(e.Value, &oids); err != nil {
			continue
		}
		for _, oid := range oids {
			names = append(names, extKeyUsageName(oid))
		}
	}
	return names
}

func extKeyUsageName(oid asn1.ObjectIdentifier) string {
	for u := x509.ExtKeyUsageAny; u <= x509.ExtKeyUsageOCSPSigning; u++ {
		if u.OID().EqualASN1OID(oid) {
			return u.String()
		}
	}
	return oid.String()
}

// String says it in words, a line each.
func (d RequestDescription) String() string {
	var w words
	w.line("request", "for a certificate (CSR)")
	w.line("subject", "%s", d.Subject)
	if len(d.Names) > 0 {
		w.line("names", "%s", strings.Join(d.Names, ", "))
	}
	w.line("key", "%s", d.Key)
	w.line("signature", "%s", d.Signature)
	if len(d.Usages) > 0 {
		w.line("to", "%s", usagesInWords(d.Usages))
	}
	w.line("pin", "%s", d.Pin)
	w.problems(d.Problems)
	return w.String()
}
