package certs_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tcps/certs"
)

// watched runs a watcher over path until the test ends. The channel gets what file holds at each call.
func watched(t *testing.T, path, file string) <-chan string {
	t.Helper()
	w := certs.NewWatcher(path)
	contents := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- w.Run(ctx, func() {
			data, _ := os.ReadFile(file) // missing reads as empty
			contents <- string(data)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v after its context ended", err)
		}
	})
	return contents
}

// wantContent waits until the watcher reports content.
func wantContent(t *testing.T, contents <-chan string, want string) {
	t.Helper()
	deadline := time.After(30 * time.Second) // half of the poll: what passes was notified
	for {
		select {
		case got := <-contents:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("content %q was never reported", want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesEveryWayToChangeAFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "c.pem", []byte("0"))
	contents := watched(t, path, path)

	write(t, dir, "c.pem", []byte("in place"))
	wantContent(t, contents, "in place")
	must(t, os.Rename(write(t, dir, "new", []byte("renamed over")), path))
	wantContent(t, contents, "renamed over")
	must(t, os.Remove(path))
	wantContent(t, contents, "")
	write(t, dir, "c.pem", []byte("made anew"))
	wantContent(t, contents, "made anew")
	write(t, dir, "c.pem", []byte("and in place again"))
	wantContent(t, contents, "and in place again")
}

func TestWatchSeesASymbolicLinkSwapOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tls.crt")
	swap := func(version, content string) {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version), "tls.crt", []byte(content))
		must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	swap("..1", "first")
	must(t, os.Symlink(filepath.Join("..data", "tls.crt"), path))
	contents := watched(t, path, path)
	for _, version := range []string{"..2", "..3"} {
		swap(version, "content of "+version)
		wantContent(t, contents, "content of "+version)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	write(t, filepath.Join(dir, "..3"), "tls.crt", []byte("written behind the links"))
	wantContent(t, contents, "written behind the links")
}

func TestWatchFollowsALinkInTheMiddleOfThePath(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"a", "b"} {
		must(t, os.MkdirAll(filepath.Join(dir, version, "live"), 0o700))
		write(t, filepath.Join(dir, version, "live"), "c.pem", []byte(version))
	}
	link := filepath.Join(dir, "current")
	must(t, os.Symlink("a", link))
	path := filepath.Join(link, "live", "c.pem")
	contents := watched(t, path, path)
	write(t, filepath.Join(dir, "a", "live"), "c.pem", []byte("a2"))
	wantContent(t, contents, "a2")
	must(t, os.Remove(link))
	must(t, os.Symlink("b", link))
	wantContent(t, contents, "b")
}

func TestWatchSeesTheFolderExchanged(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "tls")
	must(t, os.Mkdir(dir, 0o700))
	path := write(t, dir, "c.pem", []byte("0"))
	contents := watched(t, path, path)
	write(t, dir, "c.pem", []byte("1"))
	wantContent(t, contents, "1")
	must(t, os.Rename(dir, dir+".old"))
	wantContent(t, contents, "")
	must(t, os.Mkdir(dir, 0o700))
	write(t, dir, "c.pem", []byte("2"))
	wantContent(t, contents, "2")
	write(t, dir, "c.pem", []byte("3"))
	wantContent(t, contents, "3")
}

func TestWatchSeesTheContentsOfAFolder(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "ca2.crt")
	contents := watched(t, dir, other)
	write(t, dir, "ca2.crt", []byte("added"))
	wantContent(t, contents, "added")
	write(t, dir, "ca2.crt", []byte("changed"))
	wantContent(t, contents, "changed")
	must(t, os.Remove(other))
	wantContent(t, contents, "")
}

func TestWatchReportsWhatChangedBeforeRunAndNotWhatStayedTheSame(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "c.pem", []byte("same"))
	w := certs.NewWatcher(path)
	write(t, dir, "c.pem", []byte("before Run"))
	contents := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- w.Run(ctx, func() {
			data, _ := os.ReadFile(path)
			contents <- string(data)
		})
	}()
	wantContent(t, contents, "before Run")
	write(t, dir, "unrelated", []byte("x"))
	must(t, os.Rename(write(t, dir, "new", []byte("before Run")), path)) // another file, the same content
	now := time.Now()
	must(t, os.Chtimes(path, now, now))
	write(t, dir, "c.pem", []byte("last"))
	if got := <-contents; got != "last" {
		t.Errorf("reported %q though nothing had changed", got)
	}
	cancel()
	must(t, <-ended)
}

func TestWatchWaitsForACallThatIsUnderWay(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "c.pem", []byte("0"))
	w := certs.NewWatcher(path)
	write(t, dir, "c.pem", []byte("1"))
	ctx, cancel := context.WithCancel(t.Context())
	begun, goOn, ended := make(chan bool), make(chan bool), make(chan error, 1)
	finished := false
	go func() {
		ended <- w.Run(ctx, func() {
			begun <- true
			<-goOn
			finished = true
		})
	}()
	<-begun
	cancel()
	select {
	case <-ended:
		t.Error("Run returned while a call was under way")
	default:
	}
	close(goOn)
	must(t, <-ended)
	if !finished {
		t.Error("Run returned before its call did")
	}
}

func TestWatchWithoutPathsIsAnError(t *testing.T) {
	wantError(t, certs.Watch(t.Context(), nil, func() { t.Error("called") }), "no path")
}

func TestWatchSeesTheEndOfALargeFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "large.crl", make([]byte, 2<<20), []byte("0"))
	w := certs.NewWatcher(path)
	write(t, dir, "large.crl", make([]byte, 2<<20), []byte("1"))
	ctx, cancel := context.WithCancel(t.Context())
	changed := false
	must(t, w.Run(ctx, func() { changed = true; cancel() }))
	if !changed {
		t.Error("not reported")
	}
}
