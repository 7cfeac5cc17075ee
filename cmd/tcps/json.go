package main

import (
	"encoding/json"

	"github.com/urfave/cli/v2"
)

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
