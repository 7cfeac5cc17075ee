package certs

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"tcps/internal/terminal"
)

// maxListBytes bounds what is read of a revocation list: 100,000 serial numbers are 5 MB, in PEM form 7 MB.
const maxListBytes = 64 << 20

// clockSkew is how far the clock of who signs lists and OCSP responses may be ahead of ours.
const clockSkew = 5 * time.Minute

// RevocationList is a certificate revocation list (CRL, RFC 5280, 5) in a compact form: 24 bytes a serial number.
// ParseRevocationLists makes it. It may be used by many goroutines at once.
type RevocationList struct {
	source         string // the file or URL, for errors
	issuer         string // in words
	rawIssuer      []byte
	authorityKeyID []byte   // empty: it names no key
	number         *big.Int // nil: it has none
	thisUpdate     time.Time
	nextUpdate     time.Time
	entries        []listEntry // sorted by serial

	mu       sync.Mutex
	signed   *x509.RevocationList        // what the signature is about; nil once it is verified; guarded by mu
	verdicts map[[sha256.Size]byte]error // on the signature, by public key; guarded by mu
}

// A listEntry is one revoked certificate.
type listEntry struct {
	serial serialDigest
	at     uint32 // Unix time, enough until 2106
	reason uint8  // RFC 5280, 5.3.1
}

// serialDigest is half of the SHA-256 of a serial number: of one size, and as good as the number itself.
type serialDigest [sha256.Size / 2]byte

func digestSerial(serial *big.Int) serialDigest {
	sum := sha256.Sum256(serial.Bytes())
	return serialDigest(sum[:])
}

// ParseRevocationLists reads one list in DER form, or every list of a PEM file; source is what errors and warnings
// call them. A list is refused that does not speak for all certificates of its issuer (delta, partitioned and
// indirect lists, critical extensions that we do not know), or that does not say until when it holds. Whose
// signature it bears is checked later, when the issuer is known.
func ParseRevocationLists(source string, data []byte) ([]*RevocationList, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		l, err := newRevocationList(source, data)
		if err != nil {
			return nil, err
		}
		return []*RevocationList{l}, nil
	}
	var lists []*RevocationList
	other := ""
	err := eachBlock(source, data, func(number int, block *pem.Block) error {
		if block.Type != "X509 CRL" {
			other = block.Type
			return nil
		}
		l, err := newRevocationList(source, block.Bytes)
		if err != nil {
			return fmt.Errorf("revocation list in PEM block %d: %w", number, err)
		}
		lists = append(lists, l)
		return nil
	})
	if err == nil && len(lists) == 0 {
		err = fmt.Errorf("a PEM block %q, not a revocation list (X509 CRL)", other)
	}
	if err != nil {
		return nil, err
	}
	return lists, nil
}

func newRevocationList(source string, der []byte) (*RevocationList, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		if inside := derContent(derContent(der)); len(inside) > 0 && inside[0] == 0x30 {
			if _, e := asn1.Unmarshal(der, new(asn1.RawValue)); e == nil {
				return nil, errors.New("not a revocation list of version 2 (RFC 5280, 5.1.2.1); OpenSSL writes one with \"crlnumber\" in its configuration, or -crlexts")
			}
		}
		return nil, fmt.Errorf("not a revocation list: %s", terminal.Printable(err.Error()))
	}
	if extra := len(der) - len(parsed.Raw); extra > 0 {
		return nil, fmt.Errorf("%d bytes follow the revocation list", extra)
	}
	if err := checkScope(parsed); err != nil {
		return nil, err
	}
	l := &RevocationList{
		source:         source,
		issuer:         nameInWords(parsed.Issuer),
		rawIssuer:      bytes.Clone(parsed.RawIssuer),
		authorityKeyID: bytes.Clone(parsed.AuthorityKeyId),
		number:         parsed.Number,
		thisUpdate:     parsed.ThisUpdate,
		nextUpdate:     parsed.NextUpdate,
		entries:        make([]listEntry, 0, len(parsed.RevokedCertificateEntries)),
		signed: &x509.RevocationList{
			RawTBSRevocationList: parsed.RawTBSRevocationList,
			SignatureAlgorithm:   parsed.SignatureAlgorithm,
			Signature:            parsed.Signature,
		},
		verdicts: make(map[[sha256.Size]byte]error),
	}
	for _, e := range parsed.RevokedCertificateEntries {
		entry := listEntry{serial: digestSerial(e.SerialNumber), at: uint32(max(e.RevocationTime.Unix(), 0))}
		if e.ReasonCode > 0 && e.ReasonCode < len(revocationReasons) {
			entry.reason = uint8(e.ReasonCode)
		}
		l.entries = append(l.entries, entry)
	}
	slices.SortFunc(l.entries, func(a, b listEntry) int { return bytes.Compare(a.serial[:], b.serial[:]) })
	return l, nil
}

// Extensions of lists and of their entries (RFC 5280, 5.2 and 5.3).
var (
	oidCRLNumber         = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaIndicator    = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidAuthorityKeyID    = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// checkScope refuses a list that cannot be taken for all that its issuer has revoked.
func checkScope(l *x509.RevocationList) error {
	if l.NextUpdate.IsZero() {
		return errors.New("the list does not say until when it holds (no nextUpdate)")
	}
	for _, e := range l.Extensions {
		switch {
		case e.Id.Equal(oidDeltaIndicator):
			return errors.New("a delta list, which says only what has changed since another one; the complete list is needed")
		case e.Id.Equal(oidDistributionPoint):
			return errors.New("a partitioned list (issuing distribution point), which does not speak for all certificates of its issuer; the complete list is needed")
		case e.Critical && !e.Id.Equal(oidCRLNumber) && !e.Id.Equal(oidAuthorityKeyID):
			return fmt.Errorf("the list has the critical extension %s, which we do not know", e.Id)
		}
	}
	for _, entry := range l.RevokedCertificateEntries {
		if entry.ReasonCode == removeFromCRL {
			return fmt.Errorf("serial %x is to be removed from the list, which only a delta list can say", entry.SerialNumber)
		}
		for _, e := range entry.Extensions {
			switch {
			case e.Id.Equal(oidCertificateIssuer):
				return errors.New("an indirect list, which speaks for certificates of several issuers; a list of the issuer alone is needed")
			case e.Critical && !e.Id.Equal(oidReasonCode) && !e.Id.Equal(oidInvalidityDate):
				return fmt.Errorf("the entry of serial %x has the critical extension %s, which we do not know", entry.SerialNumber, e.Id)
			}
		}
	}
	return nil
}

// find returns what the list says of a serial number.
func (l *RevocationList) find(serial *big.Int) (listEntry, bool) {
	wanted := digestSerial(serial)
	i, found := slices.BinarySearchFunc(l.entries, wanted, func(e listEntry, d serialDigest) int { return bytes.Compare(e.serial[:], d[:]) })
	if !found {
		return listEntry{}, false
	}
	return l.entries[i], true
}

// names reports whether the list says that it is issuer's.
func (l *RevocationList) names(issuer *x509.Certificate) bool {
	return bytes.Equal(l.rawIssuer, issuer.RawSubject) &&
		(len(l.authorityKeyID) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(l.authorityKeyID, issuer.SubjectKeyId))
}

// signedBy checks the signature against issuer: once for each key. What was signed is forgotten when a key fits.
func (l *RevocationList) signedBy(issuer *x509.Certificate) error {
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("the key usage of %s does not let it sign revocation lists", subject(issuer))
	}
	key := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	l.mu.Lock()
	defer l.mu.Unlock()
	if verdict, known := l.verdicts[key]; known {
		return verdict
	}
	err := errors.New("another key has")
	if l.signed != nil {
		err = l.signed.CheckSignatureFrom(issuer)
	}
	if err == nil {
		l.signed = nil
	} else {
		err = fmt.Errorf("revocation list %q is not signed by %s: %s", l.source, subject(issuer), terminal.Printable(err.Error()))
	}
	l.verdicts[key] = err
	return err
}

// proved reports whether an issuer of a verified chain, or a known authority, has signed the list.
func (l *RevocationList) proved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed == nil
}

// unproved is the verdict on a list that nobody has signed of those who were asked.
func (l *RevocationList) unproved() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signed == nil {
		return nil
	}
	for _, verdict := range l.verdicts {
		return verdict
	}
	return nil
}

// compareAge orders lists of one issuer, the newest first: by number, else by date.
func compareAge(a, b *RevocationList) int {
	if a.number != nil && b.number != nil {
		if c := b.number.Cmp(a.number); c != 0 {
			return c
		}
	}
	return cmp.Compare(b.thisUpdate.Unix(), a.thisUpdate.Unix())
}

// String names the list in errors and warnings.
func (l *RevocationList) String() string {
	return fmt.Sprintf("revocation list %q of %s", l.source, l.issuer)
}

// readLists reads the lists of a file; its errors are for "load revocation list PATH: ".
func readLists(path string) ([]*RevocationList, error) {
	data, err := readFileUpTo(path, maxListBytes)
	if err != nil {
		return nil, err
	}
	return ParseRevocationLists(path, data)
}
