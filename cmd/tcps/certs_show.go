package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

func (p *program) certsShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "say in words what a certificate is", UsageText: "tcps certs show FILE…", Action: p.certsShow,
	}
}

func (p *program) certsShow(c *cli.Context) error {
	if !c.Args().Present() {
		return misuse("for instance: tcps certs show server.pem", "tcps certs show needs a file")
	}
	for i, file := range c.Args().Slice() {
		text, err := certs.DescribeFile(file)
		if err != nil {
			return fileFailure(err)
		}
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		if c.Args().Len() > 1 {
			fmt.Fprintln(p.out, file+":")
		}
		fmt.Fprint(p.out, text)
	}
	return nil
}
