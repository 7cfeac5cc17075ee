package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const revokeUsage = `tcps certs revoke [FLAG…] FILE-or-SERIAL…

Takes back certificates that the local authority issued: by their files, or by
the serial numbers that "tcps certs list" shows. Servers that use the same state
refuse them at once; others need the list that "tcps certs crl" writes.

Examples:
  tcps certs revoke alice.pem --reason keyCompromise
  tcps certs revoke 4f2a91…`

func (p *program) certsRevokeCommand() *cli.Command {
	return &cli.Command{
		Name: "revoke", Usage: "take a certificate back", UsageText: revokeUsage, Action: p.certsRevoke,
		Flags: []cli.Flag{
			stringFlag(certificateCategory, "reason", "unspecified", "`WORD`: "+strings.Join(certs.RevocationReasons(), ", ")),
			stateFlag(),
		},
	}
}

func (p *program) certsRevoke(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs revoke alice.pem", "tcps certs revoke needs a file or a serial number")
	}
	reason, err := certs.ParseRevocationReason(c.String("reason"))
	if err != nil {
		return misuse("", "flag --reason: %v", err)
	}
	ledger, err := openLedger(c)
	if err != nil {
		return err
	}
	var found []*x509.Certificate // all of them before the first is revoked
	for _, what := range c.Args().Slice() {
		leaf, err := certificateToRevoke(ledger, what)
		if err != nil {
			return err
		}
		if err := ledger.CheckIssued(leaf); err != nil {
			return failure(err)
		}
		found = append(found, leaf)
	}
	for _, leaf := range found {
		revoked, was, err := ledger.Revoke(leaf, reason)
		if err != nil {
			return failure(err)
		}
		verb := "revoked"
		if was {
			verb = "was revoked already, " + revoked.At.Format(time.RFC3339) + ":"
		}
		fmt.Fprintf(p.out, "%s %x (%s)\n", verb, leaf.SerialNumber, strings.Join(printableNames(certs.NamesOf(leaf)), ", "))
	}
	return nil
}

// openLedger is what the local authority has issued.
func openLedger(c *cli.Context) (*certs.Ledger, error) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	ledger, err := certs.OpenLedger(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failure(err, makesRoot)
	} else if err != nil {
		return nil, failure(err)
	}
	return ledger, nil
}

// certificateToRevoke reads a file, or where there is none looks for the serial.
func certificateToRevoke(ledger *certs.Ledger, what string) (*x509.Certificate, error) {
	if _, err := os.Stat(what); err == nil {
		chain, err := certs.ReadCertificates(what)
		if err != nil {
			return nil, fileFailure(err)
		}
		return chain[0], nil
	}
	leaf, err := ledger.Find(what)
	if err != nil {
		return nil, failure(err, "\"tcps certs list\" shows the serial numbers; no file has this name either")
	}
	return leaf, nil
}
