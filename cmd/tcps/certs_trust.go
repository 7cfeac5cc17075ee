package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const trustUsage = `tcps certs trust [FLAG…] [FILE]

Makes this machine trust the root of the local authority, or that in FILE: the
system's store, every profile of Firefox and Chrome (NSS), and the Java of
JAVA_HOME. It says what it found and did, and where it could not, the step by
hand. Where sudo is installed, it is used for the system's store.

Examples:
  tcps certs trust
  tcps certs trust --store nss --store java
  tcps certs trust --status              where it is trusted now
  tcps certs untrust`

const untrustUsage = `tcps certs untrust [FLAG…] [FILE]

Takes the root of the local authority, or that in FILE, out of the stores into
which "tcps certs trust" puts it. What is not there is left alone.

Examples:
  tcps certs untrust
  tcps certs untrust --all-ours          also the roots of authorities that are gone`

const storeCategory = "Stores"

func storeFlag() cli.Flag {
	return listFlag(storeCategory, "store", "`KIND` of store: system, nss or java; all that are found if none is named")
}

func (p *program) certsTrustCommand() *cli.Command {
	return &cli.Command{
		Name: "trust", Usage: "make this machine trust an authority", UsageText: trustUsage, Action: p.certsTrust,
		Flags: []cli.Flag{
			storeFlag(),
			boolFlag(storeCategory, "status", "change nothing, say where it is trusted"),
			boolFlag(certificateCategory, "unconstrained", "also a root that may sign for every name: whoever steals its key can impersonate anybody to this machine"),
			jsonFlag(),
			stateFlag(),
		},
	}
}

func (p *program) certsUntrustCommand() *cli.Command {
	return &cli.Command{
		Name: "untrust", Usage: "undo certs trust", UsageText: untrustUsage, Action: p.certsUntrust,
		Flags: []cli.Flag{
			storeFlag(),
			boolFlag(storeCategory, "all-ours", "every root that \"tcps certs trust\" has put there"),
			stateFlag(),
		},
	}
}

func (p *program) certsTrust(c *cli.Context) error {
	if c.Bool("status") {
		return p.trustStatus(c)
	}
	if c.Bool("json") {
		return misuse("", "--json without --status: only the status is reported as JSON")
	}
	roots, file, err := p.rootsOf(c, makesRoot)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := checkTrustable(c, root, file); err != nil {
			return err
		}
	}
	stores, err := p.storesOf(c)
	if err != nil {
		return err
	}
	return p.changeStores(stores, change{add: true, roots: roots, file: file, already: "trusts it already", done: "trusts it now"})
}

func (p *program) certsUntrust(c *cli.Context) error {
	ch := change{already: "does not have it", done: "does not trust it any more"}
	if c.Bool("all-ours") {
		if c.Args().Present() {
			return misuse("leave one of them out", "--all-ours together with a file: all are removed, whichever it is")
		}
		ch.already = "has none of ours"
	} else {
		var err error
		if ch.roots, ch.file, err = p.rootsOf(c, "--all-ours removes the roots of authorities that are gone"); err != nil {
			return err
		}
	}
	stores, err := p.storesOf(c)
	if err != nil {
		return err
	}
	return p.changeStores(stores, ch)
}

// rootsOf are the authorities in the file that is named, or the local one's.
// noLocal says what to do if that was never made.
func (p *program) rootsOf(c *cli.Context, noLocal string) (roots []*x509.Certificate, file string, err error) {
	if c.Args().Len() > 1 {
		return nil, "", misuse("name one file that holds all of them", "%s takes one file, got %q too", c.Command.HelpName, c.Args().Get(1))
	}
	file = c.Args().First()
	if file == "" {
		dir, err := authorityDir(c)
		if err != nil {
			return nil, "", err
		}
		file = rootFile(dir)
	}
	roots, warnings, err := certs.LoadAuthorities(file)
	if errors.Is(err, fs.ErrNotExist) && !c.Args().Present() {
		return nil, file, failure(err, noLocal)
	} else if err != nil {
		return nil, "", fileFailure(err)
	}
	p.warn(warnings...)
	return roots, file, nil
}

// checkTrustable refuses what would be trusted for nothing or for too much.
func checkTrustable(c *cli.Context, root *x509.Certificate, file string) error {
	d := certs.OneLine(root)
	if root.CheckSignatureFrom(root) != nil {
		return failure(fmt.Errorf("trust %q: %s is no root, another authority issued it", file, d), "trust the root that issued it")
	}
	if err := certs.CheckConstrained(root); err != nil && !c.Bool("unconstrained") {
		return failure(fmt.Errorf("trust %q: %w: whoever steals its key could impersonate anybody to this machine", file, err),
			"\"tcps certs init\" makes an authority that may sign for local names only; --unconstrained trusts this one all the same")
	}
	return nil
}
