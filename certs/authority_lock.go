package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockTime bounds how long another process may hold the lock of an authority: all that is done under it is quick.
const lockTime = 30 * time.Second

// lockAuthority keeps others, also in this process, from changing the keys of the authority at dir and from counting its
// lists. The system ends a lock with the process that holds it.
func lockAuthority(dir string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	return lockAt(ctx, filepath.Join(dir, ".lock"))
}

// LockFile keeps others who lock it, also in this process, from the file at path until unlock is called, and waits for
// them until ctx ends. The file need not be there, its folder is made (0700): what is locked is .NAME.lock beside it,
// which stays. The system ends a lock with the process that holds it.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	dir := filepath.Dir(path)
	if err := makeFoldersDurably(dir); err != nil {
		return nil, fmt.Errorf("make folder %q: %w", dir, bareCause(err))
	}
	return lockAt(ctx, filepath.Join(dir, "."+filepath.Base(path)+".lock"))
}

// lockAt locks the file at path.
func lockAt(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // it stays: to remove it would take it from who waits
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, bareCause(err))
	}
	err = pollLock(ctx, func() (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("another process holds it: %w", err)
		}
		return lockFile(f)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", path, err), f.Close())
	}
	return func() { f.Close() }, nil
}
