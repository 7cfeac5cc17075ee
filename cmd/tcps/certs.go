package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const certsUsage = `tcps certs COMMAND [FLAG…] [ARGUMENT…]

Examples:
  tcps certs init --permit example.org         the local authority
  tcps certs issue db.internal 10.0.0.5        a server's certificate
  tcps certs issue --client alice email:alice@home.internal
  tcps certs show db.internal.pem`

const initUsage = `tcps certs init [FLAG…]

Makes the local authority. What it issues is only trusted for localhost, .test,
.internal, .local, .home.arpa, this machine's name, and loopback, private and
link-local addresses, so a stolen key cannot impersonate the internet.`

const issueUsage = `tcps certs issue [FLAG…] NAME…

Issues a server's certificate for DNS names (also *.NAME) and IP addresses; with
--client a client's: the first NAME is its common name, others are email:…,
uri:… or dns:…. It writes NAME.pem and NAME.key.`

func (p *program) certsCommand() *cli.Command {
	const category = "Certificate"
	return &cli.Command{
		Name:      "certs",
		Usage:     "the local authority and what it issues",
		UsageText: certsUsage,
		Action:    noSubcommand,
		Subcommands: []*cli.Command{
			{
				Name: "init", Usage: "make the local authority", UsageText: initUsage, Action: p.certsInit,
				Flags: []cli.Flag{
					listFlag(category, "permit", "`NAME`, address or prefix that it may sign for too"),
					boolFlag(category, "unconstrained", "let it sign for every name: whoever steals the key can impersonate anybody"),
					keyTypeFlag(category),
					boolFlag(category, "force", "replace an authority that is there (the old one is kept beside it)"),
					stateFlag(),
				},
			},
			{
				Name: "issue", Usage: "issue a certificate", UsageText: issueUsage, Action: p.certsIssue,
				Flags: []cli.Flag{
					boolFlag(category, "client", "a client's certificate"),
					durationFlag(category, "for", 90*24*time.Hour, "`TIME` that it is valid"),
					keyTypeFlag(category),
					stringFlag(category, "out", ".", "`DIR` to write to"),
					boolFlag(category, "force", "overwrite files that are there"),
					stateFlag(),
				},
			},
			{
				Name: "show", Usage: "say in words what a certificate is", UsageText: "tcps certs show FILE…", Action: p.certsShow,
			},
		},
	}
}

func keyTypeFlag(category string) cli.Flag {
	var types []string
	for _, t := range certs.KeyTypes() {
		types = append(types, string(t))
	}
	return stringFlag(category, "key-type", string(certs.ECDSAP256), "`TYPE` of its key: "+strings.Join(types, ", "))
}

func keyTypeOf(c *cli.Context) (certs.KeyType, error) {
	t, err := certs.ParseKeyType(c.String("key-type"))
	if err != nil {
		return "", misuse("", "flag --key-type: %v", err)
	}
	return t, nil
}

func rootFile(authorityDir string) string { return filepath.Join(authorityDir, "root.pem") }

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

func (p *program) certsIssue(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs issue localhost 127.0.0.1", "tcps certs issue needs a name")
	}
	keyType, err := keyTypeOf(c)
	if err != nil {
		return err
	}
	request := certs.Request{Names: c.Args().Slice(), Client: c.Bool("client"), For: durationOf(c, "for"), KeyType: keyType}
	if request.For < 0 {
		return misuse("", "flag --for: a certificate cannot be valid for ever")
	}
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	authority, _, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{})
	if err != nil {
		return failure(err)
	}
	issued, err := authority.Issue(request)
	if _, ok := errors.AsType[*certs.NotPermittedError](err); ok {
		return err // it has its own hint
	}
	if err != nil {
		return failure(err)
	}
	certFile, keyFile, err := issued.Write(c.String("out"), c.Bool("force"))
	if err != nil {
		return failure(err)
	}
	p.warn(issued.Warnings)
	fmt.Fprintf(p.out, "%s\n%s\n", certFile, keyFile)
	return nil
}

func (p *program) certsShow(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs show server.pem", "tcps certs show needs a file")
	}
	for i, file := range c.Args().Slice() {
		text, err := certs.DescribeFile(file)
		if err != nil {
			return fileFailure(err)
		}
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		if c.Args().Len() > 1 {
			fmt.Fprintln(p.out, file+":")
		}
		fmt.Fprint(p.out, text)
	}
	return nil
}
