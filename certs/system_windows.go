package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// tempFile is a pendingFile for Windows, which renameio does not support.
type tempFile struct {
	*os.File
	path string
	done bool
}

func newPendingFile(path string, _ fs.FileMode) (pendingFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return nil, err
	}
	return &tempFile{File: f, path: path}, nil
}

// CloseAtomicallyReplace replaces the file at the path with this one.
func (t *tempFile) CloseAtomicallyReplace() error {
	if err := t.Close(); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), t.path); err != nil {
		return err
	}
	t.done = true
	return nil
}

// Cleanup removes the file unless it was put in its place.
func (t *tempFile) Cleanup() error {
	if t.done {
		return nil
	}
	t.done = true
	t.Close() // it may be closed already
	return os.Remove(t.Name())
}

// keepOwner does nothing: a file inherits what its folder says.
func keepOwner(chowner, fs.FileInfo) error { return nil }

// syncFolder does nothing: Windows has no such call, NTFS keeps its folders in a journal.
func syncFolder(string) error { return nil }

// checkPrivate trusts the permissions that a file inherits from its folder: Windows has no mode to check.
func checkPrivate(string, fs.FileInfo) error { return nil }

// CheckSecretFile has nothing to look at: the mode says nothing here.
func CheckSecretFile(fs.FileInfo) error { return nil }

// checkParents has nothing to add: checkOwn wants the user's profile folder above it.
func checkParents(string) error { return nil }

// checkOwn accepts a file or folder that the user owns and that lies in the user's profile, whose
// permissions keep others out.
func checkOwn(f *os.File) error {
	token := windows.GetCurrentProcessToken()
	user, err := token.GetTokenUser()
	if err != nil {
		return fmt.Errorf("ask who the user is: %w", err)
	}
	security, err := windows.GetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("ask whose it is: %w", err)
	}
	if owner, _, err := security.Owner(); err != nil || owner == nil || !owner.Equals(user.User.Sid) {
		return errors.New("it does not belong to you")
	}
	profile, err := token.GetUserProfileDirectory()
	if err != nil {
		return fmt.Errorf("ask for the user's profile folder: %w", err)
	}
	path, err := filepath.EvalSymlinks(f.Name())
	if err != nil {
		return bareCause(err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if relative, err := filepath.Rel(profile, path); err != nil || relative == ".." || strings.HasPrefix(relative, `..\`) {
		return fmt.Errorf("it is outside of your profile folder %q", profile)
	}
	return nil
}
