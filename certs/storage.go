package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// FileStorage is a certmagic.Storage of files in a folder, which any number of processes of one machine may share. A
// value appears whole or not at all, is on the disk when Store returns, and can be read by the current user only, from
// its first byte on. A lock ends with the process that holds it, however that ends.
type FileStorage struct {
	certmagic.FileStorage // for what only reads

	mu   sync.Mutex
	held map[string]*os.File // the locks; guarded by mu
}

// NewFileStorage makes a storage of a folder, which is made (0700) if it is missing. One that others can write to is an
// error: they could exchange keys.
func NewFileStorage(dir string) (*FileStorage, error) {
	if err := makeStorageFolder(dir); err != nil {
		return nil, fmt.Errorf("open storage %q: %w", dir, err)
	}
	return &FileStorage{FileStorage: certmagic.FileStorage{Path: dir}, held: make(map[string]*os.File)}, nil
}

func makeStorageFolder(dir string) error {
	if _, err := makeFolders(dir); err != nil {
		return bareCause(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return bareCause(err)
	}
	return checkFolderPrivate(dir, info)
}

// path is the file of a key. A key that would lead out of the folder is an error.
func (s *FileStorage) path(key string) (string, error) {
	if local := filepath.FromSlash(key); filepath.IsLocal(local) {
		return filepath.Join(s.Path, local), nil
	}
	return "", fmt.Errorf("key %q does not stay within the storage", key)
}

// Store writes a value durably.
func (s *FileStorage) Store(ctx context.Context, key string, value []byte) error {
	path, err := s.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = storeFile(path, value)
	}
	if err != nil {
		return fmt.Errorf("store %q: %w", key, err)
	}
	return nil
}

func storeFile(path string, value []byte) error {
	made, err := makeFolders(filepath.Dir(path))
	if err != nil {
		return bareCause(err)
	}
	pending, err := file{path, value, 0o600}.prepare()
	if err != nil {
		return bareCause(err)
	}
	defer pending.Cleanup()
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return bareCause(err)
	}
	for _, folder := range append(made, filepath.Dir(path)) {
		if err := syncFolder(filepath.Dir(folder)); err != nil {
			return bareCause(err)
		}
	}
	return syncFolder(filepath.Dir(path))
}

// Load reads a value; if there is none, errors.Is finds fs.ErrNotExist.
func (s *FileStorage) Load(ctx context.Context, key string) ([]byte, error) {
	path, err := s.path(key)
	if err == nil {
		err = ctx.Err()
	}
	var value []byte
	if err == nil {
		value, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load %q: %w", key, bareCause(err))
	}
	return value, nil
}

// Delete removes a key, and all that it is a prefix of.
func (s *FileStorage) Delete(ctx context.Context, key string) error {
	path, err := s.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.RemoveAll(path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %q: %w", key, bareCause(err))
	}
	return nil
}

// lockPoll is how often a lock that somebody holds is tried again.
const lockPoll = 50 * time.Millisecond

// Lock waits until nobody else holds the lock of this name, in this process or another one, or until ctx ends. The
// operating system keeps it: a process that is killed leaves none behind.
func (s *FileStorage) Lock(ctx context.Context, name string) error {
	f, err := s.lockFile(ctx, name)
	if err != nil {
		return fmt.Errorf("lock %q: %w", name, bareCause(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = f
	return nil
}

// lockFile returns the open file of the lock. Who held it before may have removed it while we waited: then it is another
// one by now.
func (s *FileStorage) lockFile(ctx context.Context, name string) (*os.File, error) {
	folder := filepath.Join(s.Path, "locks")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, certmagic.StorageKeys.Safe(name)+".lock")
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := waitForLock(ctx, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		ours, err := f.Stat()
		if err == nil {
			if there, err := os.Stat(path); err == nil && os.SameFile(ours, there) {
				return f, nil
			}
		}
		f.Close()
	}
}

func waitForLock(ctx context.Context, f *os.File) error {
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := tryLock(f); ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// Unlock gives a lock back. One that this storage does not hold is an error.
func (s *FileStorage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.held[name]
	if f == nil {
		return fmt.Errorf("unlock %q: it is not locked", name)
	}
	delete(s.held, name)
	_ = os.Remove(f.Name()) // where the system does not permit it (Windows), it stays
	return f.Close()        // which ends the lock
}

// String names the storage in logs.
func (s *FileStorage) String() string { return "folder " + s.Path }

var _ certmagic.Storage = (*FileStorage)(nil)
