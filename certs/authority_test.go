package certs_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/certs"
)

func TestAuthorityFolderIsPrivateAndReadsBackTheSame(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "state", "authority")
	made, err := certs.CreateAuthority(dir+string(filepath.Separator), certs.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, "root.key"): 0o600, filepath.Join(dir, "root.pem"): 0o644} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, want)
			}
		}
	}
	wantEmpty(t, filepath.Dir(dir), "authority")
	opened, err := certs.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !opened.Root().Equal(made.Root()) {
		t.Error("another root was opened than was made")
	}
	leaf := server(t, opened, "a.test").Certificate.Leaf
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: made.Pool(), DNSName: "a.test"}); err != nil {
		t.Error(err)
	}
}

func TestRootSaysWhatItIs(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	root := a.Root()
	if !root.IsCA || root.MaxPathLen != 2 || !root.PermittedDNSDomainsCritical || !a.Constrained() {
		t.Errorf("CA %v, path length %d, critical %v, constrained %v", root.IsCA, root.MaxPathLen, root.PermittedDNSDomainsCritical, a.Constrained())
	}
	if life := time.Until(root.NotAfter); life < 9*365*24*time.Hour || life > 11*365*24*time.Hour {
		t.Errorf("lasts %v, want 10 years", life)
	}
	if !strings.Contains(root.Subject.CommonName, "box") || root.Subject.CommonName == b.Root().Subject.CommonName {
		t.Errorf("subjects %q and %q do not tell the machine and the root", root.Subject.CommonName, b.Root().Subject.CommonName)
	}
}

func TestCreateAuthorityNeverTouchesOneThatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	first, err := certs.CreateAuthority(dir, certs.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = certs.CreateAuthority(dir, certs.AuthorityOptions{})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if again, err := certs.OpenAuthority(dir); err != nil || !again.Root().Equal(first.Root()) {
		t.Errorf("the authority changed: %v", err)
	}
	wantEmpty(t, filepath.Dir(dir), "authority")
}

func TestCreateAuthorityTakesAnEmptyFolderAndLeavesAFullOne(t *testing.T) {
	parent := t.TempDir()
	empty, full := filepath.Join(parent, "empty"), filepath.Join(parent, "full")
	must(t, os.Mkdir(empty, 0o755))
	must(t, os.Mkdir(full, 0o755))
	write(t, full, "diary.txt", []byte("mine"))
	if _, err := certs.CreateAuthority(empty, certs.AuthorityOptions{}); err != nil {
		t.Error(err)
	}
	_, err := certs.CreateAuthority(full, certs.AuthorityOptions{})
	wantError(t, err, "diary.txt")
	_, err = certs.CreateAuthority(write(t, parent, "file", []byte("x")), certs.AuthorityOptions{})
	wantError(t, err, "not a directory")
	wantEmpty(t, parent, "empty", "file", "full")
}

func TestOpenAuthorityNamesWhatIsWrong(t *testing.T) {
	if _, err := certs.OpenAuthority(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v, want fs.ErrNotExist", err)
	}
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string
	}{
		{"key of another", func(t *testing.T, dir string) {
			write(t, dir, "root.key", server(t, newAuthority(t), "a.test").KeyPEM)
		}, "belongs to another certificate"},
		{"key open to others", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "root.key"), 0o644)) }, "chmod 600"},
		{"no authority", func(t *testing.T, dir string) {
			leaf := server(t, newAuthority(t), "a.test")
			write(t, dir, "root.pem", leaf.CertPEM)
			write(t, dir, "root.key", leaf.KeyPEM)
		}, "not an authority"},
		{"half: no key", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "root.key"))) }, "root.key"},
		{"half: no root", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "root.pem"))) }, "root.pem"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "authority")
			if _, err := certs.CreateAuthority(dir, certs.AuthorityOptions{}); err != nil {
				t.Fatal(err)
			}
			test.damage(t, dir)
			_, _, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{})
			wantError(t, err, test.want, dir)
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("half an authority is taken for none: %v", err)
			}
		})
	}
}

func TestGoroutinesThatStartAtOnceShareOneAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	const n = 16
	var pins [n]string
	var created [n]bool
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			a, c, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			pins[i], created[i] = certs.Pin(a.Root()), c
		})
	}
	group.Wait()
	if len(slices.Compact(pins[:])) != 1 {
		t.Errorf("different authorities: %q", pins)
	}
	count := 0
	for _, c := range created {
		if c {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d created it, want 1", count)
	}
	wantEmpty(t, filepath.Dir(dir), "authority")
}

func TestProcessesThatStartAtOnceShareOneAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const n = 6
	var outputs [n]string
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			command := exec.Command(self)
			command.Env = append(os.Environ(), createIn+"="+dir)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			outputs[i] = strings.TrimSpace(string(out))
		})
	}
	group.Wait()
	created, pins := 0, map[string]bool{}
	for _, out := range outputs {
		who, pin, _ := strings.Cut(out, " ")
		pins[pin] = true
		if who == "true" {
			created++
		}
	}
	if created != 1 || len(pins) != 1 {
		t.Errorf("%d processes made %d authorities: %q", created, len(pins), outputs)
	}
	wantEmpty(t, filepath.Dir(dir), "authority")
}

func TestReplacedAuthorityIsKeptWithItsKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	old, kept, err := certs.ReplaceAuthority(dir, certs.AuthorityOptions{})
	if err != nil || kept != "" {
		t.Fatalf("where none was: kept %q, %v", kept, err)
	}
	seen := map[string]bool{}
	for range 3 { // within one second: the dated names must differ all the same
		fresh, kept, err := certs.ReplaceAuthority(dir, certs.AuthorityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := certs.OpenAuthority(kept); err != nil || !again.Root().Equal(old.Root()) {
			t.Errorf("the old authority is not at %q: %v", kept, err)
		}
		if now, err := certs.OpenAuthority(dir); err != nil || !now.Root().Equal(fresh.Root()) {
			t.Errorf("the new authority is not at %q: %v", dir, err)
		}
		seen[kept], old = true, fresh
	}
	if len(seen) != 3 {
		t.Errorf("kept at %v, want three places", seen)
	}
	_, _, err = certs.ReplaceAuthority(dir, certs.AuthorityOptions{Permit: []string{"not a name"}})
	wantError(t, err, "not a name")
	if now, err := certs.OpenAuthority(dir); err != nil || !now.Root().Equal(old.Root()) {
		t.Errorf("a failed replacement changed the authority: %v", err)
	}
}

// Servers may trust the old root still, by another file.
func TestReplacedAuthorityForgetsNoRevocation(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	leaf := server(t, a, "a.test").Certificate.Leaf
	revoke(t, dir, leaf)
	before, err := certs.ReadRevoked(dir)
	must(t, err)
	if _, _, err = certs.ReplaceAuthority(dir, certs.AuthorityOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := certs.ReadRevoked(dir)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) || len(after) != 1 {
		t.Errorf("revoked before %v, after %v, %v", before, after, err)
	}
}

func TestOwnRootIsTrustedOnlyIfItIsConstrainedAndTheUsersOwn(t *testing.T) {
	create := func(t *testing.T, o certs.AuthorityOptions) string {
		dir := filepath.Join(t.TempDir(), "authority")
		if _, err := certs.CreateAuthority(dir, o); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := create(t, certs.AuthorityOptions{})
	must(t, os.Remove(filepath.Join(dir, "root.key"))) // the key is not read
	roots, err := certs.OwnRoot(dir)
	if err != nil || len(roots) != 1 || !roots[0].IsCA {
		t.Fatal(err)
	}
	if _, err := certs.OwnRoot(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v, want fs.ErrNotExist", err)
	}
	_, err = certs.OwnRoot(create(t, certs.AuthorityOptions{Unconstrained: true}))
	wantError(t, err, "may sign for all DNS names")
	_, err = certs.OwnRoot(create(t, certs.AuthorityOptions{Permit: []string{"0.0.0.0/0"}}))
	wantError(t, err, "may sign for all addresses")
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range []string{"", "root.pem"} {
		dir := create(t, certs.AuthorityOptions{})
		must(t, os.Chmod(filepath.Join(dir, path), 0o777))
		_, err = certs.OwnRoot(dir)
		wantError(t, err, "others can write to it")
	}
	if os.Geteuid() == 0 { // only root can give files away
		dir := create(t, certs.AuthorityOptions{})
		must(t, os.Chown(filepath.Join(dir, "root.pem"), 65534, 65534))
		_, err = certs.OwnRoot(dir)
		wantError(t, err, "belongs to user 65534")
	}
}

func TestPermitsOnlyLocalNamesUnlessTold(t *testing.T) {
	a := newAuthority(t, "example.com", "203.0.113.7", "2001:db8::/32")
	for _, name := range []string{
		"localhost", "a.localhost", "db.test", "a.b.internal", "printer.local", "nas.home.arpa", "box", "BOX.", "*.db.test",
		"example.com", "www.example.com", "*.example.com",
		"127.0.0.1", "127.9.9.9", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.0.1", "::1", "[::1]", "fd00::1", "fe80::1",
		"::ffff:10.0.0.1", "203.0.113.7", "2001:db8:1::1",
		"email:me@localhost", "email:me@mail.db.test", "email:me@box", "email:me@example.com",
		"uri:spiffe://cluster.local/ns/x", "uri:https://localhost:8443/x", "uri:spiffe://example.com/x",
	} {
		if err := a.Permits(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, hint := range map[string]string{
		"example.org":                "tcps certs init --force --permit example.com --permit 203.0.113.7 --permit 2001:db8::/32 --permit example.org",
		"*.example.org":              " --permit example.org",
		"notexample.com":             " --permit notexample.com",
		"localhost.example.org":      " --permit localhost.example.org",
		"test.com":                   " --permit test.com",
		"sub.box":                    " --permit sub.box", // "box" might be a public top-level domain
		"*.box":                      " --permit box",
		"8.8.8.8":                    " --permit 8.8.8.8",
		"203.0.113.8":                " --permit 203.0.113.8",
		"2001:db9::1":                " --permit 2001:db9::1",
		"email:me@example.org":       " --permit example.org",
		"email:me@sub.box":           " --permit sub.box",
		"uri:spiffe://example.org/x": " --permit example.org",
		"uri:urn:uuid:1":             "tcps certs init --force --unconstrained",
		"uri:https://127.0.0.1/x":    "tcps certs init --force --unconstrained",
	} {
		refused, ok := errors.AsType[*certs.NotPermittedError](a.Permits(name))
		if !ok {
			t.Errorf("%s: %v, want a NotPermittedError", name, a.Permits(name))
			continue
		}
		wantError(t, refused, refused.Name, "outside the names")
		if !strings.HasSuffix(refused.Hint(), hint) {
			t.Errorf("%s: hint %q, want %q", name, refused.Hint(), hint)
		}
	}
	unconstrained, err := certs.NewAuthority(certs.AuthorityOptions{Unconstrained: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"example.org", "8.8.8.8", "email:a@example.org", "uri:urn:uuid:1"} {
		if err := unconstrained.Permits(name); err != nil {
			t.Errorf("unconstrained: %v", err)
		}
	}
}

func TestTheCommandOfTheHintPermitsTheName(t *testing.T) {
	for _, name := range []string{"example.org", "*.example.org", "sub.box", "*.box", "8.8.8.8", "2001:db8::1", "email:a@example.org", "uri:spiffe://example.org/x"} {
		refused, ok := errors.AsType[*certs.NotPermittedError](newAuthority(t, "other.org").Permits(name))
		if !ok {
			t.Fatalf("%s is permitted already", name)
		}
		permit := strings.Split(refused.Hint(), " --permit ")[1:]
		again := newAuthority(t, permit...)
		if err := errors.Join(again.Permits(name), again.Permits("other.org")); err != nil {
			t.Errorf("after %s: %v", refused.Hint(), err)
		}
	}
}

func TestWrongOptionsOfAnAuthorityAreNamed(t *testing.T) {
	for _, test := range []struct {
		options certs.AuthorityOptions
		want    string
	}{
		{certs.AuthorityOptions{Permit: []string{"*.example.com"}}, "permit example.com"},
		{certs.AuthorityOptions{Permit: []string{"10.1.2.3/8"}}, "10.0.0.0/8"},
		{certs.AuthorityOptions{Permit: []string{"email:a@example.com"}}, "permit its host"},
		{certs.AuthorityOptions{Permit: []string{""}}, "empty"},
		{certs.AuthorityOptions{Permit: []string{"a.test"}, Unconstrained: true}, "leave out either"},
		{certs.AuthorityOptions{KeyType: "dsa"}, "ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-4096"},
	} {
		_, err := certs.NewAuthority(test.options)
		wantError(t, err, test.want)
	}
}

func TestServerNamesLeavesOutWhatACertificateCannotCarry(t *testing.T) {
	names, leftOut := newAuthority(t).ServerNames("localhost", "LOCALHOST.", "127.0.0.1", "::ffff:127.0.0.1", "Ann's machine", "8.8.8.8", "8.8.8.8", "0.0.0.0", "email:a@localhost", "box")
	if want := []string{"localhost", "127.0.0.1", "box"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if want := []string{"Ann's machine", "8.8.8.8", "0.0.0.0", "email:a@localhost"}; !slices.Equal(leftOut, want) {
		t.Errorf("left out %q, want %q", leftOut, want)
	}
}
