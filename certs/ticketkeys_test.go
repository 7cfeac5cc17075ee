package certs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tcps/certs"
	"tcps/certs/storagetest"
	"tcps/tlsserver"
)

var _ tlsserver.TicketKeyStore = (*certs.TicketKeys)(nil)

// readTickets returns what is stored; it changes nothing.
func readTickets(t *testing.T, k *certs.TicketKeys) string {
	t.Helper()
	var got []byte
	if err := k.UpdateTicketKeys(t.Context(), func(stored []byte) []byte { got = stored; return nil }); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func writeTickets(t *testing.T, k *certs.TicketKeys, text string) {
	t.Helper()
	if err := k.UpdateTicketKeys(t.Context(), func([]byte) []byte { return []byte(text) }); err != nil {
		t.Fatal(err)
	}
}

// What is stored can be read with the key file only; the file is private; and the holders of another key have values of
// their own.
func TestTicketKeysAreEncrypted(t *testing.T) {
	var s storagetest.Memory
	dir := t.TempDir()
	file := filepath.Join(dir, "state", "tickets.key")
	const secret = "the keys of all sessions"
	writeTickets(t, certs.NewTicketKeys(&s, file, nil), secret)
	if got := readTickets(t, certs.NewTicketKeys(&s, file, nil)); got != secret {
		t.Errorf("read %q", got)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := hex.DecodeString(strings.TrimSpace(string(key)))
	if err != nil || len(bare) != 32 {
		t.Errorf("the key file holds %q, %v", key, err)
	}
	stored, err := s.List(t.Context(), "tickets", true)
	if err != nil || len(stored) != 1 {
		t.Fatalf("%q, %v", stored, err)
	}
	value, err := s.Load(t.Context(), stored[0])
	if err != nil || bytes.Contains(value, []byte(secret[:8])) || bytes.Contains(value, bare) {
		t.Errorf("the stored value is open: %q, %v", value, err)
	}
	other := certs.NewTicketKeys(&s, filepath.Join(dir, "other.key"), func(w string) { t.Error(w) })
	if got := readTickets(t, other); got != "" {
		t.Errorf("with another key: %q", got)
	}
	writeTickets(t, other, "other")
	if got := readTickets(t, certs.NewTicketKeys(&s, file, nil)); got != secret {
		t.Errorf("after another's writing: %q", got)
	}
}

// Those who begin at once agree on the key file, and change the value one after another.
func TestTicketKeysAtOnce(t *testing.T) {
	var s storagetest.Memory
	file := filepath.Join(t.TempDir(), "tickets.key")
	var all sync.WaitGroup
	for range 8 {
		k := certs.NewTicketKeys(&s, file, func(w string) { t.Error(w) })
		all.Go(func() {
			err := k.UpdateTicketKeys(t.Context(), func(stored []byte) []byte { return append(stored, 'x') })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := readTickets(t, certs.NewTicketKeys(&s, file, nil)); got != "xxxxxxxx" {
		t.Errorf("after 8 changes: %q", got)
	}
}

// What is damaged is moved aside with a warning, and new keys begin.
func TestTicketKeysDamaged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *storagetest.Memory, file string){
		"value": func(t *testing.T, s *storagetest.Memory, _ string) {
			stored, err := s.List(t.Context(), "tickets", true)
			if err == nil {
				err = s.Store(t.Context(), stored[0], []byte("garbage"))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"empty file": func(t *testing.T, _ *storagetest.Memory, file string) { write(t, filepath.Dir(file), "tickets.key") },
		"garbage file": func(t *testing.T, _ *storagetest.Memory, file string) {
			write(t, filepath.Dir(file), "tickets.key", []byte("g"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s storagetest.Memory
			var warnings []string
			file := filepath.Join(t.TempDir(), "tickets.key")
			k := certs.NewTicketKeys(&s, file, func(w string) { warnings = append(warnings, w) })
			writeTickets(t, k, "old")
			damage(t, &s, file)
			if got := readTickets(t, k); got != "" {
				t.Errorf("read %q", got)
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], ".damaged") {
				t.Errorf("warnings %q", warnings)
			}
			writeTickets(t, k, "new")
			if got := readTickets(t, k); got != "new" || len(warnings) != 1 {
				t.Errorf("then %q, warnings %q", got, warnings)
			}
		})
	}
}

// A file that others can read is refused, and a fault leaves the old value or the new one.
func TestTicketKeysFail(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "tickets.key", []byte(strings.Repeat("ab", 32)))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	var s storagetest.Memory
	unused := func([]byte) []byte { t.Error("change was called"); return nil }
	err := certs.NewTicketKeys(&s, file, nil).UpdateTicketKeys(t.Context(), unused)
	wantError(t, err, "keep ticket keys: ", "tickets.key", "open to others", "chmod 600")

	file = filepath.Join(dir, "good.key")
	writeTickets(t, certs.NewTicketKeys(&s, file, nil), "old")
	for _, op := range []storagetest.Op{storagetest.Lock, storagetest.Load, storagetest.Store} {
		for _, moment := range []storagetest.Moment{storagetest.Before, storagetest.After} {
			faulty := &storagetest.Faulty{Storage: &s, Fail: func(o storagetest.Op, _ string, m storagetest.Moment) bool { return o == op && m == moment }}
			k := certs.NewTicketKeys(faulty, file, func(w string) { t.Error(w) })
			err := k.UpdateTicketKeys(t.Context(), func([]byte) []byte { return []byte("new") })
			if !errors.Is(err, storagetest.ErrFault) {
				t.Errorf("%s %s: %v", op, moment, err)
			}
			want := "old"
			if op == storagetest.Store && moment == storagetest.After {
				want = "new"
			}
			if got := readTickets(t, certs.NewTicketKeys(&s, file, nil)); got != want {
				t.Errorf("%s %s: %q is stored, want %q", op, moment, got, want)
			}
		}
	}
}
