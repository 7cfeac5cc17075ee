package main

import (
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const certsUsage = `tcps certs COMMAND [FLAG…] [ARGUMENT…]

Examples:
  tcps certs init --permit example.org         the local authority
  tcps certs issue db.internal 10.0.0.5        a server's certificate
  tcps certs issue --client alice email:alice@home.internal
  tcps certs csr www.example.org               a request, for another authority
  tcps certs renew db.internal.pem             another one like it
  tcps certs revoke alice.pem
  tcps certs crl                               the list of what was revoked
  tcps certs list
  tcps certs show db.internal.pem
  tcps certs verify --name db.internal db.internal.pem
  tcps certs export --p12 db.internal.pem db.internal.key
  tcps certs trust                             this machine trusts the authority`

// certificateCategory heads the flags that say what a certificate is to be.
const certificateCategory = "Certificate"

func (p *program) certsCommand() *cli.Command {
	return &cli.Command{
		Name:      "certs",
		Usage:     "the local authority and what it issues",
		UsageText: certsUsage,
		Action:    noSubcommand,
		Subcommands: []*cli.Command{
			p.certsInitCommand(),
			p.certsIssueCommand(),
			p.certsCSRCommand(),
			p.certsRenewCommand(),
			p.certsRevokeCommand(),
			p.certsCRLCommand(),
			p.certsListCommand(),
			p.certsShowCommand(),
			p.certsVerifyCommand(),
			p.certsExportCommand(),
			p.certsTrustCommand(),
			p.certsUntrustCommand(),
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
