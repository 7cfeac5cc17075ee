package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const crlUsage = `tcps certs crl [FLAG…]

Writes the signed list of what the local authority has taken back, over the one
that is there. Write it anew, from a timer, before it ends: those who check it
refuse everybody then. An authority with an intermediate has a list of each: in
PEM form in one file, in DER form in several.`

func (p *program) certsCRLCommand() *cli.Command {
	return &cli.Command{
		Name: "crl", Usage: "write the revocation list", UsageText: crlUsage, Action: p.certsCRL,
		Flags: append([]cli.Flag{
			durationFlag(certificateCategory, "for", 7*24*time.Hour, "`TIME` that it is valid"),
			stringFlag(certificateCategory, "out", "", "`FILE` to write (crl.pem, or crl.der)"),
			boolFlag(certificateCategory, "der", "in DER form, not PEM"),
			stateFlag(),
		}, passphraseFlags()...),
	}
}

func (p *program) certsCRL(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	life := durationOf(c, "for")
	if life < 0 {
		return misuse("", "flag --for: a list cannot be valid for ever")
	}
	authority, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	lists, err := authority.RevocationLists(life)
	if err != nil {
		return fileFailure(err)
	}
	if root := authority.Root(); !slices.ContainsFunc(lists, func(l certs.SignedList) bool { return l.Issuer.Equal(root) }) {
		p.warn("there is no list of the root, whose key is not here: those who check want one too; \"tcps certs crl --for 365d --out root.crl\" where the key is makes it")
	}
	out, content := c.String("out"), [][]byte{nil}
	for i := range lists {
		if c.Bool("der") {
			content = append(content[:i], lists[i].DER)
		} else {
			content[0] = append(content[0], lists[i].PEM()...)
		}
	}
	if out == "" {
		out = "crl.pem"
		if c.Bool("der") {
			out = "crl.der"
		}
	}
	for i, data := range content {
		file := out
		if i > 0 {
			ending := filepath.Ext(out)
			file = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(out, ending), i+1, ending)
		}
		if err := certs.WriteFile(file, data); err != nil {
			return failure(err)
		}
		fmt.Fprintln(p.out, file)
	}
	return nil
}
