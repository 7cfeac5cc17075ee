package certs_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tcps/certs"
)

// lockIn makes the test binary, run again, a process that holds a lock until it is killed.
const lockIn = "CERTS_TEST_LOCK_IN"

func holdLock(dir string) {
	s, err := certs.NewFileStorage(dir)
	if err == nil {
		err = s.Lock(context.Background(), "x")
	}
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("locked\n")
	os.Stdin.Read(make([]byte, 1)) // until the end
}

func TestALockEndsWithTheProcessThatHoldsIt(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockIn+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	s, err := certs.NewFileStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Lock(ended, "x"); !errors.Is(err, context.Canceled) {
		t.Fatalf("a lock that another process holds, and a ctx that has ended: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := s.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(t.Context(), "x"); err == nil {
		t.Error("a lock was given back twice")
	}
}

func TestAKeyStaysWithinTheStorage(t *testing.T) {
	dir := t.TempDir()
	s, err := certs.NewFileStorage(filepath.Join(dir, "storage"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../out", "a/../../out", "/out", ""} {
		if err := s.Store(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("key %q was stored", key)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("outside there is something now (%v)", err)
	}
}

func TestAFolderThatOthersCanWriteToIsNoStorage(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.NewFileStorage(dir); err == nil {
		t.Error("it was taken")
	}
}

func TestStoredFilesArePrivateAndWhole(t *testing.T) {
	dir := t.TempDir()
	s, err := certs.NewFileStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{[]byte("first"), bytes.Repeat([]byte("x"), 1<<20)} {
		if err := s.Store(t.Context(), "a/b/x.key", value); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(t.Context(), "a/b/x.key"); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	checkKeysArePrivate(t, dir)
	entries, err := os.ReadDir(filepath.Join(dir, "a", "b"))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the value there is something else: %v, %v", entries, err)
	}
}
