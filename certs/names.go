package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A name is one subject alternative name of a certificate, checked and in its normal spelling.
type name struct {
	kind nameKind
	text string     // "db.test", "*.db.test", "127.0.0.1", "me@db.test", "spiffe://db.test/x"
	host string     // what DNS constraints apply to: of an e-mail address or a URI the host, "" if it has none
	ip   netip.Addr // of an address
	uri  *url.URL   // of a URI
}

type nameKind string

const (
	dnsName   nameKind = "name"
	ipName    nameKind = "address"
	emailName nameKind = "e-mail address"
	uriName   nameKind = "URI"
)

// parseName reads a name as users write it: a DNS name, an IP address, or "dns:", "email:" or "uri:" and a value.
func parseName(s string) (name, error) {
	if value, ok := strings.CutPrefix(s, "email:"); ok {
		return parseEmail(value)
	} else if value, ok := strings.CutPrefix(s, "uri:"); ok {
		return parseURI(value)
	} else if value, ok := strings.CutPrefix(s, "dns:"); ok {
		return parseDNS(value)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]") // as addresses are written in endpoints
	if ip, err := netip.ParseAddr(bare); err == nil {
		if ip.Zone() != "" {
			return name{}, fmt.Errorf("%q: a certificate's addresses have no zone; leave out %q", s, "%"+ip.Zone())
		}
		return name{kind: ipName, text: ip.Unmap().String(), ip: ip.Unmap()}, nil
	}
	return parseDNS(s)
}

// parseServerName reads a name of a server's certificate.
func parseServerName(s string) (name, error) {
	for _, prefix := range []string{"email:", "uri:"} {
		if strings.HasPrefix(s, prefix) {
			return name{}, fmt.Errorf("%q: a server's names are DNS names and IP addresses", s)
		}
	}
	return parseName(s)
}

// parseClientName reads an alternative name of a client's certificate, which says of what kind it is.
func parseClientName(s string) (name, error) {
	for _, prefix := range []string{"dns:", "email:", "uri:"} {
		if strings.HasPrefix(s, prefix) {
			return parseName(s)
		}
	}
	return name{}, fmt.Errorf("%q: dns:, email: or uri: in front says what kind of name this is", s)
}

// parseDNS reads a DNS name with at most one wildcard, which is its whole first label (RFC 6125, 6.4.3).
func parseDNS(s string) (name, error) {
	text := foldName(s)
	base, wildcard := strings.CutPrefix(text, "*.")
	if err := checkHost(s, base); err != nil {
		return name{}, err
	}
	if wildcard && len(text) > 253 {
		return name{}, fmt.Errorf("%q is longer than the 253 characters of a DNS name", s)
	}
	return name{kind: dnsName, text: text, host: text}, nil
}

// checkHost says what keeps host, a part of what was written, from being a DNS name.
func checkHost(written, host string) error {
	if host == "" {
		return fmt.Errorf("%q is no DNS name: it is empty", written)
	}
	if i := strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }); i >= 0 {
		return fmt.Errorf("%q is no DNS name: write international names in punycode (xn--…)", written)
	}
	if len(host) > 253 {
		return fmt.Errorf("%q is longer than the 253 characters of a DNS name", written)
	}
	if bare, port, err := net.SplitHostPort(host); err == nil {
		return fmt.Errorf("%q is no DNS name: leave out the port %q of %q", written, port, bare)
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return fmt.Errorf("%q is no DNS name: it has an empty label", written)
		case len(label) > 63:
			return fmt.Errorf("%q is no DNS name: a label is longer than 63 characters", written)
		case label == "*":
			return fmt.Errorf("%q is no DNS name: a wildcard can only be the first of several labels", written)
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return fmt.Errorf("%q is no DNS name: a label begins or ends with a hyphen", written)
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return fmt.Errorf("%q is no DNS name: it contains %q", written, r)
			}
		}
	}
	if _, err := strconv.ParseUint(labels[len(labels)-1], 10, 64); err == nil {
		return fmt.Errorf("%q is neither a DNS name nor an IP address", written) // RFC 1123, 2.1: top labels are not numbers
	}
	return nil
}

// parseEmail reads an address with a local part of the unquoted form (RFC 5321, Dot-string).
func parseEmail(s string) (name, error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 {
		return name{}, fmt.Errorf("%q is no e-mail address: it has no part before or no part after an @", s)
	}
	local, host := s[:at], foldName(s[at+1:])
	for _, atom := range strings.Split(local, ".") {
		if atom == "" || strings.IndexFunc(atom, func(r rune) bool {
			return r <= ' ' || r >= unicode.MaxASCII || strings.ContainsRune(`()<>[]:;@\,"`, r)
		}) >= 0 {
			return name{}, fmt.Errorf("%q is no e-mail address that a certificate can carry", s)
		}
	}
	if err := checkHost(s, host); err != nil {
		return name{}, err
	}
	return name{kind: emailName, text: local + "@" + host, host: host}, nil
}

func parseURI(s string) (name, error) {
	for _, r := range s {
		if r <= ' ' || r >= unicode.MaxASCII {
			return name{}, fmt.Errorf("%q is no URI: escape spaces and international characters as %%XX", s)
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return name{}, fmt.Errorf("%q is no URI: %w", s, bareURLCause(err))
	case u.Scheme == "":
		return name{}, fmt.Errorf("%q is no URI: it has no scheme", s)
	case u.User != nil:
		// OpenSSL takes what is before the colon of user:password for the host when it checks constraints.
		return name{}, fmt.Errorf("%q: a URI in a certificate names no user", s)
	case u.Host == "":
		return name{kind: uriName, text: s, uri: u}, nil
	}
	host := foldName(u.Hostname())
	if _, err := netip.ParseAddr(host); err != nil {
		if err := checkHost(s, host); err != nil {
			return name{}, err
		}
	} else {
		host = "" // constraints know only names: an address in a URI can never be within them
	}
	return name{kind: uriName, text: s, host: host, uri: u}, nil
}

func bareURLCause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// checkCommonName says what keeps s from being the common name of a client.
func checkCommonName(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("a client's name is empty")
	case !utf8.ValidString(s):
		return fmt.Errorf("client name %q is not UTF-8", s)
	case len(s) > 64: // ub-common-name (RFC 5280, A.1)
		return fmt.Errorf("client name %q is longer than 64 bytes", s)
	case strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		return fmt.Errorf("client name %q contains a character that does not print", s)
	}
	return nil
}

// looksLikeDNS tells whether OpenSSL applies DNS constraints to a common name: the rule of its cn2dnsid.
func looksLikeDNS(commonName string) bool {
	labels := strings.Split(commonName, ".")
	for _, label := range labels {
		if label == "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.IndexFunc(label, func(r rune) bool {
				return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
			}) >= 0 {
			return false
		}
	}
	return len(labels) > 1
}

// permits checks n against the name constraints of root, as RFC 5280, 4.2.1.10 and all verifiers that we know read
// them; where they differ, the stricter reading holds.
func permits(root *x509.Certificate, n name) error {
	var permitted, excluded []string
	switch n.kind {
	case ipName:
		return permitsIP(root, n)
	case dnsName:
		permitted, excluded = root.PermittedDNSDomains, root.ExcludedDNSDomains
	case emailName:
		permitted, excluded = root.PermittedEmailAddresses, root.ExcludedEmailAddresses
	case uriName:
		permitted, excluded = root.PermittedURIDomains, root.ExcludedURIDomains
	}
	if len(permitted)+len(excluded) == 0 {
		return nil
	}
	within := func(constraint string) bool { return withinDomain(n, constraint) }
	if n.host == "" || slices.ContainsFunc(excluded, within) || len(permitted) > 0 && !slices.ContainsFunc(permitted, within) {
		return &NotPermittedError{Name: n.text, Permitted: slices.Clone(permitted), host: n.host, extra: extraPermits(root)}
	}
	return nil
}

// withinDomain applies one constraint to a DNS name or to the host of an e-mail address or URI. A plain constraint
// covers its sub-names only for DNS names: for the others OpenSSL takes it as exact, so ".name" has to be there too.
func withinDomain(n name, constraint string) bool {
	constraint = strings.ToLower(constraint)
	switch {
	case constraint == "":
		return true
	case strings.Contains(constraint, "@"):
		return n.kind == emailName && strings.EqualFold(n.text, constraint)
	case strings.HasPrefix(constraint, "."):
		return strings.HasSuffix(n.host, constraint)
	}
	return n.host == constraint || n.kind == dnsName && strings.HasSuffix(n.host, "."+constraint)
}

func permitsIP(root *x509.Certificate, n name) error {
	if len(root.PermittedIPRanges)+len(root.ExcludedIPRanges) == 0 {
		return nil
	}
	within := func(r *net.IPNet) bool { return r.Contains(n.ip.AsSlice()) }
	if slices.ContainsFunc(root.ExcludedIPRanges, within) ||
		len(root.PermittedIPRanges) > 0 && !slices.ContainsFunc(root.PermittedIPRanges, within) {
		e := &NotPermittedError{Name: n.text, host: n.text, extra: extraPermits(root)}
		for _, r := range root.PermittedIPRanges {
			e.Permitted = append(e.Permitted, r.String())
		}
		return e
	}
	return nil
}
