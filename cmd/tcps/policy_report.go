package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/terminal"
	"tcps/tlsserver"
)

// A policyReport is what policy test reports.
type policyReport struct {
	Version     int                           `json:"version"`
	In          bool                          `json:"in"`
	Reason      certs.Reason                  `json:"reason"` // done: it gets in
	Rule        string                        `json:"rule,omitempty"`
	Error       string                        `json:"error,omitempty"`
	Alerts      []policyAlert                 `json:"alerts,omitempty"`
	Matches     []string                      `json:"matches,omitempty"`
	Asked       bool                          `json:"asked"`
	Certificate *certs.CertificateDescription `json:"certificate,omitempty"`
	ServerName  string                        `json:"server_name,omitempty"`
	Names       []string                      `json:"names,omitempty"`
	Service     string                        `json:"service,omitempty"`
	Address     *policyAddress                `json:"address,omitempty"`
	Notes       []string                      `json:"notes,omitempty"`

	vouched bool // there are authorities that vouch for clients
	oneLine string
}

// A policyAlert is what a refused client is told.
type policyAlert struct {
	TLS   string `json:"tls"`
	Alert string `json:"alert"`
}

// A policyAddress says what is done with connections from an address.
type policyAddress struct {
	Address     string `json:"address"`
	ProxyHeader string `json:"proxy_header"` // none, optional or required

	addr netip.Addr // the zero value: unix
}

// report judges a client, in each version that the server speaks.
func (t *tested) report(c *cli.Context, v tlsserver.Visitor) (*policyReport, error) {
	r := &policyReport{Version: 1, ServerName: terminal.Printable(v.ServerName), Service: terminal.Printable(t.service)}
	var err error
	if r.Address, err = policyAddressOf(c.String("address"), t.server.ProxyProtocol); err != nil {
		return nil, err
	}
	if t.server.StrictSNI && v.ServerName != "" {
		r.Notes = append(r.Notes, "whether there is a certificate for the name (strict-sni) was not looked at")
	}
	if r.Address != nil && r.Address.ProxyHeader != "required" {
		v.Addr = r.Address.addr
	}
	verdict, err := t.server.Judge(c.Context, v)
	if err != nil {
		return nil, failure(fmt.Errorf("judge the client: %w", err))
	}
	r.take(verdict)
	r.vouched = t.vouches(verdict.Names)
	if len(v.Chain) > 0 {
		described := certs.DescribeCertificate(v.Chain[0], time.Now())
		r.Certificate, r.oneLine = &described, certs.OneLine(v.Chain[0])
	}
	r.addAlerts(c.Context, t.server, v, verdict)
	return r, nil
}

// take takes over what the server thinks.
func (r *policyReport) take(v *tlsserver.Verdict) {
	r.In, r.Reason, r.Asked = v.Err == nil, certs.Reason(terminal.Printable(string(v.Reason))), v.Asked
	r.Rule = terminal.Printable(v.Rule)
	for _, m := range v.Matches {
		r.Matches = append(r.Matches, terminal.Printable(m))
	}
	r.Names = v.Names
	if v.Err != nil {
		r.Error = terminal.Printable(v.Err.Error())
	}
}

// addAlerts adds what the client is told, in the older version too.
func (r *policyReport) addAlerts(ctx context.Context, s *tlsserver.Server, v tlsserver.Visitor, newest *tlsserver.Verdict) {
	if r.In {
		return
	}
	if _, ok := errors.AsType[*tlsserver.AddressError](newest.Err); ok {
		return // closed as it came
	}
	r.Alerts = []policyAlert{{tls.VersionName(newest.Version), newest.Alert}}
	if newest.Version != tls.VersionTLS13 || s.MinVersion == tls.VersionTLS13 {
		return
	}
	v.Version = tls.VersionTLS12
	if older, err := s.Judge(ctx, v); err == nil && older.Err != nil {
		r.Alerts = append(r.Alerts, policyAlert{tls.VersionName(older.Version), older.Alert})
	}
}

// vouches reports whether authorities vouch for the clients that ask for these
// names; nil: for none of those that there are rules for.
func (t *tested) vouches(names []string) bool {
	for _, n := range t.trust.names {
		if len(names) > 0 && n.names[0] == names[0] {
			return len(n.clientCAs) > 0
		}
	}
	return len(t.trust.clientCAs) > 0
}

// policyAddressOf says what is done with connections from an address; nil: none is given.
func policyAddressOf(text string, p *tlsserver.ProxyProtocol) (*policyAddress, error) {
	if text == "" {
		return nil, nil
	}
	a := &policyAddress{Address: text, ProxyHeader: "none"}
	var peer net.Addr = &net.UnixAddr{Net: "unix"}
	if text != "unix" {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, misuse("write an address without a port, or unix", "flag --address: %q is no address", text)
		}
		a.addr = addr.Unmap().WithZone("")
		peer = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
	}
	switch {
	case p.Trusts(peer) && p.Optional:
		a.ProxyHeader = "optional"
	case p.Trusts(peer):
		a.ProxyHeader = "required"
	}
	return a, nil
}

// print says it in words.
func (r *policyReport) print(w io.Writer) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", label+":", fmt.Sprintf(format, args...))
	}
	if r.In {
		fmt.Fprintln(w, "in")
	} else {
		fmt.Fprintf(w, "refused: %s\n", r.Reason)
	}
	line("why", "%s", r.why())
	if !r.In {
		line("alert", "%s", r.alertsInWords())
	}
	for _, m := range r.Matches {
		line("matches", "--%s", m)
	}
	switch {
	case r.Certificate == nil:
		line("certificate", "none")
	case !r.Asked:
		line("certificate", "%s; it is not asked for, and so not looked at", r.oneLine)
	default:
		line("certificate", "%s", r.oneLine)
	}
	line("server name", "%s", r.namesInWords())
	if r.Address != nil {
		line("address", "%s: %s", r.Address.Address, proxyInWords[r.Address.ProxyHeader])
	}
	for _, note := range r.Notes {
		line("note", "%s", note)
	}
}

var proxyInWords = map[string]string{
	"none":     "no PROXY header is read from there",
	"optional": "a PROXY header from there may name the client",
	"required": "a PROXY header has to come from there, and names the client",
}

// why is what decided.
func (r *policyReport) why() string {
	kind, _, _ := strings.Cut(r.Rule, "=")
	switch {
	case !r.In && r.Rule == "check":
		return r.Error
	case !r.In && strings.HasPrefix(r.Rule, "deny-"):
		return "it matches --" + r.Rule + ", and deny wins"
	case !r.In && r.Rule == "allow-from":
		return "its address is in no prefix of --allow-from"
	case !r.In && strings.HasPrefix(kind, "allow-"):
		return "it matches no allow rule; there are --" + strings.ReplaceAll(r.Rule, ",", " and --")
	case r.Reason == "no-certificate":
		return "a client certificate is required, and it has none"
	case r.Reason == "sni":
		return "it asks for no name (strict-sni)"
	case !r.In:
		return r.Error
	case r.Rule != "":
		return "it matches --" + r.Rule
	case !r.Asked:
		return "no client certificate is asked for"
	case r.Certificate == nil:
		return "a client certificate is optional"
	case r.vouched:
		return "an authority vouches for it (--client-ca), and no rule is against it"
	}
	return "no rule is against it"
}

func (r *policyReport) alertsInWords() string {
	if len(r.Alerts) == 0 || r.Alerts[0].Alert == "" {
		return "none: the connection is closed"
	}
	first := r.Alerts[0]
	if len(r.Alerts) == 1 || r.Alerts[1].Alert == first.Alert {
		return first.Alert
	}
	return fmt.Sprintf("%s (%s), %s (%s)", first.Alert, first.TLS, r.Alerts[1].Alert, r.Alerts[1].TLS)
}

func (r *policyReport) namesInWords() string {
	name := r.ServerName
	if name == "" {
		name = "none"
	}
	if len(r.Names) > 0 {
		return name + ", by the rules for " + strings.Join(r.Names, " ")
	}
	return name
}
