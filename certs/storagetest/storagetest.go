// Package storagetest is what every storage of certificates has to pass (Run), a storage in memory (Memory), and one
// that fails when a test says so (Faulty).
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

// Run checks the whole contract of a certmagic.Storage. fresh makes an empty storage and returns what opens it: each
// call of open is another process' view of the same values and locks.
func Run(t *testing.T, fresh func(t *testing.T) (open func() certmagic.Storage)) {
	for _, promise := range []struct {
		name string
		test func(t *testing.T, open func() certmagic.Storage)
	}{
		{"missing", missing},
		{"values", values},
		{"keys", keys},
		{"list", list},
		{"stat", stat},
		{"delete", remove},
		{"whole values", wholeValues},
		{"store and delete at once", storeAndDelete},
		{"ended context", endedContext},
		{"locks exclude", locksExclude},
		{"locks wait", locksWait},
		{"try lock", tryLock},
		{"faults", faults},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, fresh(t)) })
	}
}

// missing: what is not there is fs.ErrNotExist, and deleting it is no error.
func missing(t *testing.T, open func() certmagic.Storage) {
	s := open()
	store(t, s, "a/b", "value")
	for _, key := range []string{"x", "a/x", "a/b/x", "ab", "a/b.tmp"} {
		if value, err := s.Load(t.Context(), key); !errors.Is(err, fs.ErrNotExist) || len(value) > 0 {
			t.Errorf("Load(%q) = %q, %v", key, value, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%q): %v", key, err)
		}
		if s.Exists(t.Context(), key) {
			t.Errorf("Exists(%q)", key)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	if found, err := s.List(t.Context(), "x", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of nothing: %q, %v", found, err)
	}
	wantValue(t, s, "a/b", "value")
}

// values: any bytes, of any length, replaced, seen by others.
func values(t *testing.T, open func() certmagic.Storage) {
	s, other := open(), open()
	for _, value := range []string{"one", "", "\x00\xff\r\n", strings.Repeat("large ", 1<<20), "short"} {
		store(t, s, "folder/key", value)
		wantValue(t, s, "folder/key", value)
		wantValue(t, other, "folder/key", value)
	}
	if _, err := s.Load(t.Context(), "folder"); err == nil {
		t.Error("a prefix has a value")
	}
	mine := []byte("mine")
	if err := s.Store(t.Context(), "folder/key", mine); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'M' // what was stored is not the caller's slice
	wantValue(t, s, "folder/key", "mine")
}

// keys: every name that certmagic makes is one, they differ, and none leads out.
func keys(t *testing.T, open func() certmagic.Storage) {
	s := open()
	good := []string{
		"a", "a.b", "a-b", "a_b", "a@b", "b..c", "deep/er/and/deep/er", "certificates/acme.example-directory/wildcard_.example.com/wildcard_.example.com.key",
		"users/.hidden", "users/me@example.com/me.json", "long/" + strings.Repeat("x", 200), "x.temp", "x.lock", "locks", "temp",
	}
	for _, key := range good {
		store(t, s, key, "value of "+key)
	}
	for _, key := range good {
		wantValue(t, s, key, "value of "+key)
	}
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../../b", "a/../b", "./a", "a/."} {
		if err := s.Store(t.Context(), key, []byte("escaped")); err == nil {
			t.Errorf("Store(%q) succeeded", key)
		}
		if value, err := s.Load(t.Context(), key); err == nil {
			t.Errorf("Load(%q) = %q", key, value)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) succeeded", key)
		}
	}
	for _, key := range good {
		wantValue(t, s, key, "value of "+key)
	}
}

// list: keys below a prefix, one level or all of them. Prefixes may be among all of them.
func list(t *testing.T, open func() certmagic.Storage) {
	s := open()
	for _, key := range []string{"a/one", "a/b/two", "a/b/c/three", "ab/four", "five"} {
		store(t, s, key, "value")
	}
	for _, want := range []struct {
		prefix       string
		level, below []string
	}{
		{"a", []string{"a/b", "a/one"}, []string{"a/b/c/three", "a/b/two", "a/one"}},
		{"a/b", []string{"a/b/c", "a/b/two"}, []string{"a/b/c/three", "a/b/two"}},
		{"", []string{"a", "ab", "five"}, []string{"a/b/c/three", "a/b/two", "a/one", "ab/four", "five"}},
	} {
		level, err := s.List(t.Context(), want.prefix, false)
		if slices.Sort(level); err != nil || !slices.Equal(level, want.level) {
			t.Errorf("List(%q) = %q, %v; want %q", want.prefix, level, err, want.level)
		}
		if below := terminals(t, s, want.prefix); !slices.Equal(below, want.below) {
			t.Errorf("List(%q, recursive) = %q; want %q", want.prefix, below, want.below)
		}
	}
}

// terminals lists the keys with values below a prefix, in order.
func terminals(t *testing.T, s certmagic.Storage, prefix string) []string {
	t.Helper()
	all, err := s.List(t.Context(), prefix, true)
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(key string) bool {
		info, err := s.Stat(t.Context(), key)
		return err != nil || !info.IsTerminal
	})
	slices.Sort(all)
	return all
}

func stat(t *testing.T, open func() certmagic.Storage) {
	s := open()
	store(t, s, "a/b", "four")
	info, err := s.Stat(t.Context(), "a/b")
	if err != nil || info.Key != "a/b" || !info.IsTerminal || info.Size != 0 && info.Size != 4 {
		t.Errorf("Stat of a key = %+v, %v", info, err)
	}
	info, err = s.Stat(t.Context(), "a")
	if err != nil || info.Key != "a" || info.IsTerminal {
		t.Errorf("Stat of a prefix = %+v, %v", info, err)
	}
	for _, key := range []string{"a", "a/b"} {
		if !s.Exists(t.Context(), key) {
			t.Errorf("Exists(%q) is false", key)
		}
	}
}

// remove: a key, or all that it is a prefix of, and nothing else.
func remove(t *testing.T, open func() certmagic.Storage) {
	s, other := open(), open()
	for _, key := range []string{"a/one", "a/b/two", "a/b/c/three", "ab/four", "b"} {
		store(t, s, key, "value")
	}
	for _, step := range []struct {
		key  string
		left []string
	}{
		{"a/one", []string{"a/b/c/three", "a/b/two", "ab/four", "b"}},
		{"a/b/c", []string{"a/b/two", "ab/four", "b"}},
		{"a", []string{"ab/four", "b"}},
		{"a", []string{"ab/four", "b"}},
		{"b", []string{"ab/four"}},
	} {
		if err := s.Delete(t.Context(), step.key); err != nil {
			t.Errorf("Delete(%q): %v", step.key, err)
		}
		if left := terminals(t, other, ""); !slices.Equal(left, step.left) {
			t.Errorf("after Delete(%q) there is %q, want %q", step.key, left, step.left)
		}
	}
	store(t, s, "a", "a value where a prefix was")
	wantValue(t, other, "a", "a value where a prefix was")
}

// wholeValues: readers never see parts of two values, nor nothing while one replaces another.
func wholeValues(t *testing.T, open func() certmagic.Storage) {
	const writers, rounds, size = 4, 25, 100_000
	store(t, open(), "key", strings.Repeat("0", size))
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		s := open()
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				value, err := s.Load(context.Background(), "key")
				if err != nil || len(value) != size || len(bytes.Trim(value, string(value[:1]))) > 0 {
					t.Errorf("read %d bytes of more than one value, or an error: %v", len(value), err)
					return
				}
			}
		})
	}
	for n := range writers {
		s := open()
		writing.Go(func() {
			for range rounds {
				if err := s.Store(context.Background(), "key", bytes.Repeat([]byte{byte('1' + n)}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

// storeAndDelete: a value that is stored while its prefix is deleted is there or not, and storing is no error.
func storeAndDelete(t *testing.T, open func() certmagic.Storage) {
	s, other := open(), open()
	var both sync.WaitGroup
	both.Go(func() {
		for range 50 {
			if err := other.Delete(context.Background(), "a"); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 50 {
		store(t, s, fmt.Sprintf("a/b/%d", n%3), "value")
		if _, err := s.List(t.Context(), "", true); err != nil {
			t.Error(err)
		}
	}
	both.Wait()
	store(t, s, "a/b/0", "value")
	wantValue(t, other, "a/b/0", "value")
}

func endedContext(t *testing.T, open func() certmagic.Storage) {
	s := open()
	store(t, s, "key", "old")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, load := s.Load(ctx, "key")
	_, look := s.Stat(ctx, "key")
	_, listed := s.List(ctx, "", true)
	for name, err := range map[string]error{
		"Store": s.Store(ctx, "key", []byte("new")), "Load": load, "Stat": look, "List": listed,
		"Delete": s.Delete(ctx, "key"), "Lock": s.Lock(ctx, "name"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	wantValue(t, s, "key", "old")
	lock(t, s, "name") // the lock that was not taken is free
	unlock(t, s, "name")
}

func store(t *testing.T, s certmagic.Storage, key, value string) {
	t.Helper()
	if err := s.Store(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s certmagic.Storage, key, want string) {
	t.Helper()
	got, err := s.Load(t.Context(), key)
	if err != nil || string(got) != want {
		t.Errorf("Load(%q) = %.40q, %v; want %.40q", key, got, err, want)
	}
}
