package certs

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"tcps/internal/terminal"
)

// The names that a root may sign for unless it is told more: those that mean nothing outside a machine or its network
// (RFC 6761, 6762, 8375; .internal is ICANN's for private use). A stolen root then cannot impersonate the internet.
var (
	localDomains  = []string{"localhost", "test", "internal", "local", "home.arpa"}
	localPrefixes = []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
		"::1/128", "fc00::/7", "fe80::/10",
	}
)

// NotPermittedError is what issuing answers for a name outside the constraints of the root.
type NotPermittedError struct {
	Name      string   // the name that was asked for
	Permitted []string // what is permitted for names of this kind

	host  string   // what --permit would have to name; "" if nothing can
	extra []string // what the root permits already, more than the default
}

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("%q is outside the names that the root may sign for: %s", e.Name, strings.Join(e.Permitted, ", "))
}

// Hint returns the command that makes a root which permits the name, and all that the present one does.
func (e *NotPermittedError) Hint() string {
	if e.host == "" {
		return "tcps certs init --force --unconstrained"
	}
	command := "tcps certs init --force"
	for _, permit := range append(slices.Clone(e.extra), strings.TrimPrefix(e.host, "*.")) {
		command += " --permit " + terminal.ShellWord(permit)
	}
	return command
}

// constraints collects what a new root will permit.
type constraints struct {
	domains  []string // with all their sub-names
	exact    string   // a name of one label without its sub-names; may be ""
	prefixes []*net.IPNet
}

// newConstraints adds the host name and permit to the local names. A host name of one label may well be a public
// top-level domain (dev, cloud), so its sub-names are not permitted with it.
func newConstraints(hostName string, permit []string) (constraints, error) {
	c := constraints{domains: slices.Clone(localDomains)}
	for _, p := range localPrefixes {
		c.prefixes = append(c.prefixes, ipNet(netip.MustParsePrefix(p)))
	}
	for _, p := range permit {
		if err := c.add(p); err != nil {
			return c, fmt.Errorf("permit %w", err)
		}
	}
	host := foldName(hostName)
	switch {
	case checkHost(host, host) != nil, c.covers(host): // a host name can be anything; it is then left out
	case slices.ContainsFunc(c.domains, func(d string) bool { return strings.HasSuffix(d, "."+host) }):
		// A permitted name is under it: it cannot be permitted without its sub-names. Who wants all says --permit HOST.
	case strings.Contains(host, "."):
		c.domains = append(c.domains, host)
	default:
		c.exact = host
	}
	return c, nil
}

// add reads one value of --permit: a DNS name, an address or a prefix.
func (c *constraints) add(permit string) error {
	if prefix, err := netip.ParsePrefix(permit); err == nil {
		if prefix.Addr().Is4In6() {
			return fmt.Errorf("%q: write the prefix of an IPv4 network as such", permit)
		}
		if prefix != prefix.Masked() {
			return fmt.Errorf("%q: the prefix of this length is %s", permit, prefix.Masked())
		}
		c.prefixes = append(c.prefixes, ipNet(prefix))
		return nil
	}
	n, err := parseName(permit)
	switch {
	case err != nil:
		return err
	case n.kind == ipName:
		c.prefixes = append(c.prefixes, ipNet(netip.PrefixFrom(n.ip, n.ip.BitLen())))
	case n.kind != dnsName:
		return fmt.Errorf("%q: permit its host; that covers e-mail addresses and URIs too", permit)
	case strings.HasPrefix(n.text, "*."):
		return fmt.Errorf("%q: permit %s; that covers all names under it", permit, n.text[2:])
	case !c.covers(n.text):
		c.domains = append(c.domains, n.text)
	}
	return nil
}

func (c *constraints) covers(host string) bool {
	return slices.ContainsFunc(c.domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
}

// apply writes the constraints into a root's template. DNS constraints cover sub-names (RFC 5280, 4.2.1.10);
// those of e-mail addresses and URIs are exact to some verifiers, so both forms are listed there.
func (c *constraints) apply(template *x509.Certificate) {
	template.PermittedDNSDomainsCritical = true // all kinds of names are in one extension
	template.PermittedDNSDomains = slices.Clone(c.domains)
	template.PermittedIPRanges = c.prefixes
	var hosts []string
	for _, d := range c.domains {
		hosts = append(hosts, d, "."+d)
	}
	if c.exact != "" {
		template.PermittedDNSDomains = append(template.PermittedDNSDomains, c.exact)
		hosts = append(hosts, c.exact)
		below := []string{"." + c.exact}
		template.ExcludedDNSDomains, template.ExcludedEmailAddresses, template.ExcludedURIDomains = below, below, below
	}
	template.PermittedEmailAddresses = hosts
	template.PermittedURIDomains = hosts
}

// CheckConstrained says what a root may sign for without bounds, or nil if it may sign for certain names only: then
// whoever steals its key cannot impersonate everybody to those who trust it.
func CheckConstrained(root *x509.Certificate) error { return checkConstrained(root) }

// copyConstraints repeats the constraints of a root in a certificate below it: Java does not look at those of the root.
func copyConstraints(to, from *x509.Certificate) {
	to.PermittedDNSDomainsCritical = from.PermittedDNSDomainsCritical
	to.PermittedDNSDomains, to.ExcludedDNSDomains = from.PermittedDNSDomains, from.ExcludedDNSDomains
	to.PermittedIPRanges, to.ExcludedIPRanges = from.PermittedIPRanges, from.ExcludedIPRanges
	to.PermittedEmailAddresses, to.ExcludedEmailAddresses = from.PermittedEmailAddresses, from.ExcludedEmailAddresses
	to.PermittedURIDomains, to.ExcludedURIDomains = from.PermittedURIDomains, from.ExcludedURIDomains
}

// checkConstrained says what keeps a root from being bound to certain names: the extension has to be critical, and
// each kind of name restricted.
func checkConstrained(root *x509.Certificate) error {
	everything := func(domain string) bool { return domain == "" }
	everywhere := func(r *net.IPNet) bool { ones, _ := r.Mask.Size(); return ones == 0 }
	for _, kind := range []struct {
		what string
		open bool
	}{
		{"DNS names", len(root.PermittedDNSDomains) == 0 || slices.ContainsFunc(root.PermittedDNSDomains, everything)},
		{"addresses", len(root.PermittedIPRanges) == 0 || slices.ContainsFunc(root.PermittedIPRanges, everywhere)},
		{"e-mail addresses", len(root.PermittedEmailAddresses) == 0 || slices.ContainsFunc(root.PermittedEmailAddresses, everything)},
		{"URIs", len(root.PermittedURIDomains) == 0 || slices.ContainsFunc(root.PermittedURIDomains, everything)},
	} {
		if kind.open {
			return fmt.Errorf("the root may sign for all %s", kind.what)
		}
	}
	if !root.PermittedDNSDomainsCritical {
		return fmt.Errorf("the root's name constraints are not critical")
	}
	return nil
}

// extraPermits returns what a root of ours permits beyond the default and the host name that its subject tells.
func extraPermits(root *x509.Certificate) []string {
	var extra []string
	for _, d := range root.PermittedDNSDomains {
		if !slices.Contains(localDomains, d) && !slices.Contains(root.Subject.OrganizationalUnit, d) {
			extra = append(extra, d)
		}
	}
	for _, r := range root.PermittedIPRanges {
		if !slices.Contains(localPrefixes, r.String()) {
			text := r.String()
			if ones, bits := r.Mask.Size(); ones == bits {
				text = r.IP.String()
			}
			extra = append(extra, text)
		}
	}
	return extra
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
