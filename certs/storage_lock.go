package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A lock is polled: waiting in the system could not be ended by a context.
const (
	firstLockPoll = 5 * time.Millisecond
	lastLockPoll  = 250 * time.Millisecond
)

// Lock waits for the lock of that name, until ctx ends.
func (s *FileStorage) Lock(ctx context.Context, name string) error {
	return pollLock(ctx, func() (bool, error) { return s.TryLock(ctx, name) })
}

// pollLock tries until it takes the lock, or try has an error: it has to say that ctx has ended.
func pollLock(ctx context.Context, try func() (bool, error)) error {
	for wait := firstLockPoll; ; wait = min(2*wait, lastLockPoll) {
		if ok, err := try(); ok || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// TryLock takes the lock of that name unless somebody holds it.
func (s *FileStorage) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("lock %q: %w", name, err)
	}
	f, err := s.takeLock(name)
	if f == nil || err != nil {
		return false, storageError("lock", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = f
	return true, nil
}

// takeLock returns the locked file, nil if another holds the lock. Unlock removes the file, so one that we have opened
// and locked may not be the one that the next will find.
func (s *FileStorage) takeLock(name string) (*os.File, error) {
	path := filepath.Join(s.dir, lockFolder, lockName(name))
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		ok, err := lockFile(f)
		if ok && isAt(f, path) {
			return f, nil
		}
		f.Close()
		if !ok {
			return nil, err
		}
	}
}

func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// Unlock gives a lock back that this FileStorage holds; it is an error if it does not.
func (s *FileStorage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	f := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if f == nil {
		return fmt.Errorf("unlock %q: %w", name, errors.New("it is not locked"))
	}
	os.Remove(f.Name()) // while it is ours; where that cannot be done, an empty file stays and hurts nobody
	return storageError("unlock", name, f.Close())
}
