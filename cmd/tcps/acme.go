package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
)

const acmeCategory = "Certificates by ACME"

func acmeFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(acmeCategory, "acme", "`NAME` to obtain a certificate for, from an ACME authority"),
		stringFlag(acmeCategory, "acme-ca", certs.LetsEncrypt, "`URL` of the authority's directory"),
		boolFlag(acmeCategory, "acme-staging", "use Let's Encrypt's staging authority, which nobody trusts, to try things out"),
		boolFlag(acmeCategory, "acme-agree", "agree to the authority's terms of service"),
		stringFlag(acmeCategory, "acme-email", "", "`ADDRESS` that the authority writes to"),
		stringFlag(acmeCategory, "acme-root", "", "`FILE` with the authorities that vouch for the directory, instead of the system's"),
		stringFlag(acmeCategory, "acme-eab-kid", "", "`ID` of the account that the authority knows already (external account binding)"),
		stringFlag(acmeCategory, "acme-eab-key-file", "", "`FILE` with that account's MAC key in base64url"),
		stringFlag(acmeCategory, "acme-profile", "", "`PROFILE` of the certificate, as the authority offers them"),
		stringFlag(acmeCategory, "acme-challenge", string(certs.TLSALPN), "`WAY` to prove that the names are ours: tls-alpn (on the service's own listener), http, dns"),
		stringFlag(acmeCategory, "acme-http", ":80", "`ADDRESS` to answer the http challenge on"),
		stringFlag(acmeCategory, "acme-dns-provider", "", "`PROVIDER` that writes the records of the dns challenge: "+strings.Join(dnsProviders(), ", ")+" (credentials: \"tcps serve --help\")"),
		listFlag(acmeCategory, "acme-dns-resolver", "`ADDRESS` of the name server to ask for the records, instead of the system's"),
		boolFlag(acmeCategory, "acme-on-demand", "obtain certificates for further names when a client asks for one"),
		listFlag(acmeCategory, "acme-allow", "`PATTERN` of the names that --acme-on-demand may obtain, * within one label: *.example.org"),
	}
}

// An acmeConfig is what the flags say of an ACME authority.
type acmeConfig struct {
	issuer      *certs.ACME
	names       []string
	onDemand    []string
	challenge   certs.Challenge
	httpAddress string
}

// acmeOf reads the flags; nil: ACME is not asked for.
func (p *program) acmeOf(c *cli.Context) (*acmeConfig, error) {
	a := &acmeConfig{names: list(c, "acme"), onDemand: list(c, "acme-allow"), challenge: certs.Challenge(c.String("acme-challenge"))}
	if len(a.names) == 0 && !c.Bool("acme-on-demand") {
		return nil, withoutACME(c)
	}
	if err := a.checkFlags(c); err != nil {
		return nil, err
	}
	a.issuer = &certs.ACME{
		Directory: c.String("acme-ca"),
		Email:     c.String("acme-email"),
		Agreed:    c.Bool("acme-agree"),
		KeyID:     c.String("acme-eab-kid"),
		Profile:   c.String("acme-profile"),
		Challenge: a.challenge,
		Resolvers: list(c, "acme-dns-resolver"),
	}
	if c.Bool("acme-staging") {
		a.issuer.Directory = certs.LetsEncryptStaging
	}
	if err := a.readFiles(p, c); err != nil {
		return nil, err
	}
	if !a.issuer.Agreed {
		return nil, notAgreed(c.Context, a.issuer)
	}
	if a.challenge == certs.DNS {
		provider, err := dnsProvider(c.String("acme-dns-provider"))
		if err != nil {
			return nil, err
		}
		a.issuer.Provider = provider
	}
	return a, nil
}

// withoutACME refuses flags that mean nothing then.
func withoutACME(c *cli.Context) error {
	for _, f := range acmeFlags()[1:] {
		if name := f.Names()[0]; c.IsSet(name) {
			return misuse("name what to obtain a certificate for: --acme NAME", "--%s without --acme", name)
		}
	}
	return nil
}

func (a *acmeConfig) checkFlags(c *cli.Context) error {
	switch a.challenge {
	case certs.TLSALPN, certs.HTTP, certs.DNS:
	default:
		return misuse("", "flag --acme-challenge: %q is none of tls-alpn, http and dns", a.challenge)
	}
	for _, need := range []struct{ flag, challenge string }{
		{"acme-http", "http"}, {"acme-dns-provider", "dns"}, {"acme-dns-resolver", "dns"},
	} {
		if c.IsSet(need.flag) && string(a.challenge) != need.challenge {
			return misuse("say which challenge is meant: --acme-challenge "+need.challenge, "--%s without --acme-challenge %s", need.flag, need.challenge)
		}
	}
	switch {
	case c.Bool("acme-on-demand") && len(a.onDemand) == 0:
		return misuse("say which names are ours: --acme-allow '*.example.org'", "--acme-on-demand without --acme-allow: anybody could have certificates made for any name")
	case !c.Bool("acme-on-demand") && len(a.onDemand) > 0:
		return misuse("say --acme-on-demand too", "--acme-allow without --acme-on-demand")
	case c.Bool("acme-staging") && c.IsSet("acme-ca"):
		return misuse("leave one of them out", "--acme-staging together with --acme-ca")
	case (c.String("acme-eab-kid") == "") != (c.String("acme-eab-key-file") == ""):
		return misuse("an external account has both", "--acme-eab-kid and --acme-eab-key-file belong together, and one of them is missing")
	case a.challenge == certs.DNS && c.String("acme-dns-provider") == "":
		return misuse("for instance: --acme-dns-provider rfc2136", "--acme-challenge dns without --acme-dns-provider")
	case slices.Contains(list(c, "alpn"), "acme-tls/1"):
		return misuse("leave it out", "--alpn acme-tls/1: that protocol is for ACME challenges only")
	}
	for _, name := range a.names {
		switch {
		case strings.HasPrefix(name, "*.") && a.challenge != certs.DNS:
			return misuse("say --acme-challenge dns", "--acme %s: ACME proves wildcards by the dns challenge only", name)
		case !certmagic.SubjectQualifiesForCert(name) || strings.ContainsAny(name, "/:") && net.ParseIP(name) == nil:
			return misuse("say each name by an --acme of its own: --acme db.example.org", "--acme %q: that is no name of a host", name)
		case !c.IsSet("acme-ca") && !certmagic.SubjectQualifiesForPublicCert(name):
			return misuse("--local "+name+" has the local authority issue for it, --acme-ca URL another one", "--acme %s: public authorities issue for names of the internet only", name)
		}
	}
	if a.challenge == certs.HTTP {
		e, err := endpoint.Parse("tcp://" + c.String("acme-http"))
		if err != nil {
			return misuse("write it as :80 or 192.0.2.1:80", "flag --acme-http: %v", err)
		}
		a.httpAddress = e.Address()
	}
	return nil
}

func (a *acmeConfig) readFiles(p *program, c *cli.Context) error {
	if file := c.String("acme-root"); file != "" {
		pool, warnings, err := certs.LoadPool(file)
		if err != nil {
			return fileFailure(err)
		}
		p.warn(warnings...)
		a.issuer.Roots = pool
	}
	if file := c.String("acme-eab-key-file"); file != "" {
		key, err := os.ReadFile(file)
		if err != nil {
			return fileFailure(fmt.Errorf("read the key of the external account: %w", err))
		}
		if a.issuer.MACKey = strings.TrimSpace(string(key)); a.issuer.MACKey == "" {
			return failure(fmt.Errorf("read the key of the external account %q: the file is empty", file))
		}
	}
	return nil
}

// notAgreed names the terms that have to be agreed to.
func notAgreed(ctx context.Context, issuer *certs.ACME) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	hint := "read them on the authority's pages, and agree to them with --acme-agree"
	if terms, err := issuer.Terms(ctx); err == nil && terms != "" {
		hint = "read them at " + terms + ", and agree to them with --acme-agree"
	}
	return misuse(hint, "--acme without --acme-agree: the terms of service of %s are not agreed to", issuer.Directory)
}

// apply makes a Manager obtain what the flags ask for.
func (a *acmeConfig) apply(m *certs.Manager, s *serving) error {
	if a.challenge == certs.TLSALPN && !slices.ContainsFunc(s.endpoints, func(e endpoint.Endpoint) bool { return e.TLS() && !e.IsUnix() }) {
		return misuse("listen on tcps:// too, or prove the names by --acme-challenge http or dns", "--acme-challenge tls-alpn without a listener that the authority could connect to")
	}
	m.Names, m.OnDemand, m.Issuer = a.names, a.onDemand, a.issuer
	return nil
}
