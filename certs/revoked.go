package certs

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// RevokedCertificate names a certificate that its issuer took back: serial numbers are unique for one issuer only.
type RevokedCertificate struct {
	IssuerKeyID []byte    // subject key identifier of the issuer
	Serial      *big.Int  // of the certificate
	At          time.Time // when it was revoked
	Reason      int       // RFC 5280, 5.3.1; 0: not specified
}

// The headers of a record of a revocation, in the PEM block of its certificate.
const (
	revokedAt     = "Revoked"
	revokedReason = "Reason"
	revokedIssuer = "Issuer-Key-ID" // the certificate itself need not tell it
)

// RevokedPath is what a server that heeds ReadRevoked has to watch, with a Watcher. It need not be there yet.
func RevokedPath(dir string) string { return filepath.Join(dir, revokedFolder) }

// ReadRevoked returns what the authority at dir has taken back, sorted by serial number. It needs no key. A record that
// is damaged or cannot be read is an error: what it says is not to be forgotten; the others are returned beside it.
// Nothing revoked yet is none.
func ReadRevoked(dir string) ([]RevokedCertificate, error) {
	entries, damaged := readLedgerFolder(RevokedPath(dir))
	var all []RevokedCertificate
	for _, e := range entries {
		r, err := e.revoked()
		switch {
		case err == nil:
			all = append(all, r)
		case damaged == nil:
			damaged = err
		}
	}
	slices.SortFunc(all, func(a, b RevokedCertificate) int { return a.Serial.Cmp(b.Serial) })
	if damaged != nil {
		return all, fmt.Errorf("read what is revoked: %w", damaged)
	}
	return all, nil
}

func (e ledgerEntry) revoked() (RevokedCertificate, error) {
	r := RevokedCertificate{Serial: e.certificate.SerialNumber}
	var err error
	if r.IssuerKeyID, err = hex.DecodeString(e.headers[revokedIssuer]); err != nil || len(r.IssuerKeyID) == 0 {
		return r, fmt.Errorf("record %q is damaged: it does not say who issued it", e.path)
	}
	if r.At, err = time.Parse(time.RFC3339, e.headers[revokedAt]); err == nil {
		r.Reason, err = strconv.Atoi(e.headers[revokedReason])
	}
	if err != nil {
		return r, fmt.Errorf("record %q is damaged: it does not say when and why: %w", e.path, err)
	}
	return r, nil
}

// Revoke takes a certificate back, durably, for one of the reasons of ParseRevocationReason. One that is revoked
// already stays as it is: was tells so. A certificate that the authority did not issue is an error.
func (l *Ledger) Revoke(c *x509.Certificate, reason int) (r RevokedCertificate, was bool, err error) {
	r, was, err = l.revoke(c, reason)
	if err != nil {
		return r, false, fmt.Errorf("revoke certificate %s: %w", serialText(c.SerialNumber), err)
	}
	return r, was, nil
}

func (l *Ledger) revoke(c *x509.Certificate, reason int) (r RevokedCertificate, was bool, err error) {
	issuer, err := l.issuerOf(c)
	if err != nil {
		return r, false, err
	}
	path := l.path(revokedFolder, c.SerialNumber)
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw, Headers: map[string]string{
		revokedAt: time.Now().UTC().Format(time.RFC3339), revokedReason: strconv.Itoa(reason),
		revokedIssuer: hex.EncodeToString(issuer),
	}})
	if err := makeFoldersDurably(filepath.Dir(path)); err != nil {
		return r, false, fmt.Errorf("make folder %q: %w", filepath.Dir(path), bareCause(err))
	}
	err = writeFiles([]file{{path, content, 0o600}}, false)
	if was = errors.Is(err, fs.ErrExist); err != nil && !was {
		return r, false, err
	}
	e, err := readLedgerFile(path)
	if err != nil {
		return r, false, err
	}
	r, err = e.revoked()
	return r, was, err
}

// copyRevoked copies the records of what the authority at from has taken back into the folder of another.
func copyRevoked(from, to string) error {
	entries, err := readLedgerFolder(RevokedPath(from))
	if err != nil {
		return err
	}
	if exists(RevokedPath(from)) {
		if err := os.Mkdir(RevokedPath(to), 0o700); err != nil {
			return bareCause(err)
		}
	}
	var files []file
	for _, e := range entries {
		content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.certificate.Raw, Headers: e.headers})
		files = append(files, file{filepath.Join(RevokedPath(to), filepath.Base(e.path)), content, 0o600})
	}
	return writeFiles(files, false)
}

// CheckIssued is an error if Revoke will refuse c.
func (l *Ledger) CheckIssued(c *x509.Certificate) error {
	if _, err := l.issuerOf(c); err != nil {
		return fmt.Errorf("revoke certificate %s: %w", serialText(c.SerialNumber), err)
	}
	return nil
}

// issuerOf is the key identifier of who issued c. It refuses what is not on record, unless a root or intermediate in the
// folder signed it: there were authorities before there was a ledger.
func (l *Ledger) issuerOf(c *x509.Certificate) ([]byte, error) {
	e, err := readLedgerFile(l.path(issuedFolder, c.SerialNumber))
	if err == nil && e.certificate.Equal(c) && len(c.AuthorityKeyId) > 0 {
		return c.AuthorityKeyId, nil
	}
	issuers, err := readIssuers(l.dir)
	if err != nil {
		return nil, err
	}
	for _, issuer := range issuers {
		if isSelfSigned(c) && issuer.Equal(c) {
			return nil, errors.New("it is the root, which nobody can revoke but those who trust it: make another one with tcps certs init --force")
		}
		if c.CheckSignatureFrom(issuer) == nil {
			return keyIDOf(issuer), nil
		}
	}
	return nil, fmt.Errorf("it was issued by %q, not by this authority: whoever issued it can revoke it", c.Issuer.String())
}
