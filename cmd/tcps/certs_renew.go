package main

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const renewUsage = `tcps certs renew [FLAG…] FILE…

Replaces certificates of the local authority and their keys (FILE's name with
.key, or FILE itself) by new ones with the same names, usage, kind of key and
lifetime: now; with --before only those that are due. One that was signed for a
request has no key here: its key is signed again.

With --check nothing changes: exit status 75 says that one is due.
With --watch it stays, renews each when it is due, and runs --exec after it.

Examples:
  tcps certs renew db.internal.pem
  tcps certs renew --check *.pem || mail -s renew root
  tcps certs renew --watch --exec "systemctl reload postgresql" server.pem`

func (p *program) certsRenewCommand() *cli.Command {
	return &cli.Command{
		Name: "renew", Usage: "renew certificates", UsageText: renewUsage, Action: p.certsRenew,
		Flags: append([]cli.Flag{
			beforeFlag(),
			boolFlag(certificateCategory, "check", "only say whether one is due, by exit status 75"),
			boolFlag(certificateCategory, "watch", "stay, and renew each when it is due"),
			stringFlag(certificateCategory, "exec", "", "`COMMAND` to run by sh -c after each renewal, with --watch"),
			boolFlag(certificateCategory, "reuse-key", "keep the private key"),
			stateFlag(),
		}, passphraseFlags()...),
	}
}

func beforeFlag() cli.Flag {
	f := durationFlag(certificateCategory, "before", 0, "`TIME` before its end from which a certificate is due")
	f.DefaultText = "a third of its life"
	return f
}

func (p *program) certsRenew(c *cli.Context) error {
	files := c.Args().Slice()
	switch {
	case len(files) == 0:
		return misuse("for instance: tcps certs renew server.pem", "tcps certs renew needs a file")
	case c.Bool("check") && c.Bool("watch"):
		return misuse("leave one of them out", "--check together with --watch")
	case c.String("exec") != "" && !c.Bool("watch"):
		return misuse("for instance: tcps certs renew server.pem && systemctl reload nginx", "--exec without --watch")
	case c.Bool("check"):
		return p.checkDue(files, max(durationOf(c, "before"), 0))
	}
	r := &renewer{program: p, c: c, before: max(durationOf(c, "before"), 0), reuse: c.Bool("reuse-key"), ask: p.passphrase(c)}
	if c.Bool("watch") {
		return r.watch(files, c.String("exec"))
	}
	for _, file := range files {
		if err := r.renewNow(file); err != nil {
			return err
		}
	}
	return nil
}

// checkDue says which are due.
func (p *program) checkDue(files []string, before time.Duration) error {
	due := false
	for _, file := range files {
		leaf, err := leafOf(file)
		if err != nil {
			return err
		}
		if why := certs.WhyDue(leaf, before); why != "" {
			due = true
			fmt.Fprintf(p.out, "%s %s\n", file, why)
		}
	}
	if due {
		return exitStatus(exitDue)
	}
	return nil
}

func leafOf(file string) (*x509.Certificate, error) {
	chain, err := certs.ReadCertificates(file)
	if err != nil {
		return nil, fileFailure(err, makesPair)
	}
	return chain[0], nil
}

// A renewer renews files as the flags say.
type renewer struct {
	*program
	c      *cli.Context
	before time.Duration // 0: a third of its life
	reuse  bool
	ask    certs.Passphrase
}

// renewNow renews a file: with --before only if it is due.
func (r *renewer) renewNow(file string) error {
	leaf, err := leafOf(file)
	if err != nil {
		return err
	}
	if r.before > 0 && certs.WhyDue(leaf, r.before) == "" {
		return nil
	}
	return r.renew(file)
}

// renew opens the authority anew each time: it may have another root by now.
func (r *renewer) renew(file string) error {
	authority, err := r.openAuthority(r.c)
	if err != nil {
		return err
	}
	issued, err := authority.Renew(certs.Pair{Cert: file, Passphrase: r.ask}, certs.Renewal{ReuseKey: r.reuse})
	if err != nil {
		return fileFailure(err)
	}
	r.warn(issued.Warnings...)
	fmt.Fprintf(r.out, "%s renewed until %s\n", file, issued.Certificate.Leaf.NotAfter.UTC().Format(time.RFC3339))
	return nil
}
