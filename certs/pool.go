package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"tcps/internal/terminal"
)

// LoadPool reads certificate authorities from PEM files and PKCS#12 trust stores, and from folders: every *.pem, *.crt
// and *.cer file there; hidden ones, sub-folders and what else is no regular file are left out. A file that holds no
// authority is an error that names it, so is a folder without such a file; errors.Is finds fs.ErrNotExist and
// fs.ErrPermission. The warnings are sentences about authorities that are expired, not yet valid or near their end, and
// about certificates that were left out because they are no authority.
func LoadPool(paths ...string) (pool *x509.CertPool, warnings []string, err error) {
	authorities, warnings, err := LoadAuthorities(paths...)
	if err != nil {
		return nil, nil, err
	}
	pool = x509.NewCertPool()
	for _, c := range authorities {
		pool.AddCert(c)
	}
	return pool, warnings, nil
}

// LoadAuthorities returns one by one, in their order, the authorities that LoadPool puts into a pool.
func LoadAuthorities(paths ...string) (authorities []*x509.Certificate, warnings []string, err error) {
	if len(paths) == 0 {
		return nil, nil, errors.New("load authorities: no file is given")
	}
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = authorityFiles(path); err != nil {
				return nil, nil, fmt.Errorf("load authorities %q: %w", path, err)
			}
		}
		for _, file := range files {
			found, w, err := authoritiesIn(file)
			if err != nil {
				return nil, nil, fmt.Errorf("load authority %q: %w", file, err)
			}
			authorities, warnings = append(authorities, found...), append(warnings, w...)
		}
	}
	return authorities, warnings, nil
}

// authorityFiles lists the files of a folder that LoadPool reads.
func authorityFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, bareCause(err)
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if !slices.Contains([]string{".pem", ".crt", ".cer"}, strings.ToLower(filepath.Ext(path))) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		// Stat follows links: Kubernetes mounts files as links. A dangling one is an error later, on reading.
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its other end
			continue
		}
		files = append(files, path)
	}
	if len(files) == 0 {
		return nil, errors.New("the folder holds no *.pem, *.crt or *.cer file")
	}
	return files, nil
}

func authoritiesIn(file string) (authorities []*x509.Certificate, warnings []string, err error) {
	data, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	found, err := readAuthorities(file, data)
	if err != nil {
		return nil, nil, err
	}
	if len(found.certificates) == 0 {
		return nil, nil, fmt.Errorf("the file holds %s", holdsInstead(file, found))
	}
	var firstWhy string
	for n, c := range found.certificates {
		what := fmt.Sprintf("authority %q (%s)", file, subject(c))
		why := whyNoAuthority(c)
		if why != "" {
			if firstWhy == "" {
				firstWhy = why
			}
			warnings = append(warnings, fmt.Sprintf("certificate %d of %q is left out: %s", n+1, file, why))
			continue
		}
		authorities = append(authorities, c)
		if w := validityWarning(what, c, time.Now()); w != "" {
			warnings = append(warnings, w)
		}
	}
	if len(authorities) == 0 {
		return nil, nil, errors.New(firstWhy)
	}
	return authorities, warnings, nil
}

// readAuthorities reads PEM or a PKCS#12 trust store. Those are no secret: Java's have the passphrase "changeit".
func readAuthorities(file string, data []byte) (*contents, error) {
	if !isPKCS12(data) {
		return parsePEM(file, data)
	}
	c, err := readPKCS12(file, data, func(string) ([]byte, error) { return []byte(pkcs12.DefaultPassword), nil })
	if errors.Is(err, ErrWrongPassphrase) {
		return nil, fmt.Errorf("PKCS#12 with a passphrase of its own; take the certificates out of it: openssl pkcs12 -in %s -nokeys -out %s",
			terminal.ShellWord(file), terminal.ShellWord(file+".pem"))
	}
	return c, err
}

// whyNoAuthority is empty if c may sign certificates.
func whyNoAuthority(c *x509.Certificate) string {
	selfSigned := string(c.RawSubject) == string(c.RawIssuer)
	switch {
	case c.Version < 3 && selfSigned: // such roots are older than the extension that says CA
		return ""
	case (!c.BasicConstraintsValid || !c.IsCA) && selfSigned:
		return fmt.Sprintf("%s is a self-signed certificate without the CA flag, not an authority; to let it alone in, allow its pin %s", subject(c), Pin(c))
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Sprintf("%s is not an authority; the one that issued it is %s", subject(c), issuer(c))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Sprintf("the key usage of %s does not let it sign certificates", subject(c))
	}
	return ""
}
