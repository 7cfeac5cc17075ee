package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const exportUsage = `tcps certs export --p12 [FLAG…] CERT [KEY]

Writes a certificate, its chain and its key into one PKCS#12 file under a
passphrase, for Java, Windows and whatever else wants a .p12 or .pfx. CERT and
KEY are in any form that serve reads. The file is for your eyes only (0600).

Examples:
  tcps certs export --p12 db.internal.pem db.internal.key
  tcps certs export --p12 --legacy --passphrase-file secret --out old.pfx server.pem`

func (p *program) certsExportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write certificate and key as PKCS#12", UsageText: exportUsage, Action: p.certsExport,
		Flags: append([]cli.Flag{
			boolFlag(certificateCategory, "p12", "as PKCS#12 (.p12, .pfx)"),
			boolFlag(certificateCategory, "legacy", "with the weak encryption that Windows before 2019 and Java before 12 read: guard the file"),
			stringFlag(certificateCategory, "out", "", "`FILE` to write (CERT with the ending .p12)"),
			boolFlag(certificateCategory, "force", "overwrite a file that is there"),
			stringFlag("Passphrase", "in-passphrase-file", "", "`FILE` whose first line is the passphrase of CERT or KEY, if it is another one than that of the new file"),
		}, passphraseFlags()...),
	}
}

func (p *program) certsExport(c *cli.Context) error {
	pair, err := exportPair(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" {
		out = strings.TrimSuffix(pair.Cert, filepath.Ext(pair.Cert)) + ".p12"
	}
	in := "passphrase-file"
	if c.String("in-passphrase-file") != "" {
		in = "in-passphrase-file"
	}
	pair.Passphrase = p.passphraseFrom(c, in).open
	if _, err := certs.LoadFiles(pair); err != nil { // before anybody thinks of a passphrase for what is broken
		return fileFailure(err, makesPair)
	}
	options := certs.PKCS12Options{Legacy: c.Bool("legacy"), Force: c.Bool("force")}
	if options.Passphrase, err = p.newPassphrase(c, out); err != nil {
		return err
	}
	if err := certs.ExportPKCS12(pair, out, options); err != nil {
		return fileFailure(err)
	}
	if options.Legacy {
		p.warn(fmt.Sprintf("the encryption of %q is weak: whoever gets the file gets the key", out))
	}
	fmt.Fprintln(p.out, out)
	return nil
}

func exportPair(c *cli.Context) (certs.Pair, error) {
	pair := certs.Pair{Cert: c.Args().Get(0), Key: c.Args().Get(1)}
	switch {
	case !c.Bool("p12"):
		return pair, misuse("for instance: tcps certs export --p12 server.pem server.key", "tcps certs export needs a form: --p12")
	case pair.Cert == "":
		return pair, misuse("for instance: tcps certs export --p12 server.pem server.key", "tcps certs export needs a certificate")
	case c.Args().Len() > 2:
		return pair, misuse("", "tcps certs export takes a certificate and a key, got %q too", c.Args().Get(2))
	}
	return pair, nil
}
