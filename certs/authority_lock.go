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
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // it stays: to remove it would take it from who waits
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, bareCause(err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	err = pollLock(ctx, func() (bool, error) {
		if ctx.Err() != nil {
			return false, fmt.Errorf("another process has held it for %v", lockTime)
		}
		return lockFile(f)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", path, err), f.Close())
	}
	return func() { f.Close() }, nil
}
