package certs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"
)

// The folders of a FileStorage that hold no values. Keys cannot begin with a dot.
const (
	lockFolder = ".locks"
	tempFolder = ".temp" // values on their way in or out: a crash may leave one here, never half a value under its key
)

// leftoverAge is how old a file in tempFolder is that nobody can still be writing.
const leftoverAge = time.Hour

// FileStorage is a certmagic.Storage in a folder: a file a key, 0600 in folders of 0700, written as this package writes
// every file. Any number of FileStorages, also of other processes, may use one folder.
//
// Locks are the operating system's, on open files (flock, LockFileEx): they end with the process that holds them, however
// it ends, so none is ever stale. Machines that share the folder need a network file system that passes them on (NFSv4
// and SMB do). They keep out FileStorages only, not programs with certmagic's own storage.
type FileStorage struct {
	dir string

	mu   sync.Mutex
	held map[string]*os.File // by name of the lock; guarded by mu
}

var (
	_ certmagic.Storage   = (*FileStorage)(nil)
	_ certmagic.TryLocker = (*FileStorage)(nil)
)

// OpenFileStorage makes the folder if it is missing, and what is missing above it. A folder that others may read is
// closed to them; one that others may write to is an error: what they have put there cannot be told from what is ours.
func OpenFileStorage(dir string) (*FileStorage, error) {
	s := &FileStorage{held: make(map[string]*os.File)}
	var err error
	if s.dir, err = filepath.Abs(dir); err == nil {
		err = s.prepare()
	}
	if err != nil {
		return nil, fmt.Errorf("open storage %q: %w", dir, bareCause(err))
	}
	return s, nil
}

func (s *FileStorage) prepare() error {
	if err := makeFoldersDurably(s.dir); err != nil {
		return err
	}
	if err := closeToOthers(s.dir); err != nil {
		return err
	}
	for _, name := range []string{lockFolder, tempFolder} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	return s.removeLeftovers()
}

// removeLeftovers removes what crashes have left of values: they may be private keys.
func (s *FileStorage) removeLeftovers() error {
	temp := filepath.Join(s.dir, tempFolder)
	entries, err := os.ReadDir(temp)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > leftoverAge {
			os.RemoveAll(filepath.Join(temp, e.Name())) // another process may be quicker
		}
	}
	return err
}

// Store puts value at key, on the disk when it returns. Whoever reads the key meanwhile gets the old or the new value
// whole, and so does whoever reads it after a failure or a crash.
func (s *FileStorage) Store(ctx context.Context, key string, value []byte) error {
	file, err := s.file(ctx, key)
	if err == nil {
		err = s.put(file, value)
	}
	return storageError("store", key, err)
}

func (s *FileStorage) put(file string, value []byte) error {
	temp, err := os.CreateTemp(filepath.Join(s.dir, tempFolder), "value-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // nothing is left there after success
	_, err = temp.Write(value)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := s.rename(temp.Name(), file); err != nil {
		return err
	}
	for folder := filepath.Dir(file); ; folder = filepath.Dir(folder) {
		if err := syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) || folder == s.dir {
			return err // a folder that is not there was deleted since, with the value
		}
	}
}

// rename puts a file in its place, in a folder that others may be deleting.
func (s *FileStorage) rename(temp, file string) error {
	for tries := 0; ; tries++ {
		err := os.MkdirAll(filepath.Dir(file), 0o700)
		if err == nil {
			err = os.Rename(temp, file)
		}
		if !errors.Is(err, fs.ErrNotExist) || tries == 10 {
			return err
		}
	}
}

// Load returns the value at key.
func (s *FileStorage) Load(ctx context.Context, key string) ([]byte, error) {
	file, err := s.file(ctx, key)
	var value []byte
	if err == nil {
		value, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, storageError("load", key, err)
	}
	return value, nil
}

// Delete removes the key, or all keys that it is a prefix of. A key that is not there is no error.
func (s *FileStorage) Delete(ctx context.Context, key string) error {
	file, err := s.file(ctx, key)
	if err != nil {
		return storageError("delete", key, err)
	}
	if err = storageError("delete", key, s.remove(file)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remove takes a file or folder away in one step, whatever others put into it meanwhile, and then deletes it.
func (s *FileStorage) remove(file string) error {
	temp, err := os.MkdirTemp(filepath.Join(s.dir, tempFolder), "deleted-") // 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Rename(file, filepath.Join(temp, "value")); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

// Exists reports whether key has a value, or is a prefix of keys.
func (s *FileStorage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// Stat describes key.
func (s *FileStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	file, err := s.file(ctx, key)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(file)
	}
	if err != nil {
		return certmagic.KeyInfo{}, storageError("look at", key, err)
	}
	return certmagic.KeyInfo{Key: key, Modified: info.ModTime(), Size: info.Size(), IsTerminal: !info.IsDir()}, nil
}

// List returns the keys under prefix, prefixes among them; all of them if recursive, else those right below it. An empty
// prefix is the whole storage.
func (s *FileStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	folder, err := s.dir, ctx.Err()
	if prefix != "" {
		folder, err = s.file(ctx, prefix)
	}
	var entries []fs.DirEntry
	if err == nil {
		entries, err = os.ReadDir(folder)
	}
	if err != nil {
		return nil, storageError("list", prefix, err)
	}
	var keys []string
	for _, e := range entries {
		if prefix == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		key := path.Join(prefix, e.Name())
		keys = append(keys, key)
		if !recursive || !e.IsDir() {
			continue
		}
		below, err := s.List(ctx, key, true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been deleted since
			return nil, err
		}
		keys = append(keys, below...)
	}
	return keys, nil
}

// file is where the value of key is kept: always below the folder.
func (s *FileStorage) file(ctx context.Context, key string) (string, error) {
	local := filepath.FromSlash(key)
	if !fs.ValidPath(key) || !filepath.IsLocal(local) || key[0] == '.' {
		return "", errors.New("a key is names divided by slashes; none may be empty, . or .., and the first may not begin with a dot")
	}
	return filepath.Join(s.dir, local), ctx.Err()
}

// storageError says what was attempted. A key below one that has a value is not there.
func storageError(verb, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		err = fs.ErrNotExist
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		err = le.Err
	}
	return fmt.Errorf("%s %q: %w", verb, key, bareCause(err))
}

// lockName is a file's name that tells a person which lock it is, and differs for every two names.
func lockName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%x", safeFileName(name), sum[:8])
}
