package certs

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The files of an authority's folder. The folder is private; the certificates in it may be given to anyone. A key file
// may hold several keys, of which the certificate beside it says which is meant: so a pair is replaced in steps that
// leave a whole pair at any time (replacePair).
const (
	rootFile            = "root.pem" // all roots that are trusted, the one that signs first
	keyFile             = "root.key"
	crossFile           = "cross.pem" // the first root, signed by the others
	intermediateFile    = "intermediate.pem"
	intermediateKeyFile = "intermediate.key"
)

// CreateAuthority makes an authority and its folder, which appears whole or not at all. If dir is an authority
// already, errors.Is finds fs.ErrExist. Missing folders above dir are made.
func CreateAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	a, err := createAuthority(dir, o)
	if err != nil {
		return nil, fmt.Errorf("create authority %q: %w", dir, err)
	}
	return a, nil
}

func createAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	dir, err := followLink(dir)
	if err != nil {
		return nil, err
	}
	if err := checkVacant(dir); err != nil {
		return nil, err
	}
	a, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	return a, a.putInto(dir)
}

// putInto writes the authority to a vacant dir, whole or not at all.
func (a *Authority) putInto(dir string) error {
	temp, err := a.writeBeside(dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // nothing is left there after success
	if err := putFolder(temp, dir); err != nil {
		if vacant := checkVacant(dir); vacant != nil {
			return vacant // another process was quicker
		}
		return bareCause(err)
	}
	a.ledger = &Ledger{dir: dir}
	return syncFolder(filepath.Dir(dir))
}

// followLink makes a symbolic link at dir be heeded and not replaced: it says where the keys are to be kept, an
// encrypted volume perhaps, and that may be missing just now.
func followLink(dir string) (string, error) {
	dir = filepath.Clean(dir)
	info, err := os.Lstat(dir)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return dir, nil
	}
	target, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("it is a symbolic link to a folder that is not there")
	}
	return target, err
}

// errOccupied is the cause where there is an authority, or half of one, already.
var errOccupied = fmt.Errorf("there is one already: %w", fs.ErrExist)

// checkVacant says what keeps dir from becoming an authority's folder.
func checkVacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return bareCause(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case rootFile, keyFile, intermediateFile, intermediateKeyFile:
			return errOccupied
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("the folder holds other files (%q)", entries[0].Name())
	}
	return nil
}

// writeBeside writes the authority into a new folder beside dir, on the same file system, and returns its path.
func (a *Authority) writeBeside(dir string) (temp string, err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("make folder %q: %w", parent, bareCause(err))
	}
	temp, err = os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-") // 0700
	if err != nil {
		return "", fmt.Errorf("make a folder in %q: %w", parent, bareCause(err))
	}
	if err := a.writeInto(temp); err != nil {
		os.RemoveAll(temp)
		return "", err
	}
	return temp, nil
}

func (a *Authority) writeInto(dir string) error {
	key, err := a.encode(a.rootKey)
	if err != nil {
		return err
	}
	files := []file{
		{filepath.Join(dir, keyFile), key, 0o600},
		{filepath.Join(dir, rootFile), a.RootPEM(), 0o644},
	}
	if a.current.certificate != a.root {
		if key, err = a.encode(a.current.key); err != nil {
			return err
		}
		files = append(files,
			file{filepath.Join(dir, intermediateKeyFile), key, 0o600},
			file{filepath.Join(dir, intermediateFile), encodeCertificates(a.current.certificate), 0o644})
		if err := (&Ledger{dir: dir}).record(a.current.certificate); err != nil {
			return err
		}
	}
	return writeFiles(files, false)
}

// encode returns the PEM form of a key of the authority.
func (a *Authority) encode(key crypto.Signer) ([]byte, error) {
	if a.seal != nil {
		return encryptKey(key, a.seal)
	}
	return encodeKey(key)
}

// putFolder renames temp to dir, which must not exist or be empty.
func putFolder(temp, dir string) error {
	err := os.Rename(temp, dir)
	if err != nil && os.Remove(dir) == nil { // an empty folder in the way, where rename does not replace it
		err = os.Rename(temp, dir)
	}
	return err
}

// ReplaceAuthority makes a new authority at dir. The old folder, with its key, is kept beside it under a name
// that carries the time; kept is its path, empty if there was none. What the old root signed is not trusted by the new
// one; what was revoked stays so, for those who trust the old root still.
func ReplaceAuthority(dir string, o AuthorityOptions) (a *Authority, kept string, err error) {
	a, kept, err = replaceAuthority(dir, o)
	if err != nil {
		return nil, "", fmt.Errorf("replace authority %q: %w", dir, err)
	}
	return a, kept, nil
}

func replaceAuthority(dir string, o AuthorityOptions) (a *Authority, kept string, err error) {
	if dir, err = followLink(dir); err != nil {
		return nil, "", err
	}
	if a, err = newAuthority(o); err != nil {
		return nil, "", err
	}
	if err := checkVacant(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, "", err
	}
	temp, err := a.writeBeside(dir)
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(temp)
	if err := copyRevoked(dir, temp); err != nil {
		return nil, "", err
	}
	if kept, err = setAside(dir); err != nil {
		return nil, "", err
	}
	// Between the two renames there is no authority. If the machine stops here, the old one is under its dated name;
	// if another process makes one now, this fails and says so.
	if err := putFolder(temp, dir); err != nil {
		if kept != "" {
			err = errors.Join(err, os.Rename(kept, dir))
		}
		return nil, "", err
	}
	a.ledger = &Ledger{dir: dir}
	return a, kept, syncFolder(filepath.Dir(dir))
}

// setAside renames dir to a dated name that is free. An empty or missing folder stays.
func setAside(dir string) (kept string, err error) {
	if checkVacant(dir) == nil {
		return "", nil
	}
	dated := dir + time.Now().UTC().Format(".2006-01-02T150405Z")
	for n := 1; ; n++ {
		kept = dated
		if n > 1 {
			kept = fmt.Sprintf("%s-%d", dated, n)
		}
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			return kept, os.Rename(dir, kept)
		} else if err != nil {
			return "", err
		}
	}
}
