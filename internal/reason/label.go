package reason

import (
	"slices"
	"strings"
)

// words are the reasons without a detail.
var words = []Reason{
	Done, ClosedBeforeHello, NotTLS, Malformed, Version, NoSharedCipher, NoSharedGroup, ALPN, SNI, NoCertificate, Untrusted, Name, Pin,
	Expired, NotYetValid, WrongUsage, Revoked, NotResumed, ProxyHeader, Truncated, Reset, Shutdown, Failed,
}

// limits are the WHICH of Limit, timeouts those of Timeout, by whose they are.
var (
	limits = []string{
		"connections", "address", "identity", "rate", "address-rate", "hellos", "descriptors", "memory", // a server's
		"hello",                             // a passthrough's
		"line", "slow", "room", "processes", // a service's
	}
	timeouts = []string{
		"proxy-header", "hello", "handshake", "first-byte", "idle", "write", "age", // a server's
		"service",                                   // a Handler's own
		"connect", "login", "ticket", "known-hosts", // a client's, or a tunnel's that dials
	}
)

// refusals are what peer-refused-us has beside the names of alerts.
var refusals = []string{"greeting", "proxy-authentication", "unknown"}

// Label is the reason as a metric can have it: one of Labels. There are as many
// RULEs as somebody writes, so policy:RULE is policy; so is any other detail left
// out that is none of ours. A word that a Handler has made up stays as it is.
func (r Reason) Label() string {
	kind, detail, _ := strings.Cut(string(r), ":")
	known := false
	switch kind {
	case "limit":
		known = slices.Contains(limits, detail)
	case "timeout":
		known = slices.Contains(timeouts, detail)
	case "peer-refused-us":
		known = slices.Contains(refusals, detail) || isAlert(detail)
	case "target":
		return kind + ":" + Reason(detail).Label()
	}
	if known {
		return string(r)
	}
	return kind
}

// isAlert is whether an alert has this name.
func isAlert(name string) bool {
	for _, known := range alertNames {
		if name == known {
			return true
		}
	}
	return false
}

// Labels are all the labels of our reasons, in alphabetical order; those that
// begin with "target:", of a tunnel, only if targets is set.
func Labels(targets bool) []string {
	all := []string{"policy", "limit", "timeout", "peer-refused-us"}
	for _, word := range words {
		all = append(all, string(word))
	}
	for _, which := range limits {
		all = append(all, string(Limit(which)))
	}
	for _, which := range timeouts {
		all = append(all, string(Timeout(which)))
	}
	for _, refusal := range refusals {
		all = append(all, string(PeerRefusedUs(refusal)))
	}
	for _, alert := range alertNames {
		all = append(all, string(PeerRefusedUs(alert)))
	}
	if targets {
		for _, label := range slices.Clone(all) {
			all = append(all, string(Target(Reason(label))))
		}
	}
	slices.Sort(all)
	return all
}
