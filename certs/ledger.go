package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The ledger in an authority's folder: a file for each certificate that it issued, and one for each that it took back.
// A file appears whole or not at all, and nobody changes it, so that processes that write at once lose nothing. What was
// issued is removed keptExpired after the end of the certificate. What was taken back stays: a clock that was ahead for
// an hour must not make good again what is revoked.
const (
	issuedFolder  = "issued"
	revokedFolder = "revoked"
	keptExpired   = 30 * day
)

// Ledger is what an authority that is kept in a folder has issued and taken back. It needs no key, and each call
// reads the folder anew. It may be used concurrently, also while the authority issues.
type Ledger struct {
	dir    string
	pruned atomic.Int64 // the day, since 1970
}

// IssuedRecord is one certificate in a ledger.
type IssuedRecord struct {
	Certificate *x509.Certificate
	Revoked     *RevokedCertificate // nil: it is not
}

// ErrNotIssued is the cause when a ledger has no certificate of a serial number.
var ErrNotIssued = errors.New("the authority has issued no such certificate")

// OpenLedger returns the ledger of the authority at dir. If there is no authority, errors.Is finds fs.ErrNotExist.
func OpenLedger(dir string) (*Ledger, error) {
	if _, err := os.Stat(filepath.Join(dir, rootFile)); err != nil {
		return nil, fmt.Errorf("open ledger of authority %q: %w", dir, bareCause(err))
	}
	return &Ledger{dir: dir}, nil
}

// serialText is the name of a serial number, of its file too.
func serialText(serial *big.Int) string { return fmt.Sprintf("%x", serial) }

func (l *Ledger) path(folder string, serial *big.Int) string {
	return filepath.Join(l.dir, folder, serialText(serial)+".pem")
}

// record adds a certificate durably, and removes old ones on the first of a day. A nil ledger records nothing.
func (l *Ledger) record(c *x509.Certificate) error {
	if l == nil {
		return nil
	}
	if err := l.pruneDaily(time.Now()); err != nil {
		return err
	}
	path := l.path(issuedFolder, c.SerialNumber)
	if err := storeFile(path, encodeCertificates(c)); err != nil {
		return fmt.Errorf("record it in %q: %w", filepath.Dir(path), err)
	}
	return nil
}

// forget takes a certificate off the record that nobody was given.
func (l *Ledger) forget(c *x509.Certificate) error {
	if l == nil {
		return nil
	}
	path := l.path(issuedFolder, c.SerialNumber)
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("take it off the record: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// Issued returns all that is on record, those that end first in front, and of one time by serial number.
func (l *Ledger) Issued() ([]IssuedRecord, error) {
	records, err := l.issued()
	if err != nil {
		return nil, fmt.Errorf("read ledger of authority %q: %w", l.dir, err)
	}
	return records, nil
}

func (l *Ledger) issued() ([]IssuedRecord, error) {
	issued, err := readLedgerFolder(filepath.Join(l.dir, issuedFolder))
	if err != nil {
		return nil, err
	}
	revoked, err := readLedgerFolder(filepath.Join(l.dir, revokedFolder))
	if err != nil {
		return nil, err
	}
	records := make(map[string]IssuedRecord)
	for _, e := range issued {
		records[serialText(e.certificate.SerialNumber)] = IssuedRecord{Certificate: e.certificate}
	}
	for _, e := range revoked {
		r, err := e.revoked()
		if err != nil {
			return nil, err
		}
		records[serialText(r.Serial)] = IssuedRecord{e.certificate, &r}
	}
	all := make([]IssuedRecord, 0, len(records))
	for _, r := range records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b IssuedRecord) int {
		if d := a.Certificate.NotAfter.Compare(b.Certificate.NotAfter); d != 0 {
			return d
		}
		return a.Certificate.SerialNumber.Cmp(b.Certificate.SerialNumber)
	})
	return all, nil
}

// Find returns the certificate with a serial number, in hexadecimal digits of any case, with colons or without. The
// cause is ErrNotIssued if there is none.
func (l *Ledger) Find(serial string) (*x509.Certificate, error) {
	digits := strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(serial), ":", ""), "0x")
	n, ok := new(big.Int).SetString(digits, 16)
	if !ok || n.Sign() <= 0 {
		return nil, fmt.Errorf("find certificate %q: not a serial number: want hexadecimal digits", serial)
	}
	for _, folder := range []string{issuedFolder, revokedFolder} {
		e, err := readLedgerFile(l.path(folder, n))
		if err == nil {
			return e.certificate, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("find certificate %q: %w", serial, err)
		}
	}
	return nil, fmt.Errorf("find certificate %q: %w", serial, ErrNotIssued)
}

// A ledgerEntry is one file.
type ledgerEntry struct {
	path        string
	certificate *x509.Certificate
	headers     map[string]string
}

// readLedgerFolder reads every record of a folder, which may be missing. A record that is damaged is an error, beside
// which the others are returned.
func readLedgerFolder(folder string) ([]ledgerEntry, error) {
	files, err := os.ReadDir(folder)
	if _, none := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) && errors.Is(none, fs.ErrNotExist) { // else a link that leads nowhere
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read %q: %w", folder, bareCause(err))
	}
	var entries []ledgerEntry
	var damaged error
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") { // it is being written
			continue
		}
		e, err := readLedgerFile(filepath.Join(folder, f.Name()))
		switch {
		case err == nil:
			entries = append(entries, e)
		case damaged == nil && !errors.Is(err, fs.ErrNotExist): // else it was pruned just now
			damaged = err
		}
	}
	return entries, damaged
}

func readLedgerFile(path string) (ledgerEntry, error) {
	e := ledgerEntry{path: path}
	data, err := readFile(path)
	if err != nil {
		return e, fmt.Errorf("record %q: %w", path, err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return e, fmt.Errorf("record %q is damaged: it is not one certificate", path)
	}
	if e.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return e, fmt.Errorf("record %q is damaged: %w", path, err)
	}
	if want := serialText(e.certificate.SerialNumber) + ".pem"; filepath.Base(path) != want {
		return e, fmt.Errorf("record %q is damaged: it holds the certificate of %q", path, want)
	}
	e.headers = block.Headers
	return e, nil
}

// isRevoked tells whether there is a record of it, whatever that says.
func (l *Ledger) isRevoked(c *x509.Certificate) bool {
	if l == nil {
		return false
	}
	_, err := os.Lstat(l.path(revokedFolder, c.SerialNumber))
	return err == nil
}

func (l *Ledger) pruneDaily(now time.Time) error {
	if today := now.Unix() / int64(day/time.Second); l.pruned.Swap(today) == today {
		return nil
	}
	return l.prune(now)
}

// prune removes what nobody asks for any more. A record that is damaged stays, for a person to look at.
func (l *Ledger) prune(now time.Time) error {
	folder := filepath.Join(l.dir, issuedFolder)
	files, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %q: %w", folder, bareCause(err))
	}
	for _, f := range files {
		e, err := readLedgerFile(filepath.Join(folder, f.Name()))
		if err != nil || now.Sub(e.certificate.NotAfter) < keptExpired {
			continue
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove record %q: %w", e.path, bareCause(err))
		}
	}
	return nil
}
