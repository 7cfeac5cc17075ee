package storagetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/certmagic"
)

// locksExclude: one holder at a time, in one storage and in several, and names do not hinder each other.
func locksExclude(t *testing.T, open func() certmagic.Storage) {
	const workers, rounds = 4, 10
	shared := open()
	var holders, counter atomic.Int32 // a lock of the system is none for the race detector
	var working sync.WaitGroup
	for n := range workers {
		s := shared
		if n%2 == 1 {
			s = open()
		}
		working.Go(func() {
			for range rounds {
				if err := s.Lock(context.Background(), "issue_cert_*.example.com"); err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) > 1 {
					t.Error("two hold the lock at once")
				}
				counter.Add(1)
				holders.Add(-1)
				if err := s.Unlock(context.Background(), "issue_cert_*.example.com"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	if n := counter.Load(); n != workers*rounds {
		t.Errorf("%d of %d workers got the lock", n, workers*rounds)
	}
	lock(t, shared, "a/b")
	lock(t, shared, "a_b")
	lock(t, open(), "a b")
	unlock(t, shared, "a/b")
	unlock(t, shared, "a_b")
	if err := shared.Unlock(t.Context(), "a_b"); err == nil {
		t.Error("a lock that nobody holds was given back")
	}
}

// locksWait: who waits ends with its context, leaves nothing behind, and gets the lock when it is given back.
func locksWait(t *testing.T, open func() certmagic.Storage) {
	holder, waiter := open(), open()
	lock(t, holder, "name")
	for _, s := range []certmagic.Storage{holder, waiter} {
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error)
		go func() { waited <- s.Lock(ctx, "name") }()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("Lock while another holds it: %v", err)
		}
	}
	got := make(chan error)
	go func() { got <- waiter.Lock(context.Background(), "name") }()
	unlock(t, holder, "name")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	unlock(t, waiter, "name")
	lock(t, holder, "name")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := holder.Unlock(context.WithoutCancel(ended), "name"); err != nil {
		t.Error(err)
	}
}

// tryLock is for storages that have it.
func tryLock(t *testing.T, open func() certmagic.Storage) {
	holder, ok := open().(certmagic.TryLocker)
	if !ok {
		t.Skip("this storage is no certmagic.TryLocker")
	}
	try := func(l certmagic.TryLocker, want bool) {
		t.Helper()
		if got, err := l.TryLock(t.Context(), "name"); got != want || err != nil {
			t.Fatalf("TryLock = %v, %v; want %v", got, err, want)
		}
	}
	other := open().(certmagic.TryLocker)
	try(holder, true)
	try(holder, false)
	try(other, false)
	if err := holder.Unlock(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	try(other, true)
	if err := other.Unlock(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
}

func lock(t *testing.T, s certmagic.Storage, name string) {
	t.Helper()
	if err := s.Lock(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func unlock(t *testing.T, s certmagic.Storage, name string) {
	t.Helper()
	if err := s.Unlock(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}
