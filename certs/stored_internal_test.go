package certs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"

	"tcps/certs/storagetest"
)

const storedIssuer, storedName = "tcps-test", "localhost"

// storedKeys are the three keys of the test's certificate, by what they hold.
var storedKeys = map[string]string{
	"certificate": certmagic.StorageKeys.SiteCert(storedIssuer, storedName),
	"private key": certmagic.StorageKeys.SitePrivateKey(storedIssuer, storedName),
	"metadata":    certmagic.StorageKeys.SiteMeta(storedIssuer, storedName),
}

// storedValues makes a certificate with a chain of two, as certmagic stores it.
func storedValues(t *testing.T) map[string][]byte {
	t.Helper()
	a, err := NewAuthority(AuthorityOptions{HostName: "box"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(Request{Names: []string{storedName}})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := json.MarshalIndent(certmagic.CertificateResource{SANs: []string{storedName}}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	chain := append(append([]byte{}, issued.CertPEM...), encodeCertificates(a.Root())...)
	return map[string][]byte{"certificate": chain, "private key": issued.KeyPEM, "metadata": meta}
}

func storeAll(t *testing.T, s certmagic.Storage, values map[string][]byte) {
	t.Helper()
	for what, value := range values {
		if err := s.Store(t.Context(), storedKeys[what], value); err != nil {
			t.Fatal(err)
		}
	}
}

// What is well stays, and so does what is not there.
func TestStoredIsWell(t *testing.T) {
	var s storagetest.Memory
	for _, values := range []map[string][]byte{nil, storedValues(t)} {
		storeAll(t, &s, values)
		done, err := checkStored(t.Context(), &s, storedIssuer, storedName)
		if done != "" || err != nil {
			t.Errorf("%q, %v", done, err)
		}
	}
	wantStored(t, &s, "", 3)
	wantStored(t, &s, damagedSuffix, 0)
}

// A certificate for another name would never be found in memory, and be loaded again and again.
func TestStoredIsForAnotherName(t *testing.T) {
	a, err := NewAuthority(AuthorityOptions{HostName: "box"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(Request{Names: []string{"box", storedName}})
	if err != nil {
		t.Fatal(err)
	}
	var s storagetest.Memory
	values := storedValues(t)
	values["certificate"], values["private key"] = issued.CertPEM, issued.KeyPEM
	storeAll(t, &s, values)
	done, err := checkStored(t.Context(), &s, storedIssuer, storedName)
	if !strings.Contains(done, `(the certificate is for "box")`) || err != nil {
		t.Errorf("%q, %v", done, err)
	}
	wantStored(t, &s, damagedSuffix, 3)
}

// Each of the three, damaged in each way, moves all of them aside; a second damage has keys of its own.
func TestStoredIsDamaged(t *testing.T) {
	other := storedValues(t)
	for what := range storedKeys {
		for how, damage := range map[string]func(value []byte) []byte{
			"removed":   func([]byte) []byte { return nil },
			"empty":     func([]byte) []byte { return []byte{} },
			"garbage":   func([]byte) []byte { return []byte("\x00garbage\xff") },
			"cut off":   func(value []byte) []byte { return value[:len(value)-len(value)/4] },
			"exchanged": func([]byte) []byte { return other[what] },
		} {
			if what == "metadata" && how == "exchanged" {
				continue // that of another certificate for the name is as good
			}
			t.Run(what+" "+how, func(t *testing.T) {
				var s storagetest.Memory
				for round := range 2 {
					values := storedValues(t)
					storeAll(t, &s, values)
					there := 3
					if bad := damage(values[what]); bad != nil {
						storeAll(t, &s, map[string][]byte{what: bad})
					} else {
						there = 2
						s.Delete(t.Context(), storedKeys[what])
					}
					done, err := checkStored(t.Context(), &s, storedIssuer, storedName)
					if err != nil || !strings.Contains(done, `stored certificate of "localhost" is damaged (`) {
						t.Fatalf("%q, %v", done, err)
					}
					wantStored(t, &s, "", 0)
					wantStored(t, &s, damagedSuffix, there)
					if all, err := s.List(t.Context(), "certificates", true); err != nil || len(all) != there*(round+1) {
						t.Errorf("in round %d there is %q, %v", round, all, err)
					}
				}
			})
		}
	}
}

// A fault of the storage loses nothing: all of the three are there under one name or the other, and the next check
// goes on where it was.
func TestStoredWithFaults(t *testing.T) {
	for _, op := range []storagetest.Op{storagetest.Store, storagetest.Load, storagetest.Delete, storagetest.Lock, storagetest.Unlock} {
		for _, moment := range []storagetest.Moment{storagetest.Before, storagetest.After} {
			for nth := range 3 {
				if nth > 0 && (op == storagetest.Lock || op == storagetest.Unlock) {
					continue
				}
				var memory storagetest.Memory
				values := storedValues(t)
				values["certificate"] = []byte("garbage")
				storeAll(t, &memory, values)
				count := 0
				faulty := &storagetest.Faulty{Storage: &memory, Fail: func(o storagetest.Op, _ string, m storagetest.Moment) bool {
					if o != op || m != moment {
						return false
					}
					count++
					return count == nth+1
				}}
				if _, err := checkStored(t.Context(), faulty, storedIssuer, storedName); !errors.Is(err, storagetest.ErrFault) {
					t.Fatalf("%s %s, %d: no fault but %v", op, moment, nth, err)
				}
				if op == storagetest.Unlock && moment == storagetest.Before {
					memory.Unlock(t.Context(), "issue_cert_"+storedName) // as the end of the process would
				}
				for what, key := range storedKeys {
					if !memory.Exists(t.Context(), key) && !memory.Exists(t.Context(), key+damagedSuffix) {
						t.Errorf("%s %s, %d: the %s is lost", op, moment, nth, what)
					}
				}
				if _, err := checkStored(t.Context(), faulty, storedIssuer, storedName); err != nil {
					t.Errorf("%s %s, %d: again: %v", op, moment, nth, err)
				}
				wantStored(t, &memory, "", 0)
			}
		}
	}
}

// It waits for whoever writes the three just now.
func TestStoredUnderLock(t *testing.T) {
	var s storagetest.Memory
	if err := s.Lock(t.Context(), "issue_cert_"+storedName); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := checkStored(ctx, &s, storedIssuer, storedName); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want an ended wait for the lock", err)
	}
}

// wantStored checks how many of the three are there.
func wantStored(t *testing.T, s certmagic.Storage, suffix string, want int) {
	t.Helper()
	there := 0
	for _, key := range storedKeys {
		if s.Exists(t.Context(), key+suffix) {
			there++
		}
	}
	if there != want {
		t.Errorf("%d of the three are there with suffix %q, want %d", there, suffix, want)
	}
}
