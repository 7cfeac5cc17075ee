package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"tcps/internal/terminal"
)

// RevocationListDescription says what a certificate revocation list (CRL) is.
type RevocationListDescription struct {
	Issuer     string               `json:"issuer"`
	Number     string               `json:"number,omitempty"` // decimal; each list of an issuer has a higher one
	ThisUpdate time.Time            `json:"this_update"`
	NextUpdate time.Time            `json:"next_update,omitzero"`
	Signature  string               `json:"signature"`
	SignedBy   string               `json:"signed_by,omitempty"` // SHA-256 of the certificate that the signature was verified by; empty: none is known
	Count      int                  `json:"count"`               // of revoked certificates
	Revoked    []RevokedDescription `json:"revoked,omitempty"`   // the first few of them
	Problems   []Problem            `json:"problems,omitempty"`

	now time.Time
}

// RevokedDescription is one revoked certificate of a list.
type RevokedDescription struct {
	Serial string    `json:"serial"` // hexadecimal
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // the name of RFC 5280, 5.3.1
}

// fewRevoked is how many certificates of a list are described.
const fewRevoked = 10

// describeRevocationList looks for who signed l among the authorities.
func describeRevocationList(l *x509.RevocationList, authorities []*x509.Certificate, now time.Time) RevocationListDescription {
	d := RevocationListDescription{
		Issuer:     nameInWords(l.Issuer),
		ThisUpdate: l.ThisUpdate.UTC(),
		NextUpdate: l.NextUpdate.UTC(),
		Signature:  l.SignatureAlgorithm.String(),
		Count:      len(l.RevokedCertificateEntries),
		now:        now,
	}
	if l.Number != nil {
		d.Number = l.Number.String()
	}
	for _, entry := range l.RevokedCertificateEntries[:min(d.Count, fewRevoked)] {
		d.Revoked = append(d.Revoked, RevokedDescription{
			fmt.Sprintf("%x", entry.SerialNumber), entry.RevocationTime.UTC(), reasonName(entry.ReasonCode),
		})
	}
	d.judgeTime()
	for _, e := range l.Extensions {
		if e.Critical {
			d.add("critical-extension", "it has a critical extension %s: it is not a list of all that its issuer revoked, and tcps refuses it", crlExtension(e))
		}
	}
	d.Problems = append(d.Problems, weakSignature(l.SignatureAlgorithm)...)
	d.judgeSignature(l, authorities)
	return d
}

func (d *RevocationListDescription) add(code, format string, args ...any) {
	d.Problems = append(d.Problems, Problem{code, fmt.Sprintf(format, args...)})
}

func (d *RevocationListDescription) judgeTime() {
	switch {
	case d.now.Before(d.ThisUpdate):
		d.add("not-yet-valid", "it is not valid yet: it begins %s", moment(d.ThisUpdate, d.now))
	case d.NextUpdate.IsZero():
		d.add("no-next-update", "it does not say until when it holds")
	case d.now.After(d.NextUpdate):
		d.add("expired", "it is out of date: the next one was due %s", moment(d.NextUpdate, d.now))
	}
}

// judgeSignature tries every authority that has the name of the issuer, and its key identifier if both have one.
func (d *RevocationListDescription) judgeSignature(l *x509.RevocationList, authorities []*x509.Certificate) {
	var wrong error
	for _, c := range authorities {
		if !bytes.Equal(c.RawSubject, l.RawIssuer) {
			continue
		}
		err := l.CheckSignatureFrom(c)
		if err == nil {
			d.SignedBy = Fingerprint(c)
			return
		}
		if len(l.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(l.AuthorityKeyId, c.SubjectKeyId) {
			wrong = err
		}
	}
	if wrong != nil {
		d.add("crl-signature", "its signature is not by the authority that it names: %s", terminal.Printable(wrong.Error()))
	}
}

// String says it in words, a line each, however many certificates are revoked.
func (d RevocationListDescription) String() string {
	var w words
	w.line("CRL", "of certificates that their authority revoked")
	w.line("issuer", "%s", d.Issuer)
	if d.Number != "" {
		w.line("number", "%s", d.Number)
	}
	w.line("valid from", "%s (%s)", d.ThisUpdate.Format(time.RFC3339), relative(d.ThisUpdate, d.now))
	if !d.NextUpdate.IsZero() {
		w.line("valid until", "%s (%s)", d.NextUpdate.Format(time.RFC3339), relative(d.NextUpdate, d.now))
	}
	if d.SignedBy != "" {
		w.line("signature", "%s, verified by the authority %s", d.Signature, d.SignedBy)
	} else {
		w.line("signature", "%s, not verified", d.Signature)
	}
	w.line("revoked", "%d", d.Count)
	for _, r := range d.Revoked {
		w.line("serial", "%s, %s, %s", r.Serial, r.At.Format(time.RFC3339), r.Reason)
	}
	if more := d.Count - len(d.Revoked); more > 0 {
		w.line("more", "%d serial numbers that are not shown", more)
	}
	w.problems(d.Problems)
	return w.String()
}

// crlExtension names an extension of a list that is known but not supported (RFC 5280, 5.2).
func crlExtension(e pkix.Extension) string {
	switch oid := e.Id.String(); oid {
	case "2.5.29.27":
		return oid + " (a delta list: only what changed since another one)"
	case "2.5.29.28":
		return oid + " (a partitioned list: only some of the certificates)"
	default:
		return oid
	}
}
