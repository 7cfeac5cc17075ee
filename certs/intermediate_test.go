package certs_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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

// chainOf is the authority's part of what a certificate is sent with.
func chainOf(t testing.TB, issued *certs.Issued) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range issued.Certificate.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

// verifies tells whether a client that trusts root alone accepts what was issued.
func verifies(t testing.TB, issued *certs.Issued, root *x509.Certificate) error {
	t.Helper()
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range chainOf(t, issued) {
		intermediates.AddCert(c)
	}
	_, err := issued.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	return err
}

// age makes the intermediate of a folder one that has left less than a third of its life.
func age(t testing.TB, dir string, left time.Duration) *x509.Certificate {
	t.Helper()
	roots, err := certs.ReadCertificates(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	old := sign(t, roots[0], readPair(t, dir, "root"), func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "old", true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		c.MaxPathLenZero = true
		c.SubjectKeyId = []byte{1, 2, 3}
		c.NotBefore, c.NotAfter = time.Now().Add(-3*left-time.Hour), time.Now().Add(left)
	})
	write(t, dir, "intermediate.key", old.keyPEM)
	write(t, dir, "intermediate.pem", old.certPEM)
	return old.cert
}

func TestIntermediateRenewsItselfOnceForAllProcesses(t *testing.T) {
	_, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: true})
	old := age(t, dir, time.Hour)
	var all sync.WaitGroup
	var mu sync.Mutex
	pins := make(map[string]bool)
	for range 4 {
		all.Go(func() {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), issueIn+"="+dir)
			out, err := c.Output()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			pins[string(out)] = true
		})
	}
	all.Wait()
	if len(pins) != 1 || pins[certs.Pin(old)+"\n"] {
		t.Errorf("intermediates %v, want one that is new", pins)
	}
	dated, err := filepath.Glob(filepath.Join(dir, "intermediate.2*"))
	if err != nil || len(dated) != 2 {
		t.Fatalf("under dated names: %q, %v; want the old certificate and its key", dated, err)
	}
	for _, path := range dated {
		if info, err := os.Stat(path); err != nil || strings.HasSuffix(path, ".key") && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := a.RevocationLists(0)
	if err != nil || len(lists) != 3 || !lists[1].Issuer.Equal(old) {
		t.Errorf("%d lists, %v; want those of the new intermediate, the old one and the root", len(lists), err)
	}
	if len(a.Warnings()) != 0 {
		t.Errorf("warns %q", a.Warnings())
	}
	for _, path := range dated {
		if strings.HasSuffix(path, ".key") {
			must(t, os.Remove(path))
		}
	}
	if lists, err = a.RevocationLists(0); err != nil || len(lists) != 2 {
		t.Errorf("%d lists, %v; want those of the intermediate and the root, whose keys are here", len(lists), err)
	}
}

func TestIntermediateThatCannotRenewSaysWhatToDo(t *testing.T) {
	_, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: true})
	old := age(t, dir, time.Hour)
	rootKey, elsewhere := filepath.Join(dir, "root.key"), filepath.Join(t.TempDir(), "root.key")
	must(t, os.Rename(rootKey, elsewhere))
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if w := a.Warnings(); len(w) != 1 || !strings.Contains(w[0], "put the root's key back") {
		t.Errorf("warns %q", w)
	}
	issued := issue(t, a, certs.Request{Names: []string{"a.test"}, For: 5 * time.Hour})
	if leaf := issued.Certificate.Leaf; leaf.NotAfter.After(old.NotAfter) || !chainOf(t, issued)[0].Equal(old) {
		t.Errorf("ends %v, after its issuer", leaf.NotAfter)
	}
	must(t, os.Rename(elsewhere, rootKey))
	age(t, dir, -time.Minute)
	must(t, os.Remove(rootKey))
	if a, err = certs.OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	_, err = a.Issue(certs.Request{Names: []string{"a.test"}})
	wantError(t, err, "the intermediate expired", "root.key", "put the root's key back")
}

func TestOpenAuthorityNamesTheFileOfTheIntermediateThatIsWrong(t *testing.T) {
	other, _ := createAuthority(t, certs.AuthorityOptions{})
	leaf := server(t, other, "a.test")
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"no key", func(dir string) error { return os.Remove(filepath.Join(dir, "intermediate.key")) }, "intermediate.key"},
		{"no certificate", func(dir string) error { return os.Remove(filepath.Join(dir, "intermediate.pem")) }, "intermediate.pem"},
		{"no root", func(dir string) error { return os.Remove(filepath.Join(dir, "root.pem")) }, "root.pem"},
		{"cut off", func(dir string) error { return os.Truncate(filepath.Join(dir, "intermediate.pem"), 100) }, "intermediate.pem"},
		{"empty key", func(dir string) error { return os.Truncate(filepath.Join(dir, "intermediate.key"), 0) }, "intermediate.key"},
		{"key open to others", func(dir string) error { return os.Chmod(filepath.Join(dir, "intermediate.key"), 0o640) }, "chmod 600"},
		{"root key open to others", func(dir string) error { return os.Chmod(filepath.Join(dir, "root.key"), 0o644) }, "chmod 600"},
		{"leaf", func(dir string) error {
			write(t, dir, "intermediate.key", leaf.KeyPEM)
			write(t, dir, "intermediate.pem", leaf.CertPEM)
			return nil
		}, "not an authority"},
		{"another root", func(dir string) error {
			write(t, dir, "root.pem", other.RootPEM())
			return nil
		}, "did not sign it"},
		{"damaged cross certificate", func(dir string) error {
			write(t, dir, "cross.pem", []byte("hello"))
			return nil
		}, "cross.pem"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(test.name, "open to") {
				t.Skip("no modes")
			}
			_, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: true})
			must(t, test.damage(dir))
			_, err := certs.OpenAuthority(dir)
			wantError(t, err, test.want)
			if errors.Is(err, os.ErrNotExist) {
				t.Error("half an authority is taken for none")
			}
		})
	}
}

func TestIntermediateInMemory(t *testing.T) {
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box", Intermediate: true})
	if err != nil {
		t.Fatal(err)
	}
	issued := server(t, a, "a.test")
	if err := verifies(t, issued, a.Root()); err != nil || len(chainOf(t, issued)) != 1 {
		t.Errorf("chain of %d, %v", len(chainOf(t, issued)), err)
	}
	if lists, err := a.RevocationLists(0); err != nil || len(lists) != 2 {
		t.Errorf("%d lists, %v; want 2", len(lists), err)
	}
}

// Java looks at the constraints of what is below a root, and not at the root's.
func TestIntermediateRepeatsTheConstraintsOfItsRoot(t *testing.T) {
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box", Intermediate: true, Permit: []string{"example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	intermediate := chainOf(t, issue(t, a, certs.Request{Names: []string{"db.test"}}))[0]
	if err := certs.CheckConstrained(intermediate); err != nil {
		t.Error(err)
	}
	if !slices.Equal(intermediate.PermittedDNSDomains, a.Root().PermittedDNSDomains) || !slices.Equal(intermediate.ExcludedDNSDomains, a.Root().ExcludedDNSDomains) {
		t.Errorf("it is permitted %v, its root %v", intermediate.PermittedDNSDomains, a.Root().PermittedDNSDomains)
	}
}

func TestEncryptedAuthorityAsks(t *testing.T) {
	_, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: true, Encrypt: []byte("horse")})
	_, err := certs.OpenAuthority(dir)
	if !errors.Is(err, certs.ErrPassphraseNeeded) {
		t.Errorf("nobody to ask: %v", err)
	}
	for word, want := range map[string]error{"donkey": certs.ErrWrongPassphrase, "horse": nil} {
		o := certs.AuthorityOptions{Passphrase: func(string) ([]byte, error) { return []byte(word), nil }}
		a, created, err := certs.OpenOrCreateAuthority(dir, o)
		if !errors.Is(err, want) || created {
			t.Errorf("%s: %v, created %v", word, err, created)
		}
		if err == nil {
			server(t, a, "a.test")
		}
	}
	keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	for _, path := range keys {
		if data, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(data), "-----BEGIN ENCRYPTED PRIVATE KEY") {
			t.Errorf("%s is not encrypted: %v", path, err)
		}
	}
}

func TestRolloverTrustsBothAndLetsTheOldOneGo(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprintf("intermediate %v", split), func(t *testing.T) {
			old, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: split})
			before := server(t, old, "before.test")
			a, err := certs.RolloverAuthority(dir, certs.AuthorityOptions{Permit: []string{"example.org"}})
			if err != nil {
				t.Fatal(err)
			}
			after := server(t, a, "after.test")
			for _, root := range []*x509.Certificate{old.Root(), a.Root()} {
				if err := verifies(t, after, root); err != nil {
					t.Errorf("by %s alone: %v", root.Subject.CommonName, err)
				}
			}
			if err := verifies(t, before, old.Root()); err != nil {
				t.Error(err)
			}
			if err := verifies(t, server(t, a, "example.org"), a.Root()); err != nil {
				t.Error(err)
			}
			if roots, err := certs.OwnRoot(dir); err != nil || len(roots) != 2 || !roots[0].Equal(a.Root()) {
				t.Errorf("own roots: %d, %v", len(roots), err)
			}
			if w := a.Warnings(); len(w) != 0 {
				t.Errorf("warns %q", w)
			}
		})
	}
}

func TestRolloverWidensNothingUnlessTold(t *testing.T) {
	imported := sign(t, nil, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "corp", true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.ExcludedDNSDomains = true, []string{"corp.test"}, []string{"secret.corp.test"}
		c.PermittedEmailAddresses, c.PermittedURIDomains = []string{"corp.test"}, []string{"corp.test"}
		_, all, _ := net.ParseCIDR("10.1.0.0/16")
		c.PermittedIPRanges = []*net.IPNet{all}
	})
	files, dir := t.TempDir(), filepath.Join(t.TempDir(), "authority")
	ca := certs.Pair{Cert: write(t, files, "ca.pem", imported.certPEM), Key: write(t, files, "ca.key", imported.keyPEM)}
	_, err := certs.ImportAuthority(dir, ca, certs.AuthorityOptions{})
	must(t, err)
	_, err = certs.RolloverAuthority(dir, certs.AuthorityOptions{Permit: []string{"example.org"}})
	wantError(t, err, "not of tcps' making")
	a, err := certs.RolloverAuthority(dir, certs.AuthorityOptions{})
	must(t, err)
	_, err = a.Issue(certs.Request{Names: []string{"a.corp.test"}})
	wantError(t, err, "usage")
	_, err = a.Issue(certs.Request{Client: true, Names: []string{"a", "dns:secret.corp.test"}})
	wantError(t, err, "outside")
	issue(t, a, certs.Request{Client: true, Names: []string{"a", "dns:a.corp.test"}})
}

// Several times over, with a machine's name of each form, what is permitted is added to what is there.
func TestRolloverPermitsMoreEachTime(t *testing.T) {
	for _, host := range []string{"box", "box.example.net", "localhost", "not a host"} {
		dir := filepath.Join(t.TempDir(), "authority")
		_, err := certs.CreateAuthority(dir, certs.AuthorityOptions{HostName: host, Permit: []string{"192.0.2.0/24", "example.com", "below.box"}})
		must(t, err)
		for _, permit := range []string{"example.org", "2001:db8::1", "box.example.org"} {
			a, err := certs.RolloverAuthority(dir, certs.AuthorityOptions{Permit: []string{permit}})
			if err != nil {
				t.Fatalf("%s, %s: %v", host, permit, err)
			}
			server(t, a, permit, "192.0.2.1", "example.com")
		}
	}
}

func TestExpiredOldRootIsDropped(t *testing.T) {
	a, dir := createAuthority(t, certs.AuthorityOptions{})
	expired := sign(t, nil, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "expired", true, x509.KeyUsageCertSign
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"test"}
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	write(t, dir, "root.pem", a.RootPEM(), expired.certPEM)
	again, err := certs.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if string(again.RootPEM()) != string(a.RootPEM()) {
		t.Error("the expired root is trusted still")
	}
	if roots, err := certs.OwnRoot(dir); err != nil || len(roots) != 1 {
		t.Errorf("own roots: %d, %v", len(roots), err)
	}
}

// A pair is replaced in steps; where it stops, the key file has both keys.
func TestKeyFileWithTheNextKeyTooOpens(t *testing.T) {
	for _, name := range []string{"root", "intermediate"} {
		t.Run(name, func(t *testing.T) {
			made, dir := createAuthority(t, certs.AuthorityOptions{Intermediate: name == "intermediate"})
			path := filepath.Join(dir, name+".key")
			key, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, name+".key", server(t, newAuthority(t), "next.test").KeyPEM, key)
			a, err := certs.OpenAuthority(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifies(t, server(t, a, "a.test"), made.Root()); err != nil {
				t.Error(err)
			}
		})
	}
}
