package main

import (
	"cmp"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/probe"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

const inspectUsage = `tcps inspect [FLAG…] ENDPOINT

Says what a TLS server presents and accepts, and what is wrong with it: versions,
suites, groups, application protocols, resumption, its certificates, OCSP, and
whether it wants a certificate of its clients. It makes some 25 connections, to a
server that takes everything more than a hundred, four at a time. An exclamation
mark is before what is wrong or weak.

Examples:
  tcps inspect db.internal:8443
  tcps inspect --starttls smtp mail.example.org:25
  tcps inspect --json --warn-days 14 localhost:8120 | jq .days_left

Exit status: 0 good, 1 a part could not be found out, 2 wrong usage, 3 not
resolved or not connected, 4 timeout, 5 no TLS that clients of today speak, 6 the
certificate is not trusted or for another use, 7 wrong name, 8 expired or not yet
valid, 9 revoked, 10 the server refused us (that it wants a certificate and gets
none is no fault), 75 the certificate needs renewal (--warn-days). Of
several faults the one with the lowest status counts; what is only weak is said,
and is none.`

func (p *program) inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "say what a server presents and accepts, and what is wrong with it", UsageText: inspectUsage, Action: p.inspect,
		Flags: append([]cli.Flag{
			listFlag("Trust", "ca", "`FILE` or folder with the authorities that may vouch for the server, instead of the system's and the local one"),
			stringFlag("Trust", "name", "", "`NAME` that the server's certificate must have, instead of the endpoint's host"),
			listFlag("Trust", "cert", "PEM or PKCS#12 `FILE` with our certificate, its chain, and possibly its key"),
			listFlag("Trust", "key", "`FILE` with the key of the certificate in the same place"),
			stateFlag(),
			stringFlag("Connecting", "sni", "", "`NAME` to ask the server for, instead of the one that its certificate must have; none: send no name"),
			durationFlag("Connecting", "timeout", time.Minute, "`TIME` for all of it; a connection gets 10s of it at most"),
			listFlag("TLS", "alpn", "application `PROTOCOL` to offer, instead of the usual ones"),
			countFlag("Output", "warn-days", defaultWarnDays, "`DAYS` before the end of the certificate from which it needs renewal; by default no more than a third of its life"),
			jsonFlag(),
		}, slices.Concat(connectStartTLSFlags(), networkFlags("Connecting"), viaFlags(), listFlags("Trust", "the server"), passphraseFlags())...),
	}
}

const (
	defaultWarnDays = 21
	probeTimeout    = 10 * time.Second
)

// commonProtocols are those of IANA's registry of ALPN ids that run over TCP; not
// acme-tls/1, which is offered alone or not at all (RFC 8737, 4).
var commonProtocols = []string{
	"h2", "http/1.1", "http/1.0", "postgresql", "tds/8.0", "mqtt", "dot", "imap", "pop3", "managesieve", "ftp", "nntp",
	"irc", "xmpp-client", "xmpp-server", "sip/2", "stun.turn", "coap", "ntske/1", "sunrpc", "smb", "radius/1.0", "webrtc",
}

func (p *program) inspect(c *cli.Context) error {
	target, err := inspectTarget(c)
	if err != nil {
		return err
	}
	i, err := p.inspectionOf(c, target)
	if err != nil {
		return err
	}
	ctx := c.Context
	if timeout := durationOf(c, "timeout"); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := i.run(ctx); err != nil {
		return connectFailure(c, err)
	}
	if c.Bool("json") {
		err = p.printJSON(i.report)
	} else {
		i.report.print(p.out)
	}
	if err == nil && i.report.ExitStatus != 0 {
		err = exitStatus(i.report.ExitStatus)
	}
	return err
}

func inspectTarget(c *cli.Context) (endpoint.Endpoint, error) {
	switch c.Args().Len() {
	case 0:
		return endpoint.Endpoint{}, misuse("for instance: tcps inspect localhost:8120", "tcps inspect needs an endpoint")
	case 1:
	default:
		return endpoint.Endpoint{}, misuse("write an endpoint as host:port", "tcps inspect takes one endpoint, got %q too", c.Args().Get(1))
	}
	text := c.Args().First()
	if info, err := os.Stat(text); err == nil && info.Mode().IsRegular() {
		return endpoint.Endpoint{}, misuse("tcps certs show "+terminal.ShellWord(text)+" says what a file holds", "%q is a file, and tcps inspect asks servers", text)
	}
	target, err := dialledEndpoint(text)
	if err != nil {
		return target, err
	}
	if !target.TLS() {
		return target, misuse("write it as tcps://host:port or unixs:///path; --starttls PROTOCOL is for servers that begin in plain", "%s is plain: there is no TLS to inspect", target)
	}
	return target, nil
}

// An inspection is one run of the command, and what it has found so far.
type inspection struct {
	prober    *probe.Prober
	dialer    *tlsclient.Dialer
	report    *inspectReport
	protocols []string // to offer by ALPN
	warn      int      // days; negative: never
	warnGiven bool

	mu sync.Mutex // guards report.Failed while suites and groups are asked for
}

func (p *program) inspectionOf(c *cli.Context, target endpoint.Endpoint) (*inspection, error) {
	name, _, _ := strings.Cut(target.Host, "%") // the zone of an address is this machine's affair
	name = cmp.Or(c.String("name"), name)
	d, err := p.inspectDialer(c, target, name)
	if err != nil {
		return nil, err
	}
	i := &inspection{dialer: d, protocols: list(c, "alpn"), warn: countOf(c, "warn-days"), warnGiven: c.IsSet("warn-days")}
	if len(i.protocols) == 0 {
		i.protocols = commonProtocols
	}
	for _, protocol := range i.protocols {
		if len(protocol) > 255 {
			return nil, misuse("", "flag --alpn: a protocol of %d bytes: 255 are the most (RFC 7301, 3.1)", len(protocol))
		}
	}
	i.report = &inspectReport{Version: 1, Endpoint: target.String(), Name: name, StartTLS: d.StartTLS, At: time.Now().UTC().Truncate(time.Second)}
	if d.Via != nil {
		i.report.Via = d.Via.Scheme + "://" + d.Via.Host
	}
	i.prober = &probe.Prober{ServerName: name, Timeout: probeTimeout, Dial: i.dial(target)}
	return i, setSNI(c, i.prober)
}

// inspectDialer is for everything up to where TLS begins, and knows whom to trust.
func (p *program) inspectDialer(c *cli.Context, target endpoint.Endpoint, name string) (*tlsclient.Dialer, error) {
	d := &tlsclient.Dialer{ServerName: name, Timeout: probeTimeout, LingerTimeout: -1}
	if err := dialStartTLS(c, d, target); err != nil {
		return nil, err
	}
	if err := dialWay(c, d, target); err != nil {
		return nil, err
	}
	if err := p.dialTrust(c, d); err != nil {
		return nil, err
	}
	return d, p.dialRevocation(c, d)
}

func setSNI(c *cli.Context, p *probe.Prober) error {
	switch sni := c.String("sni"); sni {
	case "":
	case "none":
		p.ServerName = ""
	default:
		if err := tlsclient.CheckSNI(sni); err != nil {
			return misuse("--name is the name that the certificate must have", "flag --sni: %v", err)
		}
		p.ServerName = sni
	}
	return nil
}

// dial stays with the address that answered first: the others of a name may be
// other servers.
func (i *inspection) dial(target endpoint.Endpoint) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		to := target
		if i.report.Address != "" && !target.IsUnix() {
			to.Host, to.Port, _ = net.SplitHostPort(i.report.Address)
		}
		return i.dialer.DialBare(ctx, to.String())
	}
}

// run finds everything out. An error is that there is no TLS server at all.
func (i *inspection) run(ctx context.Context) error {
	first, err := i.meet(ctx)
	if err != nil {
		return err
	}
	i.askVersions(ctx)
	i.askSuitesAndGroups(ctx)
	i.askCertificate(ctx, first)
	if first.State.CipherSuite != 0 {
		i.askALPN(ctx)
		i.askResumption(ctx)
	}
	i.judge(first)
	i.report.Connections = i.prober.Connections()
	return nil
}

// meet shakes hands as a careful client would, and then with whatever crypto/tls
// can speak, to see the certificate at least.
func (i *inspection) meet(ctx context.Context) (*probe.Outcome, error) {
	o := i.prober.Handshake(ctx, probe.Handshake{Wait: true})
	if o.Remote == nil {
		return nil, o.Err
	}
	if o.Remote.Network() != "unix" && i.dialer.Via == nil {
		i.report.Address = o.Remote.String()
	}
	why := i.handshakeError(o.Err)
	if why != nil && why.Reason == tlsclient.ReasonALPN {
		i.prober.NextProtos = i.protocols // with each hello from now on
		o = i.prober.Handshake(ctx, probe.Handshake{Wait: true})
		why = i.handshakeError(o.Err)
	}
	if why == nil {
		return o, nil
	}
	if len(o.State.PeerCertificates) > 0 {
		i.unfinished(o, why)
		return o, nil
	}
	if why.Reason == tlsclient.ReasonNotTLS || why.Timeout() {
		return nil, why
	}
	i.noHandshake(why)
	if old := i.prober.Handshake(ctx, probe.Handshake{Wait: true, Old: true}); len(old.State.PeerCertificates) > 0 {
		return old, nil
	}
	return o, nil
}

// noHandshake is a fault of exit status 5, whatever the server says, unless it is its
// certificate that is wrong: it has not come to asking who we are.
func (i *inspection) noHandshake(why *tlsclient.Error) {
	word := why.Reason
	switch word {
	case tlsclient.ReasonUntrusted: // its certificate cannot be read, or its signature is wrong
		i.fault(word, "the handshake comes to no good end: "+why.Err.Error())
		return
	case tlsclient.PeerRefusedUs("handshake_failure"), tlsclient.PeerRefusedUs("insufficient_security"):
		word = tlsclient.ReasonNoSharedCipher // as Dial has it
	}
	i.faultOfTLS(word, "clients of today cannot shake hands with it: "+why.Err.Error())
}

// unfinished is a handshake that showed a certificate and came to nothing: it proves
// no key, and clients are not served. Only that a server wants a certificate of ours
// is no fault.
func (i *inspection) unfinished(o *probe.Outcome, why *tlsclient.Error) {
	text := "the handshake comes to no good end: " + why.Err.Error()
	switch kind := why.Reason.Kind(); {
	case o.Request != nil && wantsCertificate(why.Reason):
	case why.Timeout(), why.Reason == tlsclient.ReasonReset:
		i.unknown("whether it takes clients", why)
	case kind == "peer-refused-us", kind == tlsclient.ReasonUntrusted:
		i.fault(why.Reason, text)
	default:
		i.faultOfTLS(why.Reason, text)
	}
}

// wantsCertificate tells the alerts by which servers say that a certificate is
// missing (RFC 8446, 6.2; up to TLS 1.2 it is handshake_failure) from those for
// what else goes wrong there.
func wantsCertificate(why tlsclient.Reason) bool {
	return slices.ContainsFunc([]string{
		"certificate_required", "handshake_failure", "bad_certificate", "certificate_unknown", "unknown_ca", "access_denied",
	}, func(alert string) bool { return why == tlsclient.PeerRefusedUs(alert) })
}

// handshakeError is what a Dialer would say.
func (i *inspection) handshakeError(err error) *tlsclient.Error {
	if err == nil {
		return nil
	}
	return tlsclient.HandshakeError(i.report.Endpoint, err)
}

// whole is a handshake with our certificate, if there is one, with whatever the
// server can speak.
func (i *inspection) whole(version uint16) probe.Handshake {
	h := probe.Handshake{Version: version, Old: true}
	if i.dialer.Source != nil {
		h.Certificate = i.dialer.Source.ClientCertificate
	}
	return h
}

// unknown keeps what could not be found out.
func (i *inspection) unknown(what string, err error) {
	text := err.Error()
	if i.handshakeError(err).Timeout() {
		text = "timed out"
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.report.Failed = append(i.report.Failed, inspectFailure{what, terminal.Printable(text), i.handshakeError(err).Timeout()})
}
