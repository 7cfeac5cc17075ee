package tlsclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tcps/internal/reason"
)

// NoSNI is the value of Dialer.SNI with which no server name is sent.
const NoSNI = "-"

// sni is what crypto/tls takes for the server's name; it leaves out addresses.
func (d *Dialer) sni(name string) string {
	switch d.SNI {
	case "":
		return name
	case NoSNI:
		return ""
	}
	return d.SNI
}

// checkOffer refuses what crypto/tls cannot offer, or would offer otherwise.
func (d *Dialer) checkOffer() error {
	for _, v := range []uint16{d.MinVersion, d.MaxVersion} {
		if v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
			return &reason.Error{Reason: reason.Version, Err: fmt.Errorf("%s is not spoken: want TLS 1.2 or TLS 1.3", tls.VersionName(v))}
		}
	}
	if d.RequireALPN && len(d.NextProtos) == 0 {
		return errors.New("RequireALPN is set, and NextProtos is empty")
	}
	if err := CheckSNI(d.SNI); d.SNI != "" && d.SNI != NoSNI && err != nil {
		return err
	}
	for _, group := range d.CurvePreferences {
		if !slices.ContainsFunc(groups, func(g namedGroup) bool { return g.id == group }) {
			return fmt.Errorf("group %v is not offered", group)
		}
	}
	if len(d.CurvePreferences) > 0 && d.MaxVersion == tls.VersionTLS12 && !slices.ContainsFunc(d.CurvePreferences, classic) {
		return errors.New("none of the groups can be used with TLS 1.2, which knows no hybrids")
	}
	return nil
}

// CheckSNI says why a name cannot be sent as that of a server (RFC 6066, 3).
func CheckSNI(name string) error {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return fmt.Errorf("server name %q is an address, which is never sent", name)
	}
	if name == "" || len(name) > 253 || strings.HasSuffix(name, ".") {
		return fmt.Errorf("server name %q: want 1 to 253 characters, and no dot at the end", name)
	}
	for _, r := range name {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("server name %q: want ASCII without spaces; names in other scripts are sent as xn--…", name)
		}
	}
	return nil
}

// A namedGroup is a key exchange group with its names, ours first.
type namedGroup struct {
	id    tls.CurveID
	names []string
}

// groups are those of crypto/tls, in its order.
var groups = []namedGroup{
	{tls.X25519MLKEM768, []string{"X25519MLKEM768"}},
	{tls.SecP256r1MLKEM768, []string{"SecP256r1MLKEM768"}},
	{tls.SecP384r1MLKEM1024, []string{"SecP384r1MLKEM1024"}},
	{tls.X25519, []string{"X25519"}},
	{tls.CurveP256, []string{"P-256", "secp256r1", "prime256v1", "CurveP256"}},
	{tls.CurveP384, []string{"P-384", "secp384r1", "CurveP384"}},
	{tls.CurveP521, []string{"P-521", "secp521r1", "CurveP521"}},
}

// classic reports whether TLS 1.2 has a group, too.
func classic(id tls.CurveID) bool {
	return slices.Contains([]tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}, id)
}

// GroupNames are the names of the key exchange groups that can be offered.
func GroupNames() []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.names[0])
	}
	return names
}

// GroupName is the name of a key exchange group as GroupNames has it.
func GroupName(id tls.CurveID) string {
	for _, g := range groups {
		if g.id == id {
			return g.names[0]
		}
	}
	return id.String()
}

// ParseGroup reads the name of a key exchange group as IANA, OpenSSL and
// crypto/tls write it, in any case.
func ParseGroup(name string) (tls.CurveID, error) {
	bare := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	for _, g := range groups {
		if slices.ContainsFunc(g.names, func(n string) bool { return bare(n) == bare(name) }) {
			return g.id, nil
		}
	}
	return 0, fmt.Errorf("group %q is none of %s", name, strings.Join(GroupNames(), ", "))
}
