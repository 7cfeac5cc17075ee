package main

import (
	"crypto"
	"fmt"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const csrUsage = `tcps certs csr [FLAG…] NAME…

Makes a key and a signing request (PKCS#10) for another authority: NAME.csr and
NAME.key. Names are those of "tcps certs issue"; with --client the first is the
common name, others are email:…, uri:… or dns:….

Examples:
  tcps certs csr db.example.org 203.0.113.7
  tcps certs csr --key server.key db.example.org    of a key that is there`

func (p *program) certsCSRCommand() *cli.Command {
	return &cli.Command{
		Name: "csr", Usage: "make a key and a signing request", UsageText: csrUsage, Action: p.certsCSR,
		Flags: append([]cli.Flag{
			boolFlag(certificateCategory, "client", "for a client's certificate"),
			stringFlag(certificateCategory, "key", "", "`FILE` with a private key to use instead of a new one"),
			keyTypeFlag(certificateCategory),
			stringFlag(certificateCategory, "out", ".", "`DIR` to write to"),
			boolFlag(certificateCategory, "force", "overwrite files that are there"),
		}, passphraseFlags()...),
	}
}

func (p *program) certsCSR(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs csr db.example.org", "tcps certs csr needs a name")
	}
	keyType, err := keyTypeOf(c)
	if err != nil {
		return err
	}
	var key crypto.Signer
	if file := c.String("key"); file != "" {
		if c.IsSet("key-type") {
			return misuse("leave one of them out", "--key-type together with --key: that key has its type")
		}
		if key, err = certs.LoadKey(file, p.passphrase(c)); err != nil {
			return fileFailure(err)
		}
	}
	csr, err := certs.NewCSR(certs.Request{Names: c.Args().Slice(), Client: c.Bool("client"), KeyType: keyType}, key)
	if err != nil {
		return failure(err)
	}
	requestFile, keyFile, err := csr.Write(c.String("out"), c.Bool("force"))
	if err != nil {
		return failure(err)
	}
	fmt.Fprintln(p.out, requestFile)
	if keyFile != "" {
		fmt.Fprintln(p.out, keyFile)
	}
	return nil
}
