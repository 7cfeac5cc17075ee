package certs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of a Watcher: a change is reported when nothing more has happened for quietTime, at the latest after
// gatherTime; and the files are looked at every pollTime, because network file systems notify nobody.
const (
	quietTime  = 100 * time.Millisecond
	gatherTime = time.Second
	pollTime   = time.Minute
)

// Watcher notices when the content of files changes, however that is done: written in place, renamed over, removed and
// made anew, or a symbolic link on the way swapped, as Kubernetes does. Of a folder, the files count that LoadPool
// reads. Changes of a folder's own ancestors are seen at the next look, within a minute.
type Watcher struct {
	paths  []string
	digest [sha256.Size]byte // of the content that was last reported
}

// NewWatcher looks at paths once and returns a watcher for what changes after that. Make it before you load the files:
// then no change falls between loading and watching.
func NewWatcher(paths ...string) *Watcher {
	w := &Watcher{paths: slices.Clone(paths)}
	w.digest = w.look()
	return w
}

// Watch is NewWatcher and Run in one, for callers to whom a change in between does not matter.
func Watch(ctx context.Context, paths []string, changed func()) error {
	return NewWatcher(paths...).Run(ctx, changed)
}

// Run calls changed, never twice at once, after the content of any path changed, until ctx ends; then it waits for a
// call that is under way and returns nil. Where the system gives no notifications (too many users of inotify, say), it
// looks every minute. Run may be called once only. The error is for a watcher without paths.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	if len(w.paths) == 0 {
		return fmt.Errorf("watch: no path is given")
	}
	calls := make(chan struct{}, 1)
	var caller sync.WaitGroup
	caller.Go(func() { callEach(calls, changed) })
	defer caller.Wait()
	defer close(calls)

	var events chan fsnotify.Event // nil, and so never ready, if there are no notifications
	var failures chan error
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		defer notify.Close()
		events, failures = notify.Events, notify.Errors
	} else {
		notify = nil
	}
	w.follow(notify)
	w.report(calls) // what changed since NewWatcher
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-failures: // an overflow: something happened
		case <-events:
			gather(ctx, events)
		}
		w.follow(notify)
		w.report(calls)
	}
}

// callEach calls changed for each value of calls until that is closed.
func callEach(calls <-chan struct{}, changed func()) {
	for range calls {
		changed()
	}
}

// report asks for a call of changed if the content is not what it was.
func (w *Watcher) report(calls chan<- struct{}) {
	digest := w.look()
	if digest == w.digest {
		return
	}
	w.digest = digest
	select {
	case calls <- struct{}{}:
	default: // a call that has not begun yet will see this change too
	}
}

// gather swallows events until there are none for quietTime, or for gatherTime at most.
func gather(ctx context.Context, events <-chan fsnotify.Event) {
	quiet, latest := time.NewTimer(quietTime), time.NewTimer(gatherTime)
	defer quiet.Stop()
	defer latest.Stop()
	for {
		select {
		case <-events:
			quiet.Reset(quietTime)
		case <-quiet.C:
			return
		case <-latest.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// follow makes notify watch the folders in which a change can matter now, and no others.
func (w *Watcher) follow(notify *fsnotify.Watcher) {
	if notify == nil {
		return
	}
	folders := map[string]bool{}
	for _, path := range w.paths {
		foldersOf(path, folders)
		if names, err := authorityFiles(path); err == nil {
			for _, name := range names {
				foldersOf(name, folders)
			}
		}
	}
	for _, old := range notify.WatchList() {
		if !folders[old] {
			_ = notify.Remove(old) // it may be gone already
		}
	}
	for folder := range folders {
		// Adding again is needed: the folder of this name may be another one now. What cannot be watched is polled.
		_ = notify.Add(folder)
	}
}

// maxLinks is how many symbolic links the kernel follows in one path.
const maxLinks = 40

// foldersOf adds to folders those whose entries decide what path leads to: the folder of the last step, the folder of
// every symbolic link on the way, and path itself if it is a folder. If a step is missing, the folder it is missing
// from is the last.
func foldersOf(path string, folders map[string]bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for range maxLinks {
		link, target := firstLink(path)
		if link == "" {
			break
		}
		folders[filepath.Dir(link)] = true
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		path = filepath.Join(target, path[len(link):])
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		folders[path] = true
	}
	folder := filepath.Dir(path)
	for !isFolder(folder) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder)
	}
	folders[folder] = true
}

// firstLink returns the first step of path, from the root on, that is a symbolic link, and where it points.
func firstLink(path string) (link, target string) {
	for i := len(filepath.VolumeName(path)) + 1; i <= len(path); i++ {
		if i < len(path) && !os.IsPathSeparator(path[i]) {
			continue
		}
		if target, err := os.Readlink(path[:i]); err == nil {
			return path[:i], target
		}
	}
	return "", ""
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// look returns a digest of all that the paths hold, of what is missing too.
func (w *Watcher) look() [sha256.Size]byte {
	h := sha256.New()
	for _, path := range w.paths {
		if names, err := authorityFiles(path); err == nil {
			fmt.Fprintf(h, "folder %q %d\n", path, len(names))
			for _, name := range names {
				digestFile(h, name)
			}
			continue
		}
		digestFile(h, path)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// digestFile adds one file to h, or why it cannot be read.
func digestFile(h hash.Hash, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(h, "%q %v\n", path, err)
		return
	}
	if !info.Mode().IsRegular() { // reading a pipe would take from it, or wait
		fmt.Fprintf(h, "%q %v\n", path, info.Mode().Type())
		return
	}
	content := sha256.New()
	f, err := os.Open(path)
	if err == nil {
		_, err = io.Copy(content, f) // of any size: revocation lists are large
		f.Close()
	}
	fmt.Fprintf(h, "%q %v %x\n", path, err, content.Sum(nil))
}
