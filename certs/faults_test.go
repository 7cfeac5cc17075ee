package certs_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"tcps/certs"
	"tcps/certs/storagetest"
)

// Each operation on the storage that a start makes fails in turn, before and after its effect. Start says so or gets by,
// at once; the next start, on the healthy storage, serves a good certificate.
func TestAfterEachFaultOfTheStorageTheNextStartServes(t *testing.T) {
	a := newAuthority(t)
	for _, moment := range []storagetest.Moment{storagetest.Before, storagetest.After} {
		faulted := true
		for n := 0; faulted; n++ {
			t.Run(fmt.Sprintf("%s %d", moment, n), func(t *testing.T) { faulted = startWithFault(t, a, moment, n) })
		}
	}
}

// startWithFault has the nth operation fail, and reports whether there was one.
func startWithFault(t *testing.T, a *certs.Authority, moment storagetest.Moment, n int) bool {
	dir := t.TempDir()
	m := newManager(t, a, dir, 0, "localhost", "127.0.0.1")
	var mu sync.Mutex
	what, count := "", 0
	m.Storage = &storagetest.Faulty{Storage: m.Storage, Fail: func(op storagetest.Op, key string, at storagetest.Moment) bool {
		mu.Lock()
		defer mu.Unlock()
		if at != moment {
			return false
		}
		count++
		if count == n+1 {
			what = fmt.Sprintf("%s %q", op, key)
		}
		return count == n+1
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := m.Start(ctx)
	if ctx.Err() != nil {
		t.Errorf("after a fault of %s Start hung: %v", what, err)
	}
	if err == nil {
		wantServed(t, a, m, what)
	}
	m.Close()
	again := start(t, newManager(t, a, dir, 0, "localhost", "127.0.0.1"))
	wantServed(t, a, again, what)
	checkKeysArePrivate(t, dir)
	return what != ""
}

func wantServed(t *testing.T, a *certs.Authority, m *certs.Manager, after string) {
	t.Helper()
	leaf, err := served(t, m, "localhost")
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: "localhost"})
	}
	if err != nil {
		t.Errorf("after a fault of %s: %v", after, err)
	}
}
