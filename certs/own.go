package certs

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// OwnRoot returns the roots of the authority at dir, which are several after a rollover, for a client that trusts them
// without being told to. It reads certificates only, leaves out older ones that have expired, and refuses one that is
// not constrained to certain names, or that anyone but the current user could have put there: folder and file have to
// belong to the user, nobody else may write to them, and nobody but the user and root may exchange a folder on the way
// to them. If there is none, errors.Is finds fs.ErrNotExist.
func OwnRoot(dir string) ([]*x509.Certificate, error) {
	roots, err := ownRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("trust own root %q: %w", filepath.Join(dir, rootFile), err)
	}
	return roots, nil
}

func ownRoot(dir string) ([]*x509.Certificate, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, bareCause(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := checkParents(dir); err != nil {
		return nil, err
	}
	folder, err := os.OpenRoot(dir) // what is checked is what is read
	if err != nil {
		return nil, bareCause(err)
	}
	defer folder.Close()
	if _, err := readOwn(folder, "."); err != nil {
		return nil, err
	}
	data, err := readOwn(folder, rootFile)
	if err != nil {
		return nil, err
	}
	roots, err := authoritiesAlone(filepath.Join(dir, rootFile), data)
	if err != nil {
		return nil, err
	}
	roots = append(roots[:1], unexpired(roots[1:])...)
	for _, root := range roots {
		if err := CheckConstrained(root); err != nil {
			return nil, err
		}
	}
	return roots, nil
}

// readOwn checks whose a file or folder is, and reads a file.
func readOwn(folder *os.Root, name string) ([]byte, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, bareCause(err)
	}
	defer f.Close()
	if err := checkOwn(f); err != nil {
		return nil, fmt.Errorf("%q: %w", f.Name(), err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}
