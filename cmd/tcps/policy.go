package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsserver"
)

const policyUsage = `tcps policy COMMAND [FLAG…]

Examples:
  tcps policy test --client-ca ca.pem --allow-cn billing --certificate alice.pem
  tcps policy test --config tcps.yaml --service db --certificate alice.pem --sni db.example.org`

const policyTestUsage = `tcps policy test [FLAG…]

Says whether a client would get in, which rule decides, and what the client is
told; by the rules that the flags of "tcps serve" give, or by those of a service
of a file (--config, --service). The client is judged by a real handshake in
memory, up to where a server has judged it: its key is not needed. Nothing is
listened on, and no service is reached.

Flags about clients beside --config go before what the file says, as with "tcps
run": so one sees what a change would do.

Examples:
  tcps policy test --client-ca ca.pem --allow-cn billing --certificate alice.pem
  tcps policy test --client-ca ca.pem --deny-ou guests --certificate none
  tcps policy test --client-ca ca.pem --crl revoked.pem --certificate alice.p12
  tcps policy test --config tcps.yaml --service db --certificate alice.pem --sni db.example.org
  tcps policy test --client-ca ca.pem --certificate alice.pem --json | jq .reason

Exit status: 0 the client gets in, 1 something cannot be read, 2 wrong usage; else
it does not get in: 5 for what it says of TLS, 6 not trusted or for another use,
8 expired or not yet valid, 9 revoked, 10 a rule, or no certificate.`

const policyCategory = "The client"

func (p *program) policyCommand() *cli.Command {
	return &cli.Command{
		Name: "policy", Usage: "who would get in, and by which rule", UsageText: policyUsage, Action: noSubcommand,
		Subcommands: []*cli.Command{{
			Name: "test", Usage: "say whether a client would get in, and why", UsageText: policyTestUsage, Action: p.policyTest,
			Flags: slices.Concat([]cli.Flag{
				stringFlag(policyCategory, "certificate", "none", "`FILE` with the client's certificate and its chain, PEM, DER or PKCS#12; - is standard input; none: it has none"),
				stringFlag(policyCategory, "sni", "none", "`NAME` that the client asks for; none: for no name"),
				stringFlag(policyCategory, "address", "", "`ADDRESS` that the connection comes from, or unix"),
				configFlag(),
				stringFlag("Files", "service", "", "`NAME` of the service of --config whose rules are meant; not needed where there is one only"),
				jsonFlag(),
				stateFlag(),
			}, nameFlags(), addressFlags(), proxyInFlags(), passphraseFlags()),
		}},
	}
}

func (p *program) policyTest(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	t, err := p.testedBy(c)
	if err != nil {
		return err
	}
	visitor, err := p.visitorOf(c)
	if err != nil {
		return err
	}
	if err := p.fetchAll(c.Context, t.trust); err != nil {
		return err
	}
	r := &reloader{config: t.trust, server: t.server, log: slog.New(warningsOnly{slog.DiscardHandler, p.warn})}
	source, err := sourceFor(visitor.ServerName)
	if err != nil {
		return failure(err)
	}
	if err := r.load(source); err != nil {
		return err
	}
	report, err := t.report(c, visitor)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = p.printJSON(report)
	} else {
		report.print(p.out)
	}
	if code := report.Reason.ExitCode(); err == nil && code != 0 {
		return exitStatus(code)
	}
	return err
}

// A tested is whose rules a client is tested against.
type tested struct {
	service string // of a file; empty: the flags of the command line
	server  *tlsserver.Server
	trust   *trustConfig
}

// testedBy reads the flags, or the service of a file that they name.
func (p *program) testedBy(c *cli.Context) (*tested, error) {
	if path := c.String("config"); path != "" {
		return p.testedService(c, path)
	}
	if c.String("service") != "" {
		return nil, misuse("name the file: --config FILE", "--service without --config: there is no file that it could be in")
	}
	t := &tested{server: new(tlsserver.Server), trust: new(trustConfig)}
	var err error
	if t.server.ProxyProtocol, err = proxyInOf(c); err != nil {
		return nil, err
	}
	if t.trust.clientTrust, err = clientTrustOf(c); err != nil {
		return nil, err
	}
	_, err = addressBookOf(c, t.server, slog.New(slog.DiscardHandler))
	return t, err
}

// testedService reads a service of a file as "tcps run" does.
func (p *program) testedService(c *cli.Context, path string) (*tested, error) {
	specs, err := p.specsOf(path, c)
	if err != nil {
		return nil, err
	}
	s, err := chosenSpec(specs, path, c.String("service"))
	if err != nil {
		return nil, err
	}
	flags, named, err := s.contexts(c.Context)
	if err != nil {
		return nil, s.locate(err)
	}
	serving, err := p.servingOf(flags, s.name, named)
	if err != nil {
		return nil, s.locate(err)
	}
	if err := p.configurerOf(s)(flags, serving); err != nil {
		return nil, s.locate(err)
	}
	if !serving.secure() {
		return nil, s.locate(misuse("", "TLS does not end here: no rule for clients can apply"))
	}
	if _, err := addressBookOf(flags, serving.server, serving.log); err != nil {
		return nil, s.locate(err)
	}
	return &tested{s.name, serving.server, serving.trust}, nil
}

func chosenSpec(specs []*spec, path, name string) (*spec, error) {
	if name == "" && len(specs) == 1 {
		return specs[0], nil
	}
	var names []string
	for _, s := range specs {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	if name == "" {
		return nil, misuse(namesHint(names), "--config %s has several services: say which with --service NAME", path)
	}
	return nil, misuse(namesHint(names), "%s: there is no service %q", path, name)
}

// givenName is the value of a flag for which none is nothing.
func givenName(c *cli.Context, flag string) string {
	if value := c.String(flag); value != "none" {
		return value
	}
	return ""
}

// visitorOf is the client that the flags describe.
func (p *program) visitorOf(c *cli.Context) (v tlsserver.Visitor, err error) {
	v.ServerName = givenName(c, "sni")
	if name, err := tlsserver.ServerName(v.ServerName); v.ServerName != "" && (err != nil || strings.HasPrefix(name, "*")) {
		return v, misuse("for instance: --sni db.example.org", "flag --sni: %q is no name that a client could ask for", v.ServerName)
	}
	if file := givenName(c, "certificate"); file != "" {
		if v.Chain, err = p.loadChain(file, p.passphrase(c)); err != nil {
			return v, fileFailure(err)
		}
	}
	return v, nil
}

// fetchAll fetches each list once; what does not come is as it is for a server
// that begins.
func (p *program) fetchAll(ctx context.Context, t *trustConfig) error {
	for _, part := range t.parts() {
		p.fetchLists(ctx, part.revocation.fetcher)
	}
	return ctx.Err()
}

// sourceFor has a certificate for the name that the client asks for: which ones
// a server has is not what is tested.
func sourceFor(name string) (certs.Source, error) {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost", Unconstrained: true})
	if err != nil {
		return nil, err
	}
	issued, err := authority.Issue(certs.Request{Names: []string{cmp.Or(name, "localhost")}})
	if err != nil {
		return nil, err
	}
	return certs.Static(issued.Certificate), nil
}

// warningsOnly is a log of which only the warnings are shown, as those of a command
// that does not serve.
type warningsOnly struct {
	slog.Handler
	warn func(...string)
}

func (w warningsOnly) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (w warningsOnly) Handle(_ context.Context, r slog.Record) error {
	w.warn(r.Message)
	return nil
}
