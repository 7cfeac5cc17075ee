package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/terminal"
)

const listUsage = `tcps certs list [--json]

Lists what was issued, by the local authority and by ACME authorities: names,
serial number, kind, by whom, until when, when it is renewed by itself, and
whether it was revoked. What ends first comes first. A certificate stays on the
list for 30 days after its end, for good if it was revoked.`

func (p *program) certsListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list what was issued", UsageText: listUsage, Action: p.certsList,
		Flags: []cli.Flag{
			jsonFlag(),
			stateFlag(),
		},
	}
}

// A listReport is what certs list says.
type listReport struct {
	Version      int      `json:"version"`
	Certificates []listed `json:"certificates"`
}

// A listed certificate is one line of the list.
type listed struct {
	Names   []string              `json:"names"`
	Serial  string                `json:"serial"`
	Kind    certs.CertificateKind `json:"kind"`
	Issuer  string                `json:"issuer"`
	Origin  string                `json:"origin"` // who issued it: authority or acme
	From    time.Time             `json:"from"`
	Until   time.Time             `json:"until"`
	Renewal *time.Time            `json:"renewal,omitempty"` // by itself, next
	Revoked *listedRevoking       `json:"revoked,omitempty"`
}

type listedRevoking struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // RFC 5280, 5.3.1: keyCompromise …
}

func (p *program) certsList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all := []listed{}
	var missing error // where nothing can have been issued yet
	for _, listing := range []func(*cli.Context) ([]listed, error){listAuthority, listACME} {
		some, err := listing(c)
		if errors.Is(err, fs.ErrNotExist) {
			missing = err
		} else if err != nil {
			return err
		}
		all = append(all, some...)
	}
	if len(all) == 0 && missing != nil {
		return missing
	}
	slices.SortStableFunc(all, func(a, b listed) int { return a.Until.Compare(b.Until) })
	if c.Bool("json") {
		return p.printJSON(listReport{1, all})
	}
	if len(all) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAMES\tKIND\tISSUER\tUNTIL\tSTATE\tSERIAL")
	for _, l := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n",
			strings.Join(l.Names, ", "), l.Kind, l.Issuer, l.Until.Format(time.RFC3339), l.state(time.Now()), l.Serial)
	}
	return table.Flush()
}

func (l listed) state(now time.Time) string {
	switch {
	case l.Revoked != nil:
		return "revoked " + l.Revoked.At.Format(time.RFC3339)
	case now.After(l.Until):
		return "expired"
	case l.Renewal != nil:
		return "renewal " + l.Renewal.Format(time.RFC3339)
	}
	return "valid"
}

// listAuthority lists what the local authority has issued.
func listAuthority(c *cli.Context) ([]listed, error) {
	ledger, err := openLedger(c)
	if err != nil {
		return nil, err
	}
	records, err := ledger.Issued()
	if err != nil {
		return nil, failure(err)
	}
	var all []listed
	for _, r := range records {
		l := listedOf(r.Certificate, "authority")
		if r.Revoked != nil {
			l.Revoked = &listedRevoking{r.Revoked.At.UTC(), r.Revoked.ReasonName()}
		}
		all = append(all, l)
	}
	return all, nil
}

// listACME lists what an ACME authority has issued, and the state folder keeps.
func listACME(c *cli.Context) ([]listed, error) {
	dir, err := stateDir(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(storageDir(dir)); err != nil {
		return nil, nil // nothing was obtained yet
	}
	storage, err := certs.OpenFileStorage(storageDir(dir))
	if err != nil {
		return nil, failure(err)
	}
	stored, err := certs.StoredCertificates(c.Context, storage)
	if err != nil {
		return nil, failure(err)
	}
	var all []listed
	for _, s := range stored {
		if s.ByAuthority {
			continue // listAuthority has it
		}
		l := listedOf(s.Certificate, "acme")
		renewal := s.Renewal.UTC()
		l.Renewal = &renewal
		all = append(all, l)
	}
	return all, nil
}

// listedOf is a line about a certificate of which nothing more is known.
func listedOf(c *x509.Certificate, origin string) listed {
	return listed{
		Names: printableNames(certs.NamesOf(c)), Serial: fmt.Sprintf("%x", c.SerialNumber), Kind: certs.DescribeCertificate(c, time.Now()).Kind,
		Issuer: terminal.Printable(c.Issuer.CommonName), Origin: origin, From: c.NotBefore.UTC(), Until: c.NotAfter.UTC(),
	}
}

// printableNames are the names of a certificate, safe to print.
func printableNames(names []string) []string {
	safe := []string{}
	for _, name := range names {
		safe = append(safe, terminal.Printable(name))
	}
	return safe
}
