package truststore

import (
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// newProfile makes a folder that looks like a profile of NSS.
func newProfile(t *testing.T, home, path string) {
	t.Helper()
	dir := filepath.Join(home, filepath.FromSlash(path))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert9.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Wherever browsers keep their profiles, they are found, also in a home whose
// name has characters that patterns have; what is no profile is not.
func TestFindSeesTheProfilesOfAllBrowsers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no certutil of NSS for Windows")
	}
	home := filepath.Join(t.TempDir(), "a[b]*")
	paths := []string{
		".pki/nssdb", ".mozilla/firefox/x.default-release", ".mozilla/firefox/y.dev-edition-default", ".config/mozilla/firefox/z",
		"snap/firefox/common/.mozilla/firefox/s", ".var/app/org.mozilla.firefox/.mozilla/firefox/f", ".var/app/com.google.Chrome/.pki/nssdb",
	}
	for _, path := range paths {
		newProfile(t, home, path)
	}
	if err := os.MkdirAll(filepath.Join(home, ".mozilla/firefox/Crash Reports"), 0o700); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range findNSS(home) {
		if s.Kind() != NSS {
			t.Errorf("%s is of kind %s", s.Place(), s.Kind())
		}
		relative, err := filepath.Rel(home, s.(profile).path)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, filepath.ToSlash(relative))
	}
	slices.Sort(found)
	slices.Sort(paths)
	if !slices.Equal(found, paths) {
		t.Errorf("found %q, want %q", found, paths)
	}
	if none := findNSS(""); none != nil {
		t.Errorf("without a home folder there are %v", none)
	}
}

// Two authorities with one serial number do not share a name.
func TestNamesTellAuthoritiesApart(t *testing.T) {
	one := &x509.Certificate{Raw: []byte{1}, SerialNumber: big.NewInt(1)}
	two := &x509.Certificate{Raw: []byte{2}, SerialNumber: big.NewInt(1)}
	if nameOf(one) == nameOf(two) {
		t.Errorf("both are called %q", nameOf(one))
	}
	if !ourName.MatchString(nameOf(one)) {
		t.Errorf("%q does not look like ours", nameOf(one))
	}
	for _, name := range []string{"tcps", "tcps-1", "mkcert development CA 1", "tcps-0123456789abcdef-1 copy"} {
		if ourName.MatchString(name) {
			t.Errorf("%q looks like ours", name)
		}
	}
}

// What certutil -L prints, nicknames with spaces too.
func TestCertutilsListIsRead(t *testing.T) {
	const out = `
Certificate Nickname                                         Trust Attributes
                                                             SSL,S/MIME,JAR/XPI

tcps-0123456789abcdef-1                                      C,,  
An Authority of Some Company - Ltd.                          CT,C,C
leaf                                                         ,,
`
	var got []string
	for _, line := range listed.FindAllStringSubmatch(out, -1) {
		got = append(got, line[1]+"|"+line[2])
	}
	if want := []string{"tcps-0123456789abcdef-1|C", "An Authority of Some Company - Ltd.|CT", "leaf|"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Without certutil a profile is found all the same, and the step by hand says
// how to get it.
func TestAProfileWithoutCertutilSaysWhatIsMissing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("where certutil may be elsewhere than in PATH")
	}
	home := t.TempDir()
	newProfile(t, home, ".pki/nssdb")
	t.Setenv("PATH", t.TempDir())
	root := &x509.Certificate{Raw: []byte{1}, SerialNumber: big.NewInt(1)}
	s := findNSS(home)[0]
	for what, err := range map[string]error{"add": s.Add(root), "remove": s.Remove(root)} {
		if !errors.Is(err, errNoCertutil) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Has(root); !errors.Is(err, errNoCertutil) {
		t.Errorf("has: %v", err)
	}
	if by := s.ByHand(true, root, "root.pem"); !strings.Contains(by, "libnss3-tools") || !strings.Contains(by, "certutil -A -d sql:"+home) {
		t.Errorf("by hand: %s", by)
	}
}
