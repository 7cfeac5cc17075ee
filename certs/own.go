package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// OwnRoot returns the root of the authority at dir for a client that trusts it without being told to. It reads
// the certificate only, and refuses one that is not constrained to certain names, or that anyone but the current user
// could have put there: folder and file have to belong to the user, and nobody else may write to them.
// If there is none, errors.Is finds fs.ErrNotExist.
func OwnRoot(dir string) (*x509.Certificate, error) {
	path := filepath.Join(dir, rootFile)
	for _, p := range []string{dir, path} {
		if err := checkOwnPath(p); err != nil {
			return nil, fmt.Errorf("trust own root %q: %w", path, err)
		}
	}
	root, err := readRoot(path)
	if err == nil {
		err = checkConstrained(root)
	}
	if err != nil {
		return nil, fmt.Errorf("trust own root %q: %w", path, err)
	}
	return root, nil
}

func checkOwnPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return bareCause(err)
	}
	defer f.Close()
	if err := checkOwn(f); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	return nil
}

// readRoot reads the only certificate of a file, an authority's. That the file was checked before it is read leaves no
// gap: only the user could exchange it in a folder that is the user's.
func readRoot(path string) (*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	found, err := parsePEM(path, data)
	if err != nil {
		return nil, err
	}
	if len(found.certificates) != 1 {
		return nil, fmt.Errorf("the file holds %d certificates, not one", len(found.certificates))
	}
	if why := whyNoAuthority(found.certificates[0]); why != "" {
		return nil, errors.New(why)
	}
	return found.certificates[0], nil
}
