package main

import (
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

// openAuthority opens the local authority, which has to be there.
func (p *program) openAuthority(c *cli.Context) (*certs.Authority, error) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	authority, err := certs.OpenEncryptedAuthority(dir, p.passphrase(c))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failure(err, makesRoot)
	} else if err != nil {
		return nil, fileFailure(err)
	}
	p.warn(authority.Warnings()...)
	return authority, nil
}
