package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const issueUsage = `tcps certs issue [FLAG…] NAME…

Issues a server's certificate for DNS names (also *.NAME) and IP addresses; with
--client a client's: the first NAME is its common name, others are email:…,
uri:… or dns:…. It writes NAME.pem and NAME.key.`

func (p *program) certsIssueCommand() *cli.Command {
	return &cli.Command{
		Name: "issue", Usage: "issue a certificate", UsageText: issueUsage, Action: p.certsIssue,
		Flags: append([]cli.Flag{
			boolFlag(certificateCategory, "client", "a client's certificate"),
			durationFlag(certificateCategory, "for", 90*24*time.Hour, "`TIME` that it is valid"),
			keyTypeFlag(certificateCategory),
			stringFlag(certificateCategory, "out", ".", "`DIR` to write to"),
			boolFlag(certificateCategory, "force", "overwrite files that are there"),
			stateFlag(),
		}, passphraseFlags()...),
	}
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
	authority, _, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{Passphrase: p.passphrase(c)})
	if err != nil {
		return fileFailure(err)
	}
	p.warn(authority.Warnings())
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
