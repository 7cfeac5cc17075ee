package tlsserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"tcps/internal/reason"
)

// AddressRules decide by the client's address who may connect, before anything is
// read or said. Deny wins. With no allow rule all others may; with one or more,
// who is in any of them. Clients over Unix sockets have no address: the mode
// of the socket is for them.
type AddressRules struct {
	Allow, Deny []netip.Prefix
}

// SetAddressRules replaces the rules in one step; nil: everybody may connect.
// Open connections that they refuse are ended. The server keeps no reference to
// the value.
func (s *Server) SetAddressRules(r *AddressRules) (ended int) {
	var rules *addressRules
	if r != nil {
		rules = &addressRules{allow: newPrefixSet(r.Allow), deny: newPrefixSet(r.Deny)}
	}
	s.addressRules.Store(rules)
	for _, c := range s.open() {
		if refusal := rules.judge(c.judgedAddr()); refusal != nil {
			c.refuse(refusal)
			ended++
		}
	}
	return ended
}

// addressRules is what a server makes of AddressRules: nil lets everybody in.
type addressRules struct{ allow, deny prefixSet }

// judge is the verdict on an address; the zero one is none, and is let in.
func (r *addressRules) judge(addr netip.Addr) error {
	if r == nil || !addr.IsValid() {
		return nil
	}
	if prefix, ok := r.deny.find(addr); ok {
		return refusedAddress(addr, "deny-from="+prefix.String())
	}
	if _, ok := r.allow.find(addr); !ok && !r.allow.empty() {
		return refusedAddress(addr, "allow-from")
	}
	return nil
}

// explain finds the rules that match an address, those that deny first, and the
// one that let it in; empty: none had to.
func (r *addressRules) explain(addr netip.Addr) (rule string, matches []string) {
	if r == nil || !addr.IsValid() {
		return "", nil
	}
	if prefix, ok := r.deny.find(addr); ok {
		matches = append(matches, "deny-from="+prefix.String())
	}
	if prefix, ok := r.allow.find(addr); ok {
		rule = "allow-from=" + prefix.String()
		matches = append(matches, rule)
	}
	return rule, matches
}

// An AddressError says that a rule by address refuses a client.
type AddressError struct {
	Addr netip.Addr
	Rule string // deny-from=PREFIX, or allow-from where no prefix that is allowed has the address
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %s is refused by the rule %s", e.Addr, e.Rule)
}

func refusedAddress(addr netip.Addr, rule string) error {
	return WithReason(reason.Policy(rule), &AddressError{addr, rule})
}

// A prefixSet finds the longest prefix that an address is in, in one look for
// each length that there is.
type prefixSet struct {
	lengths  []int // that there are, the longest first
	prefixes map[netip.Prefix]struct{}
}

func newPrefixSet(prefixes []netip.Prefix) prefixSet {
	set := prefixSet{prefixes: make(map[netip.Prefix]struct{}, len(prefixes))}
	for _, p := range prefixes {
		p = unmapped(p.Masked())
		set.prefixes[p] = struct{}{}
		if !slices.Contains(set.lengths, p.Bits()) {
			set.lengths = append(set.lengths, p.Bits())
		}
	}
	slices.Sort(set.lengths)
	slices.Reverse(set.lengths)
	return set
}

func (s prefixSet) empty() bool { return len(s.prefixes) == 0 }

func (s prefixSet) find(addr netip.Addr) (netip.Prefix, bool) {
	for _, length := range s.lengths {
		if prefix, err := addr.Prefix(length); err == nil {
			if _, ok := s.prefixes[prefix]; ok {
				return prefix, true
			}
		}
	}
	return netip.Prefix{}, false
}

// unmapped writes ::ffff:192.0.2.0/120 as 192.0.2.0/24.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// addrOf is the address of a peer, IPv4 as such and without a zone; the zero
// value where there is none.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
