package tlsserver

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tcps/internal/pin"
	"tcps/internal/reason"
)

// A Policy decides by identity who may connect. Deny wins. With no allow rule,
// whoever the authorities vouch for gets in; with one or more, whoever matches
// any of them, and nobody else.
type Policy struct {
	Allow []Rule
	Deny  []Rule

	// Check, if set, is asked last, about those that the rules let in: an
	// error refuses. The identity is nil for a client without a certificate.
	// It is called at the same time from many handshakes, and by SetTrust for
	// the connections that are open.
	Check func(*Identity) error
}

// A RuleKind is what of an identity a rule looks at.
type RuleKind string

// The kinds of rules.
const (
	RuleCN    RuleKind = "cn"    // subject common name
	RuleOU    RuleKind = "ou"    // subject organizational unit
	RuleDNS   RuleKind = "dns"   // DNS name
	RuleEmail RuleKind = "email" // e-mail address
	RuleIP    RuleKind = "ip"    // IP address or prefix
	RuleURI   RuleKind = "uri"   // URI, such as a SPIFFE ID
	RulePin   RuleKind = "pin"   // SHA-256 of the public key
)

// RuleKinds are all kinds, in the order in which help texts list them.
var RuleKinds = []RuleKind{RuleCN, RuleOU, RuleDNS, RuleEmail, RuleIP, RuleURI, RulePin}

// A Rule is a kind and a pattern. ParseRule makes one; SetTrust refuses the zero
// value.
type Rule struct {
	kind  RuleKind
	value string
	match func(*Identity) bool
}

// ParseRule makes a rule. In the pattern a * stands for any characters within
// one label of a name (between dots) or one segment of a URI's path. DNS names
// and the hosts of e-mail addresses and URIs are compared without case, all
// else with, as it is written. An IP pattern is an address or a prefix; a pin is 32 bytes in
// base64 or hex.
func ParseRule(kind RuleKind, value string) (Rule, error) {
	match, err := matcher(kind, value)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %s %q: %w", kind, value, err)
	}
	return Rule{kind, value, match}, nil
}

// Kind is what the rule looks at.
func (r Rule) Kind() RuleKind { return r.kind }

// String is the rule as kind=value.
func (r Rule) String() string { return string(r.kind) + "=" + r.value }

// Matches reports whether what the rule looks for is in an identity; in nil and
// with the zero Rule never.
func (r Rule) Matches(id *Identity) bool { return id != nil && r.match != nil && r.match(id) }

func matcher(kind RuleKind, value string) (func(*Identity) bool, error) {
	if strings.TrimSpace(value) == "" {
		return nil, errors.New("the pattern is empty")
	}
	switch kind {
	case RuleIP:
		return ipMatcher(value)
	case RulePin:
		return pinMatcher(value)
	}
	if strings.Contains(value, "**") {
		return nil, errors.New("** is not a pattern: a * stands for one label or path segment, or a part of it")
	}
	names, match := func(*Identity) []string { return nil }, matchLabels
	switch kind {
	case RuleCN:
		names = func(id *Identity) []string { return []string{id.CommonName} }
	case RuleOU:
		names = func(id *Identity) []string { return id.OrganizationalUnits }
	case RuleDNS:
		names, match = func(id *Identity) []string { return id.DNSNames }, matchDNS
	case RuleEmail:
		names, match = func(id *Identity) []string { return id.EmailAddresses }, matchEmail
	case RuleURI:
		names, match = func(id *Identity) []string { return id.URIs }, matchURI
	default:
		return nil, fmt.Errorf("unknown kind: want one of %v", RuleKinds)
	}
	return func(id *Identity) bool {
		for _, name := range names(id) {
			if name != "" && match(value, name) {
				return true
			}
		}
		return false
	}, nil
}

func ipMatcher(value string) (func(*Identity) bool, error) {
	prefix, err := ParsePrefix(value)
	if err != nil {
		return nil, err
	}
	return func(id *Identity) bool {
		for _, addr := range id.IPAddresses {
			if prefix.Contains(addr) {
				return true
			}
		}
		return false
	}, nil
}

// ParsePrefix reads an address or a prefix. IPv4 within IPv6 is IPv4, as it is
// in the addresses that are compared with it.
func ParsePrefix(value string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, errors.New("neither an IP address nor a prefix such as 10.0.0.0/8")
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	prefix = unmapped(prefix)
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("the address has bits beyond the prefix: %s is meant, or %s", prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

func pinMatcher(value string) (func(*Identity) bool, error) {
	want, err := pin.Parse(value)
	if err != nil {
		return nil, err
	}
	return func(id *Identity) bool { return id.Pin == want }, nil
}

// A PolicyError says that a policy refused a peer.
type PolicyError struct {
	// Rule is the rule that decided, as kind=value with deny- or allow- in
	// front, or the kinds of the allow rules none of which matched.
	Rule        string
	Certificate *x509.Certificate // nil: the peer presented none
	Err         error             // of Policy.Check; else nil
}

func (e *PolicyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("policy refuses the client: %v", e.Err)
	}
	return "policy refuses the client: " + e.Rule
}

func (e *PolicyError) Unwrap() error { return e.Err }

// judge returns nil for who may connect, and an error with its reason else.
func (p *Policy) judge(id *Identity) error {
	if p == nil {
		return nil
	}
	if id == nil {
		if len(p.Allow) > 0 {
			return &reason.Error{Reason: reason.NoCertificate, Err: errors.New("client presented no certificate, and there are allow rules")}
		}
		return p.ask(id)
	}
	for _, rule := range p.Deny {
		if rule.match(id) {
			return refused("deny-"+rule.String(), id, nil)
		}
	}
	if len(p.Allow) == 0 {
		return p.ask(id)
	}
	for _, rule := range p.Allow {
		if rule.match(id) {
			return p.ask(id)
		}
	}
	return refused(kindsOf(p.Allow), id, nil)
}

// ask asks Check, if there is one.
func (p *Policy) ask(id *Identity) error {
	if p.Check == nil {
		return nil
	}
	if err := p.Check(id); err != nil {
		return refused("check", id, err)
	}
	return nil
}

func refused(rule string, id *Identity, err error) error {
	e := &PolicyError{Rule: rule, Err: err}
	if id != nil {
		e.Certificate = id.Certificate
	}
	return &reason.Error{Reason: reason.Policy(rule), Err: e}
}

// kindsOf lists the kinds of rules, each once, as the flags are named.
func kindsOf(rules []Rule) string {
	var kinds []string
	for _, kind := range RuleKinds {
		if slices.ContainsFunc(rules, func(r Rule) bool { return r.kind == kind }) {
			kinds = append(kinds, "allow-"+string(kind))
		}
	}
	return strings.Join(kinds, ",")
}

func (p *Policy) hasRules() bool { return p != nil && len(p.Allow)+len(p.Deny) > 0 }

func (p *Policy) allow() []Rule {
	if p == nil {
		return nil
	}
	return p.Allow
}

func (p *Policy) allowsPins() bool {
	return slices.ContainsFunc(p.allow(), func(r Rule) bool { return r.kind == RulePin })
}

// needsAuthority reports whether the rules can only be judged by names that an
// authority vouches for, or could never be reached.
func (p *Policy) needsAuthority() bool {
	if p == nil {
		return false
	}
	byName := func(r Rule) bool { return r.kind != RulePin }
	return slices.ContainsFunc(p.Allow, byName) || slices.ContainsFunc(p.Deny, byName) ||
		len(p.Deny) > 0 && len(p.Allow) == 0
}

func (p *Policy) check() error {
	if p == nil {
		return nil
	}
	empty := func(r Rule) bool { return r.match == nil }
	if slices.ContainsFunc(p.Allow, empty) || slices.ContainsFunc(p.Deny, empty) {
		return errors.New("a rule of the policy is empty: ParseRule makes one")
	}
	return nil
}
