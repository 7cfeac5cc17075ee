package tlsserver

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func TestRulesMatchWhatTheyShould(t *testing.T) {
	id := &Identity{
		Verified: true, CommonName: "billing", OrganizationalUnits: []string{"Payments", "EU"},
		DNSNames: []string{"db1.Prod.example.com"}, EmailAddresses: []string{"Ann.Lee@Example.com"},
		IPAddresses: []netip.Addr{netip.MustParseAddr("10.1.2.3")}, URIs: []string{"spiffe://Prod.example/ns/pay/sa/web-1.2"},
		Pin: [32]byte{1, 2, 3},
	}
	for _, c := range []struct {
		kind  RuleKind
		value string
		want  bool
	}{
		{RuleCN, "billing", true},
		{RuleCN, "Billing", false},
		{RuleCN, "bill*", true},
		{RuleCN, "billing*", true},
		{RuleCN, "*", true},
		{RuleCN, "bill", false},
		{RuleOU, "EU", true},
		{RuleOU, "US", false},
		{RuleDNS, "db1.prod.EXAMPLE.com", true},
		{RuleDNS, "*.prod.example.com", true},
		{RuleDNS, "*.example.com", false},
		{RuleDNS, "db*.prod.example.com", true},
		{RuleDNS, "*.*.example.com", true},
		{RuleDNS, "prod.example.com", false},
		{RuleDNS, "*", false},
		{RuleEmail, "Ann.Lee@example.com", true},
		{RuleEmail, "ann.lee@example.com", false},
		{RuleEmail, "*@example.com", true},
		{RuleEmail, "*@*.com", true},
		{RuleEmail, "*", false},
		{RuleIP, "10.1.2.3", true},
		{RuleIP, "10.0.0.0/8", true},
		{RuleIP, "11.0.0.0/8", false},
		{RuleIP, "::ffff:10.1.2.3", true},
		{RuleURI, "spiffe://prod.example/ns/pay/sa/web-1.2", true},
		{RuleURI, "spiffe://prod.example/ns/*/sa/*", true},
		{RuleURI, "spiffe://prod.example/ns/*", false},
		{RuleURI, "spiffe://prod.example/*/sa/web-1.2", false},
		{RuleURI, "spiffe://*.example/ns/pay/sa/web*", true},
		{RuleURI, "spiffe://prod.example/NS/pay/sa/web-1.2", false},
		{RuleURI, "spiffe://prod.example./ns/pay/sa/web-1.2", true},
		{RuleIP, "::ffff:10.0.0.0/104", true},
		{RuleURI, "https://prod.example/ns/pay/sa/web-1.2", false},
		{RulePin, hex.EncodeToString(id.Pin[:]), true},
		{RulePin, "sha256//" + base64.StdEncoding.EncodeToString(id.Pin[:]), true},
		{RulePin, strings.Repeat("00", 32), false},
	} {
		rule, err := ParseRule(c.kind, c.value)
		if err != nil {
			t.Errorf("%s=%s: %v", c.kind, c.value, err)
			continue
		}
		if got := rule.match(id); got != c.want {
			t.Errorf("%s matches: %v, want %v", rule, got, c.want)
		}
	}
}

func TestAStarStaysInItsLabelSegmentOrMailbox(t *testing.T) {
	for _, c := range []struct {
		match      func(pattern, s string) bool
		pattern, s string
		want       bool
	}{
		{matchURI, "spiffe://*.good.test/x", "spiffe://a.good.test/x", true},
		{matchURI, "spiffe://*.good.test/x", "spiffe://evil@a.good.test/x", false},
		{matchURI, "spiffe://*/x", "spiffe://host:1/x", false},
		{matchURI, "spiffe://h/*", "spiffe://h/x?admin=1", false},
		{matchURI, "spiffe://h/*", "spiffe://h/x#y", false},
		{matchURI, "urn:a:*", "urn:a:b", true},
		{matchEmail, "*@evil.test", `"a@b"@evil.test`, true},
		{matchEmail, "*@evil.test", "a@evil.test.good.test", false},
		{matchDNS, "*.test", "a.b.test", false},
		{matchDNS, "*.test", ".test", false},
	} {
		if got := c.match(c.pattern, c.s); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

func TestParseRuleNamesTheMistake(t *testing.T) {
	for value, c := range map[string]struct {
		kind RuleKind
		want string
	}{
		"":                      {RuleCN, "empty"},
		" ":                     {RuleDNS, "empty"},
		"spiffe://x/**":         {RuleURI, "** is not a pattern"},
		"10.0.0":                {RuleIP, "neither an IP address nor a prefix"},
		"10.1.2.3/8":            {RuleIP, "10.0.0.0/8 is meant, or 10.1.2.3"},
		"10.0.0.0/33":           {RuleIP, "neither an IP address nor a prefix"},
		"abc":                   {RulePin, "not the base64 or hex of 32 bytes"},
		strings.Repeat("0", 62): {RulePin, "not the base64 or hex of 32 bytes"},
		"x":                     {"serial", "unknown kind"},
	} {
		if _, err := ParseRule(c.kind, value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%q: %v, want it to say %q", c.kind, value, err, c.want)
		}
	}
}

func TestDenyWinsAndAllowRulesAreAlternatives(t *testing.T) {
	parse := func(rules ...string) (parsed []Rule) {
		for _, r := range rules {
			kind, value, _ := strings.Cut(r, "=")
			rule, err := ParseRule(RuleKind(kind), value)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, rule)
		}
		return parsed
	}
	id := &Identity{CommonName: "a", URIs: []string{"x://h/p"}}
	for _, c := range []struct {
		name        string
		allow, deny []Rule
		want        string // what the refusal says; empty: in
	}{
		{"no rules", nil, nil, ""},
		{"denied", nil, parse("cn=a"), "deny-cn=a"},
		{"denied and allowed", parse("cn=a"), parse("uri=x://h/*"), "deny-uri=x://h/*"},
		{"another is denied", nil, parse("cn=b"), ""},
		{"one of two kinds", parse("cn=b", "uri=x://h/p"), nil, ""},
		{"none of two kinds", parse("uri=x://h/q", "cn=b", "cn=c"), nil, "allow-cn,allow-uri"},
	} {
		err := (&Policy{Allow: c.allow, Deny: c.deny}).judge(id)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: refused, %v", c.name, err)
		case c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), ": "+c.want)):
			t.Errorf("%s: %v, want a refusal by %s", c.name, err, c.want)
		}
	}
}

// slowGlob is glob by its definition: a * is tried with every length.
func slowGlob(pattern, s, separators string) bool {
	return slowGlobAt(pattern, 0, s, separators)
}

func slowGlobAt(pattern string, p int, s, separators string) bool {
	switch {
	case p == len(pattern):
		return s == ""
	case pattern[p] != '*':
		return s != "" && s[0] == pattern[p] && slowGlobAt(pattern, p+1, s[1:], separators)
	}
	least := 0
	if wholeStar(pattern, p, separators) {
		least = 1
	}
	for n := least; n <= len(s); n++ {
		if n > 0 && strings.Contains(separators, s[n-1:n]) {
			return false
		}
		if slowGlobAt(pattern, p+1, s[n:], separators) {
			return true
		}
	}
	return false
}

func FuzzPolicyPattern(f *testing.F) {
	for _, seed := range []string{"*.a.b", "a*b*c.d", "**", "*a*.*b", "spiffe://x/*/y"} {
		f.Add(seed, "xa.yb")
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 30 || len(s) > 30 {
			return
		}
		if got, want := glob(pattern, s, "./"), slowGlob(pattern, s, "./"); got != want {
			t.Errorf("glob(%q, %q) = %v, want %v", pattern, s, got, want)
		}
		id := &Identity{CommonName: s, DNSNames: []string{s}, EmailAddresses: []string{s}, URIs: []string{s}}
		for _, kind := range RuleKinds {
			if rule, err := ParseRule(kind, pattern); err == nil {
				rule.match(id)
			} else if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
		}
	})
}
