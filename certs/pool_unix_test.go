//go:build unix

package certs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"tcps/certs"
)

// Opening a pipe would wait for somebody who writes to it.
func TestPoolOfAFolderLeavesPipesOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	if _, err := certs.CreateAuthority(dir, certs.AuthorityOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	authorities, _, err := certs.LoadAuthorities(dir)
	if err != nil || len(authorities) != 1 {
		t.Errorf("%d authorities, %v", len(authorities), err)
	}
	if err := os.Remove(filepath.Join(dir, "root.pem")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := certs.LoadAuthorities(dir); err == nil {
		t.Error("a folder with a pipe only is taken for one of authorities")
	}
}
