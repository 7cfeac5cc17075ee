package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const issueUsage = `tcps certs issue [FLAG…] NAME…
tcps certs issue [FLAG…] --csr FILE [NAME…]

Issues a server's certificate for DNS names (also *.NAME) and IP addresses; with
--client a client's: the first NAME is its common name, others are email:…,
uri:… or dns:…. It writes NAME.pem and NAME.key. With --csr it signs the key of a
request, for the names in it unless others are given, and writes NAME.pem alone.`

func (p *program) certsIssueCommand() *cli.Command {
	return &cli.Command{
		Name: "issue", Usage: "issue a certificate", UsageText: issueUsage, Action: p.certsIssue,
		Flags: append([]cli.Flag{
			stringFlag(certificateCategory, "csr", "", "`FILE` with a signing request, PEM or DER"),
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
	if !c.Args().Present() && c.String("csr") == "" {
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
	var csr *x509.CertificateRequest
	if file := c.String("csr"); file != "" {
		if csr, err = certs.ReadCSR(file); err != nil {
			return fileFailure(err)
		}
	}
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	authority, _, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{Passphrase: p.passphrase(c)})
	if err != nil {
		return fileFailure(err)
	}
	p.warn(authority.Warnings()...)
	issued, err := issueWith(authority, request, csr)
	if err != nil {
		return err
	}
	certFile, keyFile, err := issued.Write(c.String("out"), c.Bool("force"))
	if err != nil {
		return failure(err)
	}
	p.warn(issued.Warnings...)
	fmt.Fprintln(p.out, certFile)
	if keyFile != "" {
		fmt.Fprintln(p.out, keyFile)
	}
	return nil
}

// issueWith signs the request of a file, or one with a key of its own.
func issueWith(authority *certs.Authority, request certs.Request, csr *x509.CertificateRequest) (*certs.Issued, error) {
	var issued *certs.Issued
	var err error
	if csr != nil {
		issued, err = authority.SignCSR(csr, request)
	} else {
		issued, err = authority.Issue(request)
	}
	switch _, notPermitted := errors.AsType[*certs.NotPermittedError](err); {
	case notPermitted:
		return nil, err // it has its own hint
	case errors.Is(err, certs.ErrNoNames):
		return nil, failure(err, "say the names after it: tcps certs issue --csr FILE NAME…", "a common name alone is not looked at by today's clients")
	case err != nil:
		return nil, failure(err)
	}
	return issued, nil
}
