package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const initUsage = `tcps certs init [FLAG…]

Makes the local authority. What it issues is only trusted for localhost, .test,
.internal, .local, .home.arpa, this machine's name, and loopback, private and
link-local addresses, so a stolen key cannot impersonate the internet.

With --intermediate the root only signs an intermediate, which lasts a year and
renews itself while root.key is there. root.key can be taken off the machine.

Examples:
  tcps certs init --permit example.org
  tcps certs init --intermediate --encrypt
  tcps certs init --rollover                        a new root; the old one is trusted still
  tcps certs init --import --cert CA.pem --key CA.key`

func (p *program) certsInitCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "make the local authority", UsageText: initUsage, Action: p.certsInit,
		Flags: append([]cli.Flag{
			listFlag(certificateCategory, "permit", "`NAME`, address or prefix that it may sign for too"),
			boolFlag(certificateCategory, "unconstrained", "let it sign for every name: whoever steals the key can impersonate anybody"),
			boolFlag(certificateCategory, "intermediate", "have an intermediate sign, so that the root's key can be taken away"),
			boolFlag(certificateCategory, "encrypt", "write its keys under a passphrase, which every use asks for"),
			keyTypeFlag(certificateCategory),
			boolFlag(certificateCategory, "force", "replace an authority that is there (the old one is kept beside it)"),
			boolFlag(certificateCategory, "rollover", "make a new root for the authority that is there, and go on trusting the old one"),
			boolFlag(certificateCategory, "import", "take an authority that exists: --cert and --key"),
			stringFlag(certificateCategory, "cert", "", "`FILE` with the certificate to import"),
			stringFlag(certificateCategory, "key", "", "`FILE` with its key (the same file)"),
			stateFlag(),
		}, passphraseFlags()...),
	}
}

func (p *program) certsInit(c *cli.Context) error {
	options, err := initOptions(c)
	if err != nil {
		return err
	}
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	if c.Bool("encrypt") {
		if options.Encrypt, err = p.newPassphrase(c, filepath.Join(dir, "root.key")); err != nil {
			return err
		}
	}
	options.Passphrase = p.passphrase(c)
	authority, err := p.makeAuthority(c, dir, options)
	switch {
	case errors.Is(err, fs.ErrExist):
		return failure(err, "use it as it is (tcps certs issue NAME), make it a new root with --rollover, or replace it with --force")
	case c.Bool("rollover") && errors.Is(err, fs.ErrNotExist):
		return failure(err, "the key of the root has to be there, and an authority: tcps certs init makes one")
	case err != nil:
		return fileFailure(err)
	}
	p.warn(authority.Warnings()...)
	if !authority.Constrained() {
		p.warn("this authority may sign for every name: whoever steals its key can impersonate anybody to those who trust it")
	}
	fmt.Fprintf(p.out, "%s\n%s", rootFile(dir), certs.Describe(authority.Root()))
	return nil
}

func initOptions(c *cli.Context) (certs.AuthorityOptions, error) {
	options := certs.AuthorityOptions{Permit: list(c, "permit"), Unconstrained: c.Bool("unconstrained"), Intermediate: c.Bool("intermediate")}
	if err := noArguments(c); err != nil {
		return options, err
	}
	if c.IsSet("key-type") || !c.Bool("rollover") {
		keyType, err := keyTypeOf(c)
		if err != nil {
			return options, err
		}
		options.KeyType = keyType
	}
	if options.Unconstrained && len(options.Permit) > 0 {
		return options, misuse("leave one of them out", "--unconstrained together with --permit: everything is permitted already")
	}
	for _, pair := range []struct{ flag, with, why string }{
		{"rollover", "force", "--force replaces the authority, --rollover keeps it"},
		{"rollover", "import", "import it first, then make its new root"},
		{"rollover", "encrypt", "the keys are as they were, encrypted or not"},
		{"rollover", "intermediate", "there is an intermediate if there was one"},
		{"import", "force", "move the authority that is there away"},
		{"import", "permit", "a root that exists permits what it says"},
		{"import", "unconstrained", "a root that exists permits what it says"},
	} {
		if c.Bool(pair.flag) && (c.Bool(pair.with) || pair.with == "permit" && len(options.Permit) > 0) {
			return options, misuse(pair.why, "--%s together with --%s", pair.flag, pair.with)
		}
	}
	if c.Bool("import") && c.String("cert") == "" {
		return options, misuse("for instance: tcps certs init --import --cert CA.pem --key CA.key", "--import needs the authority's certificate: --cert")
	}
	for _, flag := range []string{"cert", "key"} {
		if c.IsSet(flag) && !c.Bool("import") {
			return options, misuse("say --import to take an authority that exists", "--%s without --import: a new authority makes its own", flag)
		}
	}
	return options, nil
}

func (p *program) makeAuthority(c *cli.Context, dir string, options certs.AuthorityOptions) (*certs.Authority, error) {
	switch {
	case c.Bool("rollover"):
		return certs.RolloverAuthority(dir, options)
	case c.Bool("import"):
		passphrase := options.Passphrase
		if options.Encrypt != nil { // the flag's passphrase is that of the new file; the old one may have it too
			passphrase = func(string) ([]byte, error) { return options.Encrypt, nil }
		}
		return certs.ImportAuthority(dir, certs.Pair{Cert: c.String("cert"), Key: c.String("key"), Passphrase: passphrase}, options)
	case c.Bool("force"):
		authority, kept, err := certs.ReplaceAuthority(dir, options)
		if kept != "" {
			fmt.Fprintln(p.err, "tcps: the old authority is kept in", kept)
		}
		return authority, err
	}
	return certs.CreateAuthority(dir, options)
}
