package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/terminal"
)

const verifyUsage = `tcps certs verify [FLAG…] FILE

Judges a certificate as a peer would to which FILE is presented: the first
certificate of FILE is judged, the others may lead to its root. FILE - is
standard input. It prints the chain that it found. What the local authority has
revoked is refused, with --crl what lists say.

Examples:
  tcps certs verify --name db.internal --usage server db.internal.pem
  tcps certs verify --ca ca.pem --usage client alice.pem
  tcps certs verify --at 2027-01-31 server.pem     will it be valid then?

Exit status: 0 good, 1 not readable, 2 wrong usage, 6 not trusted or for
another use, 7 wrong name, 8 expired or not yet valid, 9 revoked.`

func (p *program) certsVerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "judge a certificate, by exit status too", UsageText: verifyUsage, Action: p.certsVerify,
		Flags: append([]cli.Flag{
			listFlag(certificateCategory, "ca", "`FILE` or folder with the authorities that are trusted, instead of the system's and the local one"),
			stringFlag(certificateCategory, "name", "", "host `NAME` or address that it has to be for"),
			stringFlag(certificateCategory, "usage", string(certs.UsageAny), "`USE` that it has to be for: server, client or any"),
			stringFlag(certificateCategory, "at", "", "`TIME` to judge it at instead of now: 2027-01-31 or 2027-01-31T12:00:00Z"),
			listFlag(certificateCategory, "crl", "`FILE` with a revocation list, PEM or DER; each certificate of the chain but the root needs one of its issuer then"),
			stringFlag(certificateCategory, "crl-missing", "refuse", "`MODE` where an issuer has no list: refuse or accept"),
			stringFlag(certificateCategory, "crl-stale", "refuse", "`MODE` where a list has expired: refuse or accept"),
			jsonFlag(),
			stateFlag(),
		}, passphraseFlags()...),
	}
}

// A verdict is what certs verify reports.
type verdict struct {
	Version int                            `json:"version"`
	File    string                         `json:"file"`
	Good    bool                           `json:"good"`
	At      time.Time                      `json:"at"`
	Until   time.Time                      `json:"until,omitzero"`   // when the first of the chain expires
	Reason  certs.Reason                   `json:"reason,omitempty"` // why it is not good
	Error   string                         `json:"error,omitempty"`
	Hints   []string                       `json:"hints,omitempty"`
	Chain   []certs.CertificateDescription `json:"chain,omitempty"` // from the certificate to its root
}

func (p *program) certsVerify(c *cli.Context) error {
	file, err := oneFile(c, "for instance: tcps certs verify server.pem")
	if err != nil {
		return err
	}
	options, err := verifyOptions(c)
	if err != nil {
		return err
	}
	var authorities []*x509.Certificate
	if cas := list(c, "ca"); len(cas) > 0 {
		if authorities, options.Roots, err = authoritiesOf(cas); err != nil {
			return err
		}
	} else {
		options.Roots = trustedRoots(c)
	}
	if options.Revocation, err = revocationOf(c); err != nil {
		return err
	}
	chain, err := p.loadChain(file, p.passphrase(c))
	if err != nil {
		return fileFailure(err)
	}
	found, err := certs.Verify(chain, options)
	result := verdict{Version: 1, File: terminal.Printable(file), Good: err == nil, At: options.At.UTC().Truncate(time.Second)}
	if refused, ok := errors.AsType[*certs.VerifyError](err); ok {
		result.Reason, result.Error, result.Hints = refused.Reason, err.Error(), verifyHints(c, file, refused, authorities)
		err = &problem{err: fmt.Errorf("verify %q: %w", file, err), code: refused.Reason.ExitCode(), hints: result.Hints}
	}
	for _, link := range found {
		result.Chain = append(result.Chain, certs.DescribeCertificate(link, options.At))
		if result.Until.IsZero() || link.NotAfter.Before(result.Until) {
			result.Until = link.NotAfter.UTC()
		}
	}
	switch {
	case c.Bool("json"):
		if err := p.printJSON(result); err != nil {
			return err
		}
	case err == nil:
		p.printChain(result, options, found)
	}
	return err
}

func (p *program) printChain(v verdict, o certs.VerifyOptions, chain []*x509.Certificate) {
	what, name := "", terminal.Printable(o.Name)
	switch {
	case o.Usage == certs.UsageAny && name != "":
		what = " for " + name
	case name != "":
		what = fmt.Sprintf(" for a %s named %s", o.Usage, name)
	case o.Usage != certs.UsageAny:
		what = fmt.Sprintf(" for a %s", o.Usage)
	}
	fmt.Fprintf(p.out, "%s: good%s, until %s\n", v.File, what, v.Until.Format(time.RFC3339))
	for i, link := range chain {
		label := "issued by"
		switch i {
		case 0:
			label = "certificate"
		case len(chain) - 1:
			label = "root"
		}
		fmt.Fprintf(p.out, "%-13s %s\n", label+":", certs.OneLine(link))
	}
}

// oneFile is the only argument of a command.
func oneFile(c *cli.Context, example string) (string, error) {
	switch c.Args().Len() {
	case 0:
		return "", misuse(example, "%s needs a file", c.Command.HelpName)
	case 1:
		return c.Args().First(), nil
	}
	return "", misuse(example, "%s takes one file, got %q too", c.Command.HelpName, c.Args().Get(1))
}

func (p *program) loadChain(file string, ask certs.Passphrase) ([]*x509.Certificate, error) {
	if file == "-" {
		return certs.ReadChain("standard input", p.in, ask)
	}
	return certs.LoadChain(file, ask)
}

func verifyOptions(c *cli.Context) (certs.VerifyOptions, error) {
	o := certs.VerifyOptions{Name: c.String("name"), Usage: certs.Usage(c.String("usage")), At: time.Now()}
	switch o.Usage {
	case certs.UsageAny, certs.UsageServer, certs.UsageClient:
	default:
		return o, misuse("", "flag --usage: %q is none of server, client and any", o.Usage)
	}
	at := c.String("at")
	if at == "" {
		return o, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, at); err == nil {
			o.At = t
			return o, nil
		}
	}
	return o, misuse("", "flag --at: %q is no time: want 2027-01-31 or 2027-01-31T12:00:00Z", at)
}

// revocationOf loads --crl, and what the local authority has revoked.
func revocationOf(c *cli.Context) (*certs.Revocation, error) {
	r, err := revocationConfigOf(c, serverAuthorities(c))
	if err != nil {
		return nil, err
	}
	if len(r.files) > 0 && c.String("at") != "" {
		return nil, misuse("leave one of them out", "--crl together with --at: a revocation list speaks of the present only")
	}
	r.heedLedger(c)
	return r.load()
}

// verifyHints say what to do about a certificate that is refused.
func verifyHints(c *cli.Context, file string, refused *certs.VerifyError, authorities []*x509.Certificate) []string {
	switch refused.Reason {
	case "name":
		return []string{"issue a certificate that has the name, or ask for a name that it has: --name NAME"}
	case "wrong-usage":
		return []string{"a server and a client each need a certificate of their own: \"tcps certs issue\" makes either"}
	case "expired":
		return []string{"have it renewed by whoever issued it"}
	case "not-yet-valid":
		return []string{"wait, or look at the clock of this machine and of its authority's"}
	case "revoked":
		if revoked, ok := errors.AsType[*certs.RevocationError](refused.Err); ok && revoked.Revoked == nil {
			return []string{"give a current list of each issuer: --crl FILE; --crl-missing accept and --crl-stale accept go without"}
		}
		return []string{"have another one issued, with another key if this one was stolen"}
	case "untrusted":
		return untrustedHints(c, file, refused, authorities)
	}
	return nil
}

func untrustedHints(c *cli.Context, file string, refused *certs.VerifyError, authorities []*x509.Certificate) []string {
	if !refused.Missing {
		return []string{"if you trust it, name its root: --ca FILE"}
	}
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, refused.Last.RawIssuer) {
			return []string{fmt.Sprintf("--ca has an authority of that name with another key (SHA-256 %s): an older or newer one did issue it", certs.Fingerprint(a))}
		}
	}
	missing := "if the issuer is an intermediate authority, append its certificate to " + terminal.ShellWord(file)
	if urls := refused.Last.IssuingCertificateURL; len(urls) > 0 {
		missing += "; it can be had at " + terminal.Printable(strings.Join(urls, " "))
	}
	hints := []string{missing, "if it is a root that you trust, name it: --ca FILE"}
	if _, err := localRoots(c); len(authorities) == 0 && err != nil && !errors.Is(err, fs.ErrNotExist) {
		hints = append(hints, fmt.Sprintf("the local authority is not trusted by itself: %v", err))
	}
	return hints
}
