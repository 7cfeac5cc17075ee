//go:build !windows

package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"tcps/internal/terminal"
)

func newPendingFile(path string, mode fs.FileMode) (pendingFile, error) {
	return renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(mode))
}

// keepOwner gives a file the owner of another and its group, as far as the user may.
func keepOwner(f chowner, like fs.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := f.Chown(int(stat.Uid), int(stat.Gid))
	if errors.Is(err, fs.ErrPermission) { // not root, who could give it away: a group of the user's is what is left
		if err = f.Chown(-1, int(stat.Gid)); errors.Is(err, fs.ErrPermission) {
			return nil
		}
	}
	return err
}

// syncFolder makes the names in a folder durable, which renameio leaves to us.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err // some file systems cannot sync a folder: there is nothing more to do then
	}
	return nil
}

// checkPrivate refuses a key that others than its owner can read or write.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("key %q is open to others (mode %04o): chmod 600 %s", path, mode, terminal.ShellWord(path))
	}
	return nil
}

// CheckSecretFile refuses a file of WriteSecretFile's kind that somebody else may have written or read: it is another
// user's, or open to others. The error says what the file is. On Windows there is nothing to look at.
func CheckSecretFile(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to another user (%d)", stat.Uid)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("is open to others (mode %04o)", info.Mode().Perm())
	}
	return nil
}

// checkParents says which folder on the way to dir lets others exchange what is below it.
func checkParents(dir string) error {
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Lstat(parent)
		if err != nil {
			return bareCause(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok:
			return errors.New("this system does not tell whose the folders above it are")
		case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
			return fmt.Errorf("the folder %q above it belongs to user %d", parent, stat.Uid)
		case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
			return fmt.Errorf("others can write to the folder %q above it (mode %04o)", parent, info.Mode().Perm())
		case parent == filepath.Dir(parent):
			return nil
		}
	}
}

// checkOwn says what makes a file or folder not this user's alone.
func checkOwn(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return bareCause(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.New("this system does not tell whose it is")
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d, not to you (%d)", stat.Uid, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o)", info.Mode().Perm())
	}
	return nil
}
