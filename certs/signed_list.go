package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// defaultListLife is how long a revocation list is valid.
const defaultListLife = 7 * day

// numberFile holds the number of the latest revocation list, in decimal digits.
const numberFile = "crl.number"

// SignedList is one signed list (RFC 5280, 5), of one issuer.
type SignedList struct {
	Issuer *x509.Certificate
	Number *big.Int // higher than that of each list before
	Count  int      // of certificates on it
	DER    []byte
}

// PEM returns the list in PEM form.
func (s *SignedList) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: s.DER})
}

// RevocationLists signs a list for each issuer of the authority whose key is at hand, that of new certificates first.
// Each is valid for life; zero means 7 days. An authority in memory has revoked nothing.
func (a *Authority) RevocationLists(life time.Duration) ([]SignedList, error) {
	lists, err := a.revocationLists(life)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	return lists, nil
}

func (a *Authority) revocationLists(life time.Duration) ([]SignedList, error) {
	if life == 0 {
		life = defaultListLife
	} else if life < 0 {
		return nil, fmt.Errorf("a list cannot be valid for %v", life)
	}
	var revoked []RevokedCertificate
	number := big.NewInt(time.Now().Unix())
	if a.ledger != nil {
		var err error
		if number, err = a.ledger.nextNumber(); err != nil { // before what is revoked is read: a higher number knows more
			return nil, err
		}
		if revoked, err = ReadRevoked(a.ledger.dir); err != nil {
			return nil, err
		}
	}
	signers, err := a.signers()
	if err != nil {
		return nil, err
	}
	var lists []SignedList
	for _, s := range signers {
		list, err := s.list(revoked, number, life)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

func (s signer) list(revoked []RevokedCertificate, number *big.Int, life time.Duration) (SignedList, error) {
	now := time.Now()
	template := &x509.RevocationList{Number: number, ThisUpdate: now, NextUpdate: now.Add(life)}
	for _, r := range revoked {
		if bytes.Equal(r.IssuerKeyID, s.certificate.SubjectKeyId) {
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.At, ReasonCode: r.Reason})
		}
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, s.certificate, s.key)
	return SignedList{s.certificate, number, len(template.RevokedCertificateEntries), der}, err
}

// nextNumber counts on, durably: at least by the seconds since 1970, so that numbers rise even if the file is lost.
func (l *Ledger) nextNumber() (*big.Int, error) {
	unlock, err := lockAuthority(l.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	path := filepath.Join(l.dir, numberFile)
	last := new(big.Int)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %q: %w", path, bareCause(err))
	}
	if err == nil {
		if _, ok := last.SetString(strings.TrimSpace(string(data)), 10); !ok || last.Sign() < 0 {
			return nil, fmt.Errorf("%q is damaged: it holds no number; without it, lists are numbered by the time", path)
		}
	}
	next := last.Add(last, big.NewInt(1))
	if now := big.NewInt(time.Now().Unix()); next.Cmp(now) < 0 {
		next = now
	}
	if err := storeFile(path, []byte(next.String()+"\n")); err != nil {
		return nil, fmt.Errorf("write %q: %w", path, err)
	}
	return next, nil
}
