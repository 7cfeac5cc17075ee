package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const initUsage = `tcps certs init [FLAG…]

Makes the local authority. What it issues is only trusted for localhost, .test,
.internal, .local, .home.arpa, this machine's name, and loopback, private and
link-local addresses, so a stolen key cannot impersonate the internet.`

func (p *program) certsInitCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "make the local authority", UsageText: initUsage, Action: p.certsInit,
		Flags: []cli.Flag{
			listFlag(certificateCategory, "permit", "`NAME`, address or prefix that it may sign for too"),
			boolFlag(certificateCategory, "unconstrained", "let it sign for every name: whoever steals the key can impersonate anybody"),
			keyTypeFlag(certificateCategory),
			boolFlag(certificateCategory, "force", "replace an authority that is there (the old one is kept beside it)"),
			stateFlag(),
		},
	}
}

func (p *program) certsInit(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	keyType, err := keyTypeOf(c)
	if err != nil {
		return err
	}
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	options := certs.AuthorityOptions{Permit: list(c, "permit"), Unconstrained: c.Bool("unconstrained"), KeyType: keyType}
	if options.Unconstrained && len(options.Permit) > 0 {
		return misuse("leave one of them out", "--unconstrained together with --permit: everything is permitted already")
	}
	var authority *certs.Authority
	if c.Bool("force") {
		var kept string
		authority, kept, err = certs.ReplaceAuthority(dir, options)
		if kept != "" {
			fmt.Fprintln(p.err, "tcps: the old authority is kept in", kept)
		}
	} else {
		authority, err = certs.CreateAuthority(dir, options)
	}
	if errors.Is(err, fs.ErrExist) {
		return failure(err, "use it as it is (tcps certs issue NAME), or replace it with --force")
	}
	if err != nil {
		return failure(err)
	}
	if options.Unconstrained {
		fmt.Fprintln(p.err, "tcps: warning: this authority may sign for every name: whoever steals its key can impersonate anybody to those who trust it")
	}
	fmt.Fprintf(p.out, "%s\n%s", rootFile(dir), certs.Describe(authority.Root()))
	return nil
}
