package main

import (
	"crypto/x509"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const showUsage = `tcps certs show [FLAG…] FILE…

Says what a file holds and what is wrong with it: certificates and their chain,
private keys (what kind, never more), signing requests, revocation lists; PEM,
DER or PKCS#12. What is encrypted is opened if a passphrase is given. FILE - is
standard input. It judges nothing: its exit status is 0 for whatever it could
read ("tcps certs verify" judges).

Examples:
  tcps certs show server.pem server.key
  tcps certs show --ca ca.pem list.crl         who signed the list
  openssl s_client -connect db:8443 </dev/null | tcps certs show -
  tcps certs show --json server.pem | jq .files[0].certificates[0].not_after`

func (p *program) certsShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "say in words what a file with certificates holds", UsageText: showUsage, Action: p.certsShow,
		Flags: append([]cli.Flag{
			listFlag(certificateCategory, "ca", "`FILE` with authorities to judge chains and revocation lists by, instead of the system's and the local one"),
			jsonFlag(),
			stateFlag(),
		}, passphraseFlags()...),
	}
}

// A showReport is what certs show says.
type showReport struct {
	Version int                  `json:"version"`
	Files   []*certs.Description `json:"files"`
}

func (p *program) certsShow(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs show server.pem", "tcps certs show needs a file")
	}
	options, err := p.describeOptions(c)
	if err != nil {
		return err
	}
	var all []*certs.Description
	for _, file := range c.Args().Slice() {
		described, err := p.describeFile(file, options)
		if err != nil {
			return fileFailure(err)
		}
		all = append(all, described)
	}
	if c.Bool("json") {
		return p.printJSON(showReport{1, all})
	}
	for i, described := range all {
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		if len(all) > 1 {
			fmt.Fprintln(p.out, described.File+":")
		}
		fmt.Fprint(p.out, described)
	}
	return nil
}

func (p *program) describeFile(file string, options certs.DescribeOptions) (*certs.Description, error) {
	if file == "-" {
		return certs.DescribeReader("standard input", p.in, options)
	}
	return certs.DescribeFile(file, options)
}

func (p *program) describeOptions(c *cli.Context) (options certs.DescribeOptions, err error) {
	if cas := list(c, "ca"); len(cas) > 0 {
		if options.Authorities, options.Roots, err = authoritiesOf(cas); err != nil {
			return options, err
		}
	} else {
		options.Roots = trustedRoots(c)
		if roots, err := localRoots(c); err == nil {
			options.Authorities = append(roots, localIntermediates(c)...)
		}
	}
	source := p.passphraseFrom(c, "passphrase-file")
	options.Passphrase = func(string) ([]byte, error) { // nobody is asked: what is encrypted can be shown as that
		passphrase, err := source.given()
		if err == nil && passphrase == nil {
			err = certs.ErrPassphraseNeeded
		}
		return passphrase, err
	}
	return options, nil
}

// localIntermediates are those that sign, or signed, in the name of the local
// authority.
func localIntermediates(c *cli.Context) (all []*x509.Certificate) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "intermediate*.pem"))
	if err != nil {
		return nil
	}
	for _, file := range files {
		if found, err := certs.ReadCertificates(file); err == nil {
			all = append(all, found...)
		}
	}
	return all
}

// authoritiesOf loads --ca.
func authoritiesOf(files []string) ([]*x509.Certificate, *x509.CertPool, error) {
	authorities, _, err := certs.LoadAuthorities(files...)
	if err != nil {
		return nil, nil, fileFailure(err, makesRoot)
	}
	pool := x509.NewCertPool()
	for _, c := range authorities {
		pool.AddCert(c)
	}
	return authorities, pool, nil
}
