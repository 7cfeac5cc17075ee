package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files of an authority's folder. The folder is private; the certificate in it may be given to anyone.
const (
	rootFile = "root.pem"
	keyFile  = "root.key"
)

// backdate is how much earlier than now a certificate begins, for clients whose clocks are behind.
const backdate = time.Hour

// rootLife is how long a root lasts.
const rootLife = 10 * 365 * 24 * time.Hour

// AuthorityOptions says what a new root may sign for. The zero value permits only local names: localhost, test,
// internal, local, home.arpa with their sub-names, this machine's host name, loopback, private and link-local addresses,
// and e-mail addresses and URIs with such host names.
type AuthorityOptions struct {
	Permit        []string // more DNS names (with their sub-names), IP addresses and prefixes
	Unconstrained bool     // may sign for everything: whoever steals the key can then impersonate every host
	HostName      string   // permitted, without its sub-names if it has one label; empty: what the system says
	KeyType       KeyType  // of the root's key; zero: ECDSAP256
}

// Authority is a local certificate authority: a root and its key. One that is kept in a folder records there what it
// issues (OpenLedger).
type Authority struct {
	root   *x509.Certificate
	key    crypto.Signer
	pool   *x509.CertPool
	ledger *Ledger // nil: it is in memory only
}

// NewAuthority makes an authority in memory, for tests and demonstrations.
func NewAuthority(o AuthorityOptions) (*Authority, error) {
	a, err := newAuthority(o)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return a, nil
}

func newAuthority(o AuthorityOptions) (*Authority, error) {
	if o.Unconstrained && len(o.Permit) > 0 {
		return nil, errors.New("an unconstrained root permits every name; leave out either")
	}
	if o.HostName == "" {
		o.HostName, _ = os.Hostname() // a machine without a name has none to permit
	}
	key, err := o.KeyType.generate()
	if err != nil {
		return nil, err
	}
	template, err := rootTemplate(o, key.Public())
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return makeAuthority(root, key), nil
}

func makeAuthority(root *x509.Certificate, key crypto.Signer) *Authority {
	a := &Authority{root: root, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(root)
	return a
}

// rootTemplate names the machine, the year and the key in the subject, so that two roots are told apart in a list.
func rootTemplate(o AuthorityOptions, public crypto.PublicKey) (*x509.Certificate, error) {
	id, err := keyID(public)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	host := foldName(o.HostName)
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"tcps local authority"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		SubjectKeyId:          id,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // room for one intermediate
	}
	label := "local"
	if len(host) <= 64 && checkHost(host, host) == nil {
		template.Subject.OrganizationalUnit = []string{host}
		label, _, _ = strings.Cut(host, ".")
		label = label[:min(len(label), 40)]
	}
	template.Subject.CommonName = fmt.Sprintf("tcps %s %d %x", label, now.Year(), id[:4])
	if o.Unconstrained {
		return template, nil
	}
	c, err := newConstraints(host, o.Permit)
	if err != nil {
		return nil, err
	}
	c.apply(template)
	return template, nil
}

// keyID is the key identifier of RFC 7093, 2, method 1, over the whole SubjectPublicKeyInfo.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// CreateAuthority makes an authority and its folder, which appears whole or not at all. If dir is an authority
// already, errors.Is finds fs.ErrExist. Missing folders above dir are made.
func CreateAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	a, err := createAuthority(dir, o)
	if err != nil {
		return nil, fmt.Errorf("create authority %q: %w", dir, err)
	}
	return a, nil
}

func createAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	dir, err := followLink(dir)
	if err != nil {
		return nil, err
	}
	if err := checkVacant(dir); err != nil {
		return nil, err
	}
	a, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	temp, err := a.writeBeside(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) // nothing is left there after success
	if err := putFolder(temp, dir); err != nil {
		if vacant := checkVacant(dir); vacant != nil {
			return nil, vacant // another process was quicker
		}
		return nil, bareCause(err)
	}
	a.ledger = &Ledger{dir: dir}
	return a, syncFolder(filepath.Dir(dir))
}

// followLink makes a symbolic link at dir be heeded and not replaced: it says where the keys are to be kept, an
// encrypted volume perhaps, and that may be missing just now.
func followLink(dir string) (string, error) {
	dir = filepath.Clean(dir)
	info, err := os.Lstat(dir)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return dir, nil
	}
	target, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("it is a symbolic link to a folder that is not there")
	}
	return target, err
}

// errOccupied is the cause where there is an authority, or half of one, already.
var errOccupied = fmt.Errorf("there is one already: %w", fs.ErrExist)

// checkVacant says what keeps dir from becoming an authority's folder.
func checkVacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return bareCause(err)
	}
	for _, e := range entries {
		if e.Name() == rootFile || e.Name() == keyFile {
			return errOccupied
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("the folder holds other files (%q)", entries[0].Name())
	}
	return nil
}

// writeBeside writes the authority into a new folder beside dir, on the same file system, and returns its path.
func (a *Authority) writeBeside(dir string) (temp string, err error) {
	key, err := encodeKey(a.key)
	if err != nil {
		return "", err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("make folder %q: %w", parent, bareCause(err))
	}
	temp, err = os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-") // 0700
	if err != nil {
		return "", fmt.Errorf("make a folder in %q: %w", parent, bareCause(err))
	}
	err = writeFiles([]file{
		{filepath.Join(temp, keyFile), key, 0o600},
		{filepath.Join(temp, rootFile), a.RootPEM(), 0o644},
	}, false)
	if err != nil {
		os.RemoveAll(temp)
		return "", err
	}
	return temp, nil
}

// putFolder renames temp to dir, which must not exist or be empty.
func putFolder(temp, dir string) error {
	err := os.Rename(temp, dir)
	if err != nil && os.Remove(dir) == nil { // an empty folder in the way, where rename does not replace it
		err = os.Rename(temp, dir)
	}
	return err
}

// ReplaceAuthority makes a new authority at dir. The old folder, with its key, is kept beside it under a name
// that carries the time; kept is its path, empty if there was none. What the old root signed is not trusted by the new one.
func ReplaceAuthority(dir string, o AuthorityOptions) (a *Authority, kept string, err error) {
	a, kept, err = replaceAuthority(dir, o)
	if err != nil {
		return nil, "", fmt.Errorf("replace authority %q: %w", dir, err)
	}
	return a, kept, nil
}

func replaceAuthority(dir string, o AuthorityOptions) (a *Authority, kept string, err error) {
	if dir, err = followLink(dir); err != nil {
		return nil, "", err
	}
	if a, err = newAuthority(o); err != nil {
		return nil, "", err
	}
	if err := checkVacant(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, "", err
	}
	temp, err := a.writeBeside(dir)
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(temp)
	if kept, err = setAside(dir); err != nil {
		return nil, "", err
	}
	// Between the two renames there is no authority. If the machine stops here, the old one is under its dated name;
	// if another process makes one now, this fails and says so.
	if err := putFolder(temp, dir); err != nil {
		if kept != "" {
			err = errors.Join(err, os.Rename(kept, dir))
		}
		return nil, "", err
	}
	a.ledger = &Ledger{dir: dir}
	return a, kept, syncFolder(filepath.Dir(dir))
}

// setAside renames dir to a dated name that is free. An empty or missing folder stays.
func setAside(dir string) (kept string, err error) {
	if checkVacant(dir) == nil {
		return "", nil
	}
	dated := dir + time.Now().UTC().Format(".2006-01-02T150405Z")
	for n := 1; ; n++ {
		kept = dated
		if n > 1 {
			kept = fmt.Sprintf("%s-%d", dated, n)
		}
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			return kept, os.Rename(dir, kept)
		} else if err != nil {
			return "", err
		}
	}
}

// OpenAuthority reads the authority at dir. If there is none, errors.Is finds fs.ErrNotExist.
func OpenAuthority(dir string) (*Authority, error) {
	a, err := openAuthority(dir)
	if err != nil {
		return nil, fmt.Errorf("open authority %q: %w", dir, err)
	}
	return a, nil
}

func openAuthority(dir string) (*Authority, error) {
	rootPath, keyPath := filepath.Join(dir, rootFile), filepath.Join(dir, keyFile)
	rootInfo, rootErr := os.Stat(rootPath)
	keyInfo, keyErr := os.Stat(keyPath)
	switch {
	case errors.Is(rootErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		return nil, fs.ErrNotExist
	case rootErr != nil: // no %w: half an authority is none that may be made anew
		return nil, fmt.Errorf("root %q: %v", rootPath, bareCause(rootErr))
	case keyErr != nil:
		return nil, fmt.Errorf("key %q: %v", keyPath, bareCause(keyErr))
	case rootInfo.IsDir() || keyInfo.IsDir():
		return nil, fmt.Errorf("%s or %s is a folder", rootFile, keyFile)
	}
	if err := checkPrivate(keyPath, keyInfo); err != nil {
		return nil, err
	}
	chain, key, err := Pair{Cert: rootPath, Key: keyPath}.load()
	if err != nil {
		return nil, fmt.Errorf("root %q: %w", rootPath, err)
	}
	if why := whyNoAuthority(chain[0]); why != "" {
		return nil, fmt.Errorf("root %q: %s", rootPath, why)
	}
	a := makeAuthority(chain[0], key)
	a.ledger = &Ledger{dir: dir}
	return a, nil
}

// OpenOrCreateAuthority opens the authority at dir, or makes it if there is none. Goroutines and processes that do so
// at once end up with the same one. o only matters if created.
func OpenOrCreateAuthority(dir string, o AuthorityOptions) (a *Authority, created bool, err error) {
	if a, err = OpenAuthority(dir); !errors.Is(err, fs.ErrNotExist) {
		return a, false, err
	}
	a, err = CreateAuthority(dir, o)
	if errors.Is(err, fs.ErrExist) {
		a, err = OpenAuthority(dir)
		return a, false, err
	}
	return a, err == nil, err
}

// Root returns the certificate of the root. It is shared: do not change it.
func (a *Authority) Root() *x509.Certificate { return a.root }

// RootPEM returns the certificate of the root in PEM form, for clients to trust.
func (a *Authority) RootPEM() []byte { return encodeCertificates(a.root) }

// Pool returns a new pool that holds the root alone.
func (a *Authority) Pool() *x509.CertPool { return a.pool.Clone() }

// Constrained tells whether the root may only sign for certain names, of every kind.
func (a *Authority) Constrained() bool { return checkConstrained(a.root) == nil }

// Permits tells whether the root may sign for s: a DNS name, an IP address, or a value after "dns:", "email:" or
// "uri:". The error is a *NotPermittedError if it may not; other errors say why s is no name at all.
func (a *Authority) Permits(s string) error {
	n, err := parseName(s)
	if err != nil {
		return err
	}
	return permits(a.root, n)
}

// ServerNames splits candidates, such as this machine's host name and addresses, into those that a certificate of this
// authority can carry, in their normal spelling and without repetitions, and those that it cannot.
func (a *Authority) ServerNames(candidates ...string) (names, leftOut []string) {
	seen := map[string]bool{}
	for _, s := range candidates {
		n, err := parseServerName(s)
		if err == nil {
			err = permits(a.root, n)
		}
		switch {
		case err != nil && !seen[s]:
			leftOut = append(leftOut, s)
			seen[s] = true
		case err == nil && !seen[n.text]:
			names = append(names, n.text)
			seen[n.text] = true
		}
	}
	return names, leftOut
}
