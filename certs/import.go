package certs

import (
	"errors"
	"fmt"
	"time"
)

// ImportAuthority makes an authority at dir of one that exists: ca's certificate and key are copied. If the key is
// encrypted, so is the copy, under the same passphrase unless o.Encrypt says another one. Of o, Encrypt and Intermediate
// count. Constrained tells whether the root may sign for certain names only.
func ImportAuthority(dir string, ca Pair, o AuthorityOptions) (*Authority, error) {
	a, err := importAuthority(dir, ca, o)
	if err != nil {
		return nil, fmt.Errorf("import authority %q: %w", ca.Cert, err)
	}
	return a, nil
}

func importAuthority(dir string, ca Pair, o AuthorityOptions) (*Authority, error) {
	dir, err := followLink(dir)
	if err != nil {
		return nil, err
	}
	if err := checkVacant(dir); err != nil {
		return nil, fmt.Errorf("%q: %w", dir, err)
	}
	ask := ca.ask()
	ca.Passphrase = func(file string) ([]byte, error) {
		passphrase, err := ask(file)
		if err == nil && o.Encrypt == nil {
			o.Encrypt = passphrase
		}
		return passphrase, err
	}
	chain, key, err := ca.load()
	if err != nil {
		return nil, err
	}
	root, now := chain[0], time.Now()
	switch why := whyNoAuthority(root); {
	case why != "":
		return nil, errors.New(why)
	case now.After(root.NotAfter):
		return nil, fmt.Errorf("it expired %s", moment(root.NotAfter, now))
	case string(root.RawSubject) != string(root.RawIssuer):
		return nil, fmt.Errorf("it is not a root, %q has issued it: clients want the root; import that one, or make an authority of its own", root.Issuer.String())
	}
	setKeyID(root)
	a, err := assemble(signer{root, key}, o)
	if err != nil {
		return nil, err
	}
	return a, a.putInto(dir)
}
