package certs_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"tcps/certs"
	"tcps/certs/storagetest"
)

// lockIn and storeIn make the test binary, run again, another process that uses a storage until it is killed.
const (
	lockIn  = "CERTS_TEST_LOCK_IN"
	storeIn = "CERTS_TEST_STORE_IN"
)

const valueSize = 1 << 20

// useStorage is what that other process does: it says so on standard output whenever it has done it.
func useStorage() {
	ctx := context.Background()
	if dir := os.Getenv(lockIn); dir != "" {
		s, err := certs.OpenFileStorage(dir)
		if err == nil {
			err = s.Lock(ctx, "name")
		}
		fmt.Println("locked", err)
		select {}
	}
	if dir := os.Getenv(storeIn); dir != "" {
		s, err := certs.OpenFileStorage(dir)
		for n := 0; ; n++ {
			if err == nil {
				err = s.Store(ctx, "folder/key", bytes.Repeat([]byte{byte('a' + n%26)}, valueSize))
			}
			fmt.Println("stored", err)
		}
	}
}

// another starts that process and returns what kills it, and its output.
func another(t *testing.T, variable, dir string) (kill func(), says *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	return kill, bufio.NewReader(out)
}

func wantLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if line, err := r.ReadString('\n'); line != want+"\n" {
		t.Fatalf("the other process said %q (%v), want %q", line, err, want)
	}
}

func openStorage(t testing.TB, dir string) *certs.FileStorage {
	t.Helper()
	s, err := certs.OpenFileStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFileStorage(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) func() certmagic.Storage {
		dir := filepath.Join(t.TempDir(), "state", "storage")
		return func() certmagic.Storage { return openStorage(t, dir) }
	})
}

// Values are their owner's alone, and nothing else is left in the folder.
func TestFileStorageIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := filepath.Join(t.TempDir(), "state", "storage")
	s := openStorage(t, dir)
	for _, key := range []string{"a/b/one.key", "two.key"} {
		if err := s.Store(t.Context(), key, []byte("secret")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Store(t.Context(), "a/b", []byte("a value where a prefix is")); err == nil {
		t.Error("a prefix got a value")
	}
	if err := s.Lock(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		if !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if got := strings.Join(files, " "); err != nil || got != "a/b/one.key two.key" {
		t.Errorf("the folder holds %q, %v", got, err)
	}
}

// A folder that others can read is mended; one that others can write to is refused; so is what is no folder.
func TestFileStorageFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openStorage(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v after opening", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	_, err := certs.OpenFileStorage(dir)
	wantError(t, err, "open storage", dir, "others can write to it (mode 0770)", "chmod 700 "+dir)
	file := write(t, t.TempDir(), "file", []byte("content"))
	_, err = certs.OpenFileStorage(file)
	wantError(t, err, "open storage", file)
	_, err = certs.OpenFileStorage(filepath.Join(file, "below"))
	wantError(t, err, "open storage", "below")
}

// The lock of a process that was killed is free at once.
func TestFileStorageLockOfKilled(t *testing.T) {
	dir := t.TempDir()
	s := openStorage(t, dir)
	kill, says := another(t, lockIn, dir)
	wantLine(t, says, "locked <nil>")
	if ok, err := s.TryLock(t.Context(), "name"); ok || err != nil {
		t.Fatalf("TryLock = %v, %v while another process holds the lock", ok, err)
	}
	kill()
	if ok, err := s.TryLock(t.Context(), "name"); !ok || err != nil {
		t.Fatalf("TryLock = %v, %v after the holder's death", ok, err)
	}
	if err := s.Unlock(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
}

// A process that is killed while it stores leaves a whole value, nothing else that is listed, and what it left in the
// folder goes when that is old.
func TestFileStorageKilledWhileStoring(t *testing.T) {
	dir := t.TempDir()
	s := openStorage(t, dir)
	for range 5 {
		kill, says := another(t, storeIn, dir)
		for range 3 {
			wantLine(t, says, "stored <nil>")
		}
		kill()
		value, err := s.Load(t.Context(), "folder/key")
		if err != nil || len(value) != valueSize || len(bytes.Trim(value, string(value[:1]))) > 0 {
			t.Fatalf("%d bytes, %v: not one whole value", len(value), err)
		}
		if keys, err := s.List(t.Context(), "", true); err != nil || strings.Join(keys, " ") != "folder folder/key" {
			t.Fatalf("the storage lists %q, %v", keys, err)
		}
	}
	old, young := write(t, filepath.Join(dir, ".temp"), "value-old"), write(t, filepath.Join(dir, ".temp"), "value-young")
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	openStorage(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("an old leftover stays")
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what another process may be writing was removed: %v", err)
	}
}
