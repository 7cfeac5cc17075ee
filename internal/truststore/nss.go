package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/smallstep/truststore"
)

// profile is a folder with a certificate database of NSS.
type profile struct {
	program string // whose it is
	path    string
}

// profiles are where programs keep their databases, below the home folder.
var profiles = [...]struct{ program, pattern string }{
	{"Chrome and Chromium", ".pki/nssdb"},
	{"Firefox", ".mozilla/firefox/*"}, // its Developer Edition and ESR too
	{"Firefox", ".config/mozilla/firefox/*"},
	{"Firefox Nightly", ".mozilla/firefox-trunk/*"},
	{"Firefox (snap)", "snap/firefox/common/.mozilla/firefox/*"},
	{"Firefox (flatpak)", ".var/app/org.mozilla.firefox/.mozilla/firefox/*"},
	{"Firefox (flatpak)", ".var/app/org.mozilla.firefox/config/mozilla/firefox/*"},
	{"Chromium (snap)", "snap/chromium/current/.pki/nssdb"},
	{"a browser (flatpak)", ".var/app/*/.pki/nssdb"},
	{"Firefox", "Library/Application Support/Firefox/Profiles/*"}, // macOS
}

func findNSS(home string) []Store {
	if home == "" || runtime.GOOS == "windows" { // no certutil of NSS is there
		return nil
	}
	var stores []Store
	for _, p := range profiles {
		found, _ := filepath.Glob(filepath.Join(globQuote(home), filepath.FromSlash(p.pattern))) // no pattern is bad
		for _, path := range found {
			if _, err := os.Stat(filepath.Join(path, "cert9.db")); err == nil {
				stores = append(stores, profile{p.program, path})
			}
		}
	}
	return stores
}

// globQuote takes the meaning from what filepath.Glob would expand.
func globQuote(path string) string {
	if runtime.GOOS == "windows" {
		return path
	}
	return regexp.MustCompile(`[*?\[\\]`).ReplaceAllString(path, `\$0`)
}

func (profile) Kind() Kind       { return NSS }
func (p profile) Place() string  { return p.program + ", " + p.path }
func (p profile) folder() string { return "sql:" + p.path }

// certutil runs NSS's program of this name; on macOS it is Homebrew's.
func (p profile) certutil(args ...string) ([]byte, error) {
	program, err := exec.LookPath("certutil")
	for _, brewed := range []string{"/opt/homebrew/opt/nss/bin/certutil", "/usr/local/opt/nss/bin/certutil"} {
		if err == nil {
			break
		}
		program, err = exec.LookPath(brewed)
	}
	if err != nil {
		return nil, errNoCertutil
	}
	out, err := exec.Command(program, append(args, "-d", p.folder())...).CombinedOutput()
	if err != nil {
		return nil, said("certutil", err, out)
	}
	return out, nil
}

var errNoCertutil = errors.New("the program certutil of NSS is missing")

// entry is one certificate of a database.
type entry struct {
	nickname string
	trusted  bool // to issue servers' certificates
	cert     *x509.Certificate
}

// listed is a line of certutil -L: a nickname and the trust for TLS, mail and code.
var listed = regexp.MustCompile(`(?m)^(.*\S)\s+([pPcCTuwI]*),[pPcCTuwI]*,[pPcCTuwI]*\s*$`)

func (p profile) entries() ([]entry, error) {
	out, err := p.certutil("-L")
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, line := range listed.FindAllSubmatch(out, -1) {
		nickname := string(line[1])
		text, err := p.certutil("-L", "-a", "-n", nickname)
		if err != nil {
			return nil, err
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				entries = append(entries, entry{nickname, bytes.ContainsRune(line[2], 'C'), cert})
			}
		}
	}
	return entries, nil
}

// find looks for the certificate itself: NSS keeps the nickname under which it
// first came to know one, a person may have imported it.
func (p profile) find(root *x509.Certificate) (entry, bool, error) {
	entries, err := p.entries()
	for _, e := range entries {
		if e.cert.Equal(root) {
			return e, true, nil
		}
	}
	return entry{}, false, err
}

func (p profile) Has(root *x509.Certificate) (bool, error) {
	e, _, err := p.find(root)
	return e.trusted, err
}

// Add has smallstep/truststore run certutil for this profile. It looks after
// that itself, because that also writes into Chrome's database, and tells of
// failures in either without saying why.
func (p profile) Add(root *x509.Certificate) error {
	if _, err := p.certutil("-L"); err != nil {
		return err
	}
	trust, err := truststore.NewNSSTrust()
	if err != nil {
		return err
	}
	all := truststore.NSSProfile
	truststore.NSSProfile = globQuote(p.path)
	defer func() { truststore.NSSProfile = all }()
	err = truststore.Install(root, prefix(root), truststore.WithNoSystem(), truststore.WithTrust(trust))
	if has, e := p.Has(root); e != nil {
		return e
	} else if has {
		return nil
	}
	return fmt.Errorf("certutil did not add it: %w", err)
}

// Remove goes by the certificate; smallstep/truststore goes by the nickname,
// and leaves what has expired.
func (p profile) Remove(root *x509.Certificate) error {
	e, ok, err := p.find(root)
	if err != nil || !ok {
		return err
	}
	_, err = p.certutil("-D", "-n", e.nickname)
	return err
}

func (p profile) Ours() ([]*x509.Certificate, error) {
	entries, err := p.entries()
	var roots []*x509.Certificate
	for _, e := range entries {
		if ourName.MatchString(e.nickname) {
			roots = append(roots, e.cert)
		}
	}
	return roots, err
}

func (p profile) ByHand(add bool, root *x509.Certificate, file string) string {
	command := words("certutil", "-D", "-d", p.folder(), "-n", nameOf(root))
	if add {
		command = words("certutil", "-A", "-d", p.folder(), "-t", "C,,", "-n", nameOf(root), "-i", file)
	}
	if _, err := p.certutil("--version"); errors.Is(err, errNoCertutil) {
		command = installCertutil() + ", then " + command
	}
	return command
}

// installCertutil is how the program comes onto this machine.
func installCertutil() string {
	if runtime.GOOS == "darwin" {
		return "brew install nss"
	}
	for program, install := range map[string]string{
		"apt-get": "apt-get install libnss3-tools", "dnf": "dnf install nss-tools", "pacman": "pacman -S nss",
		"zypper": "zypper install mozilla-nss-tools", "apk": "apk add nss-tools",
	} {
		if _, err := exec.LookPath(program); err == nil {
			return "sudo " + install
		}
	}
	return "install certutil (package " + strings.Join([]string{"libnss3-tools", "nss-tools"}, " or ") + ")"
}
