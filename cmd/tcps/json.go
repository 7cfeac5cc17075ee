package main

import (
	"encoding/json"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

// jsonReports are what the commands print with --json, by their names. Their
// fields are described in docs/json.md; a test compares the two.
var jsonReports = map[string]any{
	"certs list":   listReport{},
	"certs show":   showReport{},
	"certs trust":  trustReport{},
	"certs verify": verdict{},
	"connect":      connectReport{},
	"inspect":      inspectReport{},
	"policy test":  policyReport{},
}

// jsonObjects are types that occur in several reports, or are large: docs/json.md
// describes each once, by this name.
var jsonObjects = map[string]any{
	"certificate":     certs.CertificateDescription{},
	"chain":           certs.ChainDescription{},
	"encryption":      certs.Encryption{},
	"key":             certs.KeyDescription{},
	"problem":         certs.Problem{},
	"request":         certs.RequestDescription{},
	"revocation-list": certs.RevocationListDescription{},
	"root":            rootReport{},
	"staple":          certs.StapleDescription{},
}

// jsonFlag belongs to commands that report something.
func jsonFlag() cli.Flag {
	return boolFlag("Output", "json", "print one JSON object; its names stay as they are while its version is the same")
}

// printJSON prints what a command reports as one object.
func (p *program) printJSON(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return failure(err)
	}
	return nil
}
