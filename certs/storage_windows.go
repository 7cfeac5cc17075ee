package certs

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks an open file, for as long as it is open, unless another has locked it.
func lockFile(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// closeToOthers trusts the permissions that the folder inherits: Windows has no mode to check.
func closeToOthers(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("this is a file, not a folder")
	}
	return err
}
