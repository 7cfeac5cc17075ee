package certs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The policy of every file that this package writes: it appears whole or not at all, under a mode that it has from its
// first byte on (0600 for keys); it is on the disk, its folder's entry too, before anyone is told that it exists;
// nothing is replaced unless the caller forces it; and when one of several files cannot be written, none is left.

// file is one file to write.
type file struct {
	path    string
	content []byte
	mode    fs.FileMode
	like    fs.FileInfo // has the owner that it is to have; nil: the user
}

// pendingFile is a temporary file beside the one that it will become.
type pendingFile interface {
	io.Writer
	Name() string
	chowner
	Sync() error
	CloseAtomicallyReplace() error // becomes the file, over one that is there
	Cleanup() error                // removes what has not become the file
}

type chowner interface {
	Chown(uid, gid int) error
}

// writeFiles writes all files or none. Without force it is an error, fs.ErrExist, if one is there already.
func writeFiles(files []file, force bool) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo); err != nil && i > 0; i-- {
			err = withUndo(err, undo[i-1]())
		}
	}()
	var done []func() error // removes the copies of what was replaced
	for _, f := range files {
		if f.path, err = filepath.Abs(f.path); err != nil {
			return err
		}
		pending, err := f.prepare()
		if err != nil {
			return fmt.Errorf("write %q: %w", f.path, bareCause(err))
		}
		defer pending.Cleanup()
		if !force {
			if err := putNew(pending, f.path); err != nil {
				return err
			}
			undo = append(undo, func() error { return os.Remove(f.path) })
			continue
		}
		backup, err := keepCopy(f.path)
		if err != nil {
			return fmt.Errorf("write %q: %w", f.path, err)
		}
		if err := pending.CloseAtomicallyReplace(); err != nil {
			if backup != "" {
				err = errors.Join(err, os.Remove(backup))
			}
			return fmt.Errorf("write %q: %w", f.path, err)
		}
		if backup == "" {
			undo = append(undo, func() error { return os.Remove(f.path) })
			continue
		}
		undo = append(undo, func() error { return os.Rename(backup, f.path) })
		done = append(done, func() error { return os.Remove(backup) })
	}
	for _, f := range files {
		if err := syncFolder(filepath.Dir(f.path)); err != nil {
			return err
		}
	}
	for _, remove := range done {
		_ = remove() // all is written; a copy that stays is no reason to take it back
	}
	return nil
}

// prepare writes the content into a temporary file.
func (f file) prepare() (pendingFile, error) {
	if info, err := os.Stat(f.path); err == nil && info.IsDir() {
		return nil, errors.New("a folder of this name is there")
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("a device, pipe or socket of this name is there, which a file must not replace")
	}
	pending, err := newPendingFile(f.path, f.mode)
	if err != nil {
		return nil, err
	}
	if f.like != nil {
		err = keepOwner(pending, f.like)
	}
	if err == nil {
		_, err = pending.Write(f.content)
	}
	if err == nil {
		err = pending.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, pending.Cleanup())
	}
	return pending, nil
}

// putNew gives the pending file its name unless there is a file of that name. A hard link does both in one step; on a
// file system without links a file that comes in between looking and renaming would be lost.
func putNew(pending pendingFile, path string) error {
	err := os.Link(pending.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return pending.CloseAtomicallyReplace()
		} else if err == nil {
			err = fs.ErrExist
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %q: %w: --force replaces it", path, fs.ErrExist)
	}
	return err
}

// keepCopy makes a second name for the file at path, so that it can be put back, and returns "" if there is none.
func keepCopy(path string) (backup string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", bareCause(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", bareCause(err)
	}
	copied, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".old-") // 0600
	if err != nil {
		return "", bareCause(err)
	}
	_, err = copied.Write(data)
	err = errors.Join(err, keepOwner(copied, info), copied.Chmod(info.Mode().Perm()), copied.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(copied.Name()))
	}
	return copied.Name(), nil
}

// Write writes the certificate and the key to NAME.pem and NAME.key in dir, which is made (0700) if it is missing.
// Both are written or neither; without a key, keyPath is empty. Without force, a file that is there already is an error
// (fs.ErrExist) that names it. What could not be written is taken off the record of what was issued.
func (i *Issued) Write(dir string, force bool) (certPath, keyPath string, err error) {
	certPath, keyPath, err = writeWithKey(file{filepath.Join(dir, safeFileName(i.fileName)+".pem"), i.CertPEM, 0o644, nil}, i.KeyPEM, force)
	if err != nil && i.forget != nil {
		err = withUndo(err, i.forget())
	}
	return certPath, keyPath, err
}

// withUndo adds to an error what went wrong when things were put back.
func withUndo(err, undoing error) error {
	if undoing == nil {
		return err
	}
	return fmt.Errorf("%w; then, to undo it: %w", err, undoing)
}

// writeWithKey writes f, and key beside it if that is not nil: all or nothing, new folders too.
func writeWithKey(f file, key []byte, force bool) (path, keyPath string, err error) {
	dir := filepath.Dir(f.path)
	made, err := makeFolders(dir)
	if err != nil {
		return "", "", fmt.Errorf("make folder %q: %w", dir, bareCause(err))
	}
	files := []file{f}
	if key != nil {
		keyPath = strings.TrimSuffix(f.path, filepath.Ext(f.path)) + ".key"
		files = []file{{keyPath, key, 0o600, nil}, f}
	}
	if err := writeFiles(files, force); err != nil {
		for _, folder := range made {
			os.Remove(folder)
		}
		return "", "", err
	}
	return f.path, keyPath, nil
}

// storeFile writes a file that is private (0600), over one that is there, and makes the folders above it that are
// missing (0700).
func storeFile(path string, content []byte) error {
	if err := makeFoldersDurably(filepath.Dir(path)); err != nil {
		return bareCause(err)
	}
	pending, err := file{path, content, 0o600, nil}.prepare()
	if err != nil {
		return bareCause(err)
	}
	defer pending.Cleanup()
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return bareCause(err)
	}
	return bareCause(syncFolder(filepath.Dir(path)))
}

// makeFoldersDurably is makeFolders with the folders on the disk when it returns.
func makeFoldersDurably(dir string) error {
	made, err := makeFolders(dir)
	if err != nil {
		return err
	}
	for _, folder := range made {
		if err := syncFolder(filepath.Dir(folder)); err != nil {
			return err
		}
	}
	return nil
}

// makeFolders makes dir and what is missing above it, and returns those that it made, the deepest first.
func makeFolders(dir string) (made []string, err error) {
	for missing := filepath.Clean(dir); ; missing = filepath.Dir(missing) {
		if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, missing)
	}
	return made, os.MkdirAll(dir, 0o700)
}

// maxFileName leaves room for an ending and what temporary files add, within the 255 bytes that file systems allow.
const maxFileName = 200

// safeFileName makes a file's name of any text: one that is legal on Windows too, is not hidden, and leads nowhere else.
func safeFileName(s string) string {
	if base, ok := strings.CutPrefix(s, "*."); ok {
		s = "_wildcard." + base
	}
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._@-", r) {
			return r
		}
		return '_'
	}, s)
	s = strings.TrimRight(s[:min(len(s), maxFileName)], ".")
	if s == "" || s[0] == '.' || s[0] == '-' || isDeviceName(s) {
		s = "_" + strings.TrimLeft(s, ".")
	}
	return s
}

// isDeviceName tells whether Windows takes s for a device, which it does with any ending.
func isDeviceName(s string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(s), ".")
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9'
}

// WriteFile writes a file that is no secret (0644), atomically and durably, over one that is there.
func WriteFile(path string, content []byte) error {
	return writeFiles([]file{{path, content, 0o644, nil}}, true)
}

// WriteSecretFile is WriteFile for what only its owner may read: mode 0600.
func WriteSecretFile(path string, content []byte) error {
	return writeFiles([]file{{path, content, 0o600, nil}}, true)
}
