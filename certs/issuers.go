package certs

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
)

// signers are all that sign, or signed, in the name of the authority and whose keys are at hand.
func (a *Authority) signers() ([]signer, error) { return []signer{{a.root, a.key}}, nil }

// readIssuers reads the certificates of all that sign, or signed, in the name of the authority at dir.
func readIssuers(dir string) ([]*x509.Certificate, error) {
	path := filepath.Join(dir, rootFile)
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("root %q: %w", path, err)
	}
	found, err := parsePEM(path, data)
	if err != nil {
		return nil, fmt.Errorf("root %q: %w", path, err)
	}
	return found.certificates, nil
}
