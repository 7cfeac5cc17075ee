package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net"
	"slices"
	"strings"

	"tcps/internal/terminal"
)

// usageWords says what key usages and extended key usages permit, by their names of RFC 5280.
var usageWords = map[string]string{
	"digitalSignature": "sign handshakes", "contentCommitment": "sign documents", "keyEncipherment": "decrypt keys",
	"dataEncipherment": "decrypt data", "keyAgreement": "agree on keys", "keyCertSign": "sign certificates",
	"cRLSign": "sign revocation lists", "encipherOnly": "only encrypt", "decipherOnly": "only decrypt",
	"anyExtendedKeyUsage": "be used for anything", "serverAuth": "be a TLS server", "clientAuth": "be a TLS client",
	"codeSigning": "sign code", "emailProtection": "protect e-mail", "timeStamping": "sign times",
	"OCSPSigning": "answer for revocation (OCSP)",
}

// usagesOf names what a certificate may be used for.
func usagesOf(usage x509.KeyUsage, extended []x509.ExtKeyUsage, unknown []asn1.ObjectIdentifier) []string {
	var names []string
	for bit := x509.KeyUsageDigitalSignature; bit <= x509.KeyUsageDecipherOnly; bit <<= 1 {
		if usage&bit != 0 {
			names = append(names, bit.String())
		}
	}
	for _, u := range extended {
		names = append(names, u.String())
	}
	for _, oid := range unknown {
		names = append(names, oid.String())
	}
	return names
}

func usagesInWords(names []string) string {
	var words []string
	for _, name := range names {
		word := usageWords[name]
		if word == "" {
			word = "be used as " + name
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// usableAs tells whether the extended key usage of c lets it be used so.
func usableAs(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, usage) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// mustStaple tells whether c carries the TLS feature status_request (RFC 7633, 4.1).
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			continue
		}
		var features []int
		_, err := asn1.Unmarshal(e.Value, &features)
		return err == nil && slices.Contains(features, 5)
	}
	return false
}

func constraintsInWords(c *x509.Certificate) []string {
	var words []string
	if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		words = append(words, fmt.Sprintf("at most %d authorities below it", c.MaxPathLen))
	}
	list := func(what string, values []string) {
		for i, v := range values {
			if values[i] = terminal.Printable(v); v == "" {
				values[i] = "every name"
			}
		}
		if len(values) > 0 {
			words = append(words, what+" "+strings.Join(values, ", "))
		}
	}
	list("only names under", slices.Clone(c.PermittedDNSDomains))
	list("only addresses in", networks(c.PermittedIPRanges))
	list("only e-mail addresses at", slices.Clone(c.PermittedEmailAddresses))
	list("only URIs at", slices.Clone(c.PermittedURIDomains))
	list("no names under", slices.Clone(c.ExcludedDNSDomains))
	list("no addresses in", networks(c.ExcludedIPRanges))
	list("no e-mail addresses at", slices.Clone(c.ExcludedEmailAddresses))
	list("no URIs at", slices.Clone(c.ExcludedURIDomains))
	return words
}

func networks(ranges []*net.IPNet) []string {
	var words []string
	for _, r := range ranges {
		words = append(words, r.String())
	}
	return words
}
