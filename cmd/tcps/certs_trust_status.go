package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/terminal"
	"tcps/internal/truststore"
)

// A trustReport is what certs trust --status says.
type trustReport struct {
	Version int           `json:"version"`
	Roots   []rootReport  `json:"roots"`
	Stores  []storeReport `json:"stores"`
}

type rootReport struct {
	Subject     string `json:"subject"`
	SHA256      string `json:"sha256"`
	Constrained bool   `json:"constrained"`
}

type storeReport struct {
	Kind    string       `json:"kind"`
	Place   string       `json:"place"`
	Trusted []string     `json:"trusted"`          // SHA-256 of the roots that it trusts
	Missing []string     `json:"missing"`          // and of those that it does not
	Others  []rootReport `json:"others,omitempty"` // that certs trust put there, and that are none of the roots
	Error   string       `json:"error,omitempty"`  // why that is not known
}

func reportOf(root *x509.Certificate) rootReport {
	return rootReport{subjectOf(root), certs.Fingerprint(root), certs.CheckConstrained(root) == nil}
}

// trustStatus needs no authority: it also shows what is left of old ones.
func (p *program) trustStatus(c *cli.Context) error {
	roots, _, err := p.rootsOf(c, "")
	if err != nil && (c.Args().Present() || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	stores, err := p.storesOf(c)
	if err != nil {
		return err
	}
	report := trustReport{Version: 1, Roots: []rootReport{}, Stores: []storeReport{}}
	for _, root := range roots {
		report.Roots = append(report.Roots, reportOf(root))
	}
	for _, s := range stores {
		r := storeReport{Kind: string(s.Kind()), Place: terminal.Printable(s.Place()), Trusted: []string{}, Missing: []string{}}
		r.look(s, roots)
		report.Stores = append(report.Stores, r)
	}
	if c.Bool("json") {
		return p.printJSON(report)
	}
	p.printRoots(roots)
	if len(roots) == 0 {
		fmt.Fprintf(p.out, "%-13s none: there is no local authority yet\n", "root:")
	}
	p.printFound(stores)
	for _, r := range report.Stores {
		r.print(p)
	}
	return nil
}

// look asks a store for each root, and for what else is ours.
func (r *storeReport) look(s truststore.Store, roots []*x509.Certificate) {
	for _, root := range roots {
		has, err := s.Has(root)
		switch {
		case err != nil:
			r.Error = err.Error()
		case has:
			r.Trusted = append(r.Trusted, certs.Fingerprint(root))
		default:
			r.Missing = append(r.Missing, certs.Fingerprint(root))
		}
	}
	ours, err := s.Ours()
	if err != nil {
		r.Error = err.Error()
	}
	for _, root := range ours {
		if !slices.ContainsFunc(roots, root.Equal) {
			r.Others = append(r.Others, reportOf(root))
		}
	}
}

func (r storeReport) print(p *program) {
	text := "trusts it"
	switch {
	case r.Error != "":
		text = "not known: " + r.Error
	case len(r.Missing) > 0 && len(r.Trusted) > 0:
		text = fmt.Sprintf("trusts %d of %d", len(r.Trusted), len(r.Trusted)+len(r.Missing))
	case len(r.Missing) > 0:
		text = "does not trust it"
	case len(r.Trusted) == 0:
		text = "looked at"
	}
	fmt.Fprintf(p.out, "%-13s %s: %s\n", r.Kind+":", r.Place, text)
	for _, other := range r.Others {
		fmt.Fprintf(p.out, "%-13s %s, SHA-256 %s, of an earlier \"tcps certs trust\"\n", "also:", other.Subject, other.SHA256)
	}
}
