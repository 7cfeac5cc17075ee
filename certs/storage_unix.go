//go:build !windows

package certs

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"tcps/internal/terminal"
)

// lockFile locks an open file, for as long as it is open, unless another has locked it.
func lockFile(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}

// closeToOthers makes a folder its owner's alone.
func closeToOthers(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	switch {
	case !info.IsDir():
		return errors.New("this is a file, not a folder")
	case mode&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o): see that all in it is yours, then chmod 700 %s", mode, terminal.ShellWord(dir))
	case mode&0o077 != 0:
		return os.Chmod(dir, 0o700)
	}
	return nil
}
