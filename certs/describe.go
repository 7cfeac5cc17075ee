package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"tcps/internal/terminal"
)

// Pin returns the base64 form of the SHA-256 digest of c's SubjectPublicKeyInfo, which names its key whoever signs it.
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// OneLine says in one line whom c is for, who issued it and how long it lasts, safe to print on a terminal.
func OneLine(c *x509.Certificate) string {
	line := subject(c)
	if names := allNames(c); len(names) > 0 {
		line += ", names " + strings.Join(names, " ")
	}
	now := time.Now()
	return fmt.Sprintf("%s, issued by %s, until %s (%s)", line, issuerName(c), c.NotAfter.UTC().Format(time.DateOnly), relative(c.NotAfter, now))
}

// Describe says in words, a line each, what c is, for whom, by whom, for how long, with what key, what it may
// do, and what is wrong with it. What comes out of the certificate is made safe to print on a terminal.
func Describe(c *x509.Certificate) string {
	now := time.Now()
	fingerprint := sha256.Sum256(c.Raw)
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", label+":", fmt.Sprintf(format, args...))
	}
	line("certificate", "%s", kindOf(c))
	line("subject", "%s", subject(c))
	if names := allNames(c); len(names) > 0 {
		line("names", "%s", strings.Join(names, ", "))
	}
	line("issuer", "%s", issuer(c))
	line("serial", "%x", c.SerialNumber)
	line("valid from", "%s (%s)", c.NotBefore.UTC().Format(time.RFC3339), relative(c.NotBefore, now))
	line("valid until", "%s (%s)", c.NotAfter.UTC().Format(time.RFC3339), relative(c.NotAfter, now))
	line("key", "%s", keyInWords(c.PublicKey))
	line("signature", "%s", c.SignatureAlgorithm)
	if usages := usagesOf(c); len(usages) > 0 {
		line("may", "%s", strings.Join(usages, ", "))
	}
	for _, constraint := range constraintsInWords(c) {
		line("constraint", "%s", constraint)
	}
	line("SHA-256", "%X", fingerprint)
	line("pin", "%s", Pin(c))
	for _, problem := range problems(c, now) {
		line("problem", "%s", problem)
	}
	return b.String()
}

// DescribeFile describes every certificate of a PEM or DER file. Of a private key it tells type, size and pin only.
func DescribeFile(path string) (string, error) {
	data, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("describe %q: %w", path, err)
	}
	found, err := readAny(path, data, nil)
	if err != nil {
		return "", fmt.Errorf("describe %q: %w", path, err)
	}
	var parts []string
	for _, c := range found.certificates {
		parts = append(parts, Describe(c))
	}
	for _, key := range found.keys {
		text, err := describeKey(key.Public(), found.certificates)
		if err != nil {
			return "", fmt.Errorf("describe %q: %w", path, err)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("describe %q: the file holds %s", path, holdsInstead(path, found))
	}
	return strings.Join(parts, "\n"), nil
}

func describeKey(public crypto.PublicKey, certificates []*x509.Certificate) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	text := fmt.Sprintf("%-13s %s\n%-13s %s\n", "private key:", keyInWords(public), "pin:", base64.StdEncoding.EncodeToString(sum[:]))
	if len(certificates) > 0 && !bytes.Equal(der, certificates[0].RawSubjectPublicKeyInfo) {
		text += fmt.Sprintf("%-13s it does not belong to the first certificate of the file\n", "problem:")
	}
	return text, nil
}

func subject(c *x509.Certificate) string { return nameInWords(c.Subject) }

func issuer(c *x509.Certificate) string {
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		return "itself"
	}
	return nameInWords(c.Issuer)
}

// issuerName is the short form of the issuer: its common name if it has one.
func issuerName(c *x509.Certificate) string {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) && c.Issuer.CommonName != "" {
		return terminal.Printable(c.Issuer.CommonName)
	}
	return issuer(c)
}

func nameInWords(n pkix.Name) string {
	if text := terminal.Printable(n.String()); text != "" {
		return text
	}
	return "no subject"
}

// allNames returns the alternative names of c, safe to print.
func allNames(c *x509.Certificate) []string {
	var names []string
	for _, s := range c.DNSNames {
		names = append(names, terminal.Printable(s))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, s := range c.EmailAddresses {
		names = append(names, "email:"+terminal.Printable(s))
	}
	for _, u := range c.URIs {
		names = append(names, "uri:"+terminal.Printable(u.String()))
	}
	return names
}

func relative(t, now time.Time) string {
	if t.After(now) {
		return "in " + inWords(t.Sub(now))
	}
	return inWords(now.Sub(t)) + " ago"
}

// kindOf says what c is for.
func kindOf(c *x509.Certificate) string {
	selfSigned := bytes.Equal(c.RawIssuer, c.RawSubject)
	server, client := usableAs(c, x509.ExtKeyUsageServerAuth), usableAs(c, x509.ExtKeyUsageClientAuth)
	kind := "of another purpose"
	switch {
	case c.IsCA && selfSigned:
		return "root of a certificate authority"
	case c.IsCA:
		return "intermediate certificate authority"
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		kind = "for any use"
	case server && client:
		kind = "of a server or a client"
	case server:
		kind = "of a server"
	case client:
		kind = "of a client"
	}
	if selfSigned {
		kind += ", self-signed"
	}
	return kind
}

// usableAs tells whether the extended key usage of c lets it be used so.
func usableAs(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, usage) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// usagesOf says in words what key usage and extended key usage permit.
func usagesOf(c *x509.Certificate) []string {
	var words []string
	for _, u := range []struct {
		bit  x509.KeyUsage
		word string
	}{
		{x509.KeyUsageDigitalSignature, "sign handshakes"},
		{x509.KeyUsageContentCommitment, "sign documents"},
		{x509.KeyUsageKeyEncipherment, "decrypt keys"},
		{x509.KeyUsageDataEncipherment, "decrypt data"},
		{x509.KeyUsageKeyAgreement, "agree on keys"},
		{x509.KeyUsageCertSign, "sign certificates"},
		{x509.KeyUsageCRLSign, "sign revocation lists"},
	} {
		if c.KeyUsage&u.bit != 0 {
			words = append(words, u.word)
		}
	}
	known := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "be used for anything", x509.ExtKeyUsageServerAuth: "be a TLS server", x509.ExtKeyUsageClientAuth: "be a TLS client",
		x509.ExtKeyUsageCodeSigning: "sign code", x509.ExtKeyUsageEmailProtection: "protect e-mail",
		x509.ExtKeyUsageTimeStamping: "sign times", x509.ExtKeyUsageOCSPSigning: "answer for revocation (OCSP)",
	}
	for _, u := range c.ExtKeyUsage {
		if word, ok := known[u]; ok {
			words = append(words, word)
		} else {
			words = append(words, fmt.Sprintf("be used in a way that has number %d", u))
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		words = append(words, "be used as "+oid.String())
	}
	return words
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

// problems says what is wrong with c, or what peers will not take.
func problems(c *x509.Certificate, now time.Time) []string {
	var found []string
	if w := validityWarning("it", c, now); w != "" {
		found = append(found, w)
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		found = append(found, fmt.Sprintf("an RSA key of %d bits is too weak: 2048 are the least", key.N.BitLen()))
	}
	selfSigned := bytes.Equal(c.RawIssuer, c.RawSubject)
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		if !selfSigned || !c.IsCA { // nobody checks the signature of a root
			found = append(found, fmt.Sprintf("the signature %s can be forged: peers refuse it", c.SignatureAlgorithm))
		}
	case x509.UnknownSignatureAlgorithm:
		found = append(found, "the signature is of a kind that Go does not know: tcps cannot verify it")
	}
	switch {
	case !c.IsCA && usableAs(c, x509.ExtKeyUsageServerAuth) && len(c.DNSNames)+len(c.IPAddresses) == 0:
		found = append(found, "it has no alternative name (SAN) of a host: clients accept it for no server")
	case c.IsCA && c.Version >= 3 && whyNoAuthority(c) != "":
		found = append(found, whyNoAuthority(c))
	}
	return found
}
