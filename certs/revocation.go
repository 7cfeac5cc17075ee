package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"
)

// RevocationOptions says what a Revocation knows.
type RevocationOptions struct {
	// Files are revocation lists, PEM (several in one file, if need be) or DER.
	Files []string

	// Lists are revocation lists in memory, and Fetched are those of a fetcher, as of now.
	Lists   []*RevocationList
	Fetched *CRLFetcher

	// Revoked are certificates that are revoked without any list: what the local authority has revoked.
	Revoked []RevokedCertificate

	// Authorities are files and folders, as LoadPool takes them. A list in the name of one of these authorities that it
	// has not signed is an error of LoadRevocation; the signatures of others are checked when their issuer is seen.
	Authorities []string

	// AcceptMissing lets certificates pass of whose issuer there is no list. Without Files, Lists and Fetched that is
	// so by itself.
	AcceptMissing bool

	// AcceptStale lets lists count that should have been replaced by now. Warnings tells of them.
	AcceptStale bool
}

// Revocation answers whether a certificate was revoked. It never changes; to follow files, load another. It may be
// used by many goroutines at once.
type Revocation struct {
	lists         map[string][]*RevocationList      // by the raw name of the issuer, the newest first
	revoked       map[revokedKey]RevokedCertificate // nil: none
	acceptMissing bool
	acceptStale   bool
}

// revokedKey is a certificate by its issuer's key and its serial number.
type revokedKey struct{ issuerKeyID, serial string }

// LoadRevocation reads the lists. A list that is damaged, that does not speak for all certificates of its issuer, or
// that a known authority should have signed and has not, is an error; one that has expired or is not valid yet is not:
// Warnings has a sentence about it, and Check minds the time.
func LoadRevocation(o RevocationOptions) (*Revocation, error) {
	r := &Revocation{
		lists:         make(map[string][]*RevocationList),
		revoked:       make(map[revokedKey]RevokedCertificate, len(o.Revoked)),
		acceptMissing: o.AcceptMissing || len(o.Files)+len(o.Lists) == 0 && o.Fetched == nil,
		acceptStale:   o.AcceptStale,
	}
	for _, c := range o.Revoked {
		if c.Serial == nil || len(c.IssuerKeyID) == 0 {
			return nil, errors.New("load revoked certificates: an entry has no serial number or no issuer")
		}
		r.revoked[keyOfRevoked(c.IssuerKeyID, c.Serial)] = c
	}
	authorities, err := listSigners(o.Authorities)
	if err != nil {
		return nil, err
	}
	lists := slices.Clone(o.Lists)
	for _, path := range o.Files {
		found, err := readLists(path)
		if err != nil {
			return nil, fmt.Errorf("load revocation list %q: %w", path, err)
		}
		lists = append(lists, found...)
	}
	for _, l := range lists {
		if err := l.checkAgainst(authorities); err != nil {
			return nil, fmt.Errorf("load revocation list: %w", err)
		}
	}
	if o.Fetched != nil {
		for _, l := range o.Fetched.Lists() {
			_ = l.checkAgainst(authorities) // the fetcher has; what it kept on disk must not keep a server from starting
			lists = append(lists, l)
		}
	}
	for _, l := range lists {
		r.lists[string(l.rawIssuer)] = append(r.lists[string(l.rawIssuer)], l)
	}
	for _, ofOne := range r.lists {
		slices.SortStableFunc(ofOne, compareAge)
	}
	return r, nil
}

// Revoking returns a Revocation that knows of more certificates that are revoked without any list, entries as
// ReadRevoked returns them. r stays as it is.
func (r *Revocation) Revoking(more []RevokedCertificate) *Revocation {
	grown := *r
	grown.revoked = make(map[revokedKey]RevokedCertificate, len(r.revoked)+len(more))
	maps.Copy(grown.revoked, r.revoked)
	for _, c := range more {
		grown.revoked[keyOfRevoked(c.IssuerKeyID, c.Serial)] = c
	}
	return &grown
}

// listSigners reads the certificates that may have signed lists.
func listSigners(paths []string) ([]*x509.Certificate, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	authorities, _, err := LoadAuthorities(paths...)
	return authorities, err
}

// checkAgainst is an error if the list bears the name of known authorities, and none of them has signed it.
func (l *RevocationList) checkAgainst(authorities []*x509.Certificate) error {
	var refusal error
	for _, a := range authorities {
		if !l.names(a) {
			continue
		}
		err := l.signedBy(a)
		if err == nil {
			return nil
		}
		refusal = err
	}
	return refusal
}

func keyOfRevoked(issuerKeyID []byte, serial *big.Int) revokedKey {
	return revokedKey{string(issuerKeyID), string(serial.Bytes())}
}

// Check judges a peer by the chains that were verified for it, each from its leaf to its root: the VerifiedChains of
// crypto/tls. It is good if every certificate of one chain but the root is vouched for: by a list of its issuer
// that is current now and does not name it. Other chains do not help a leaf that its issuer has revoked. An error is a
// *RevocationError.
func (r *Revocation) Check(chains [][]*x509.Certificate) error {
	return judgeChains(chains, r.checkChain)
}

// judgeChains lets a peer pass if one of its chains does, and its leaf is not revoked.
func judgeChains(chains [][]*x509.Certificate, check func(chain []*x509.Certificate) *RevocationError) error {
	var refusal *RevocationError
	good := false
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		err := check(chain)
		switch {
		case err == nil:
			good = true
		case err.Revoked != nil && err.Certificate == chain[0]:
			return err
		case refusal == nil:
			refusal = err
		}
	}
	switch {
	case good:
		return nil
	case refusal == nil:
		return &RevocationError{Err: errors.New("no authority vouches for it")}
	}
	return refusal
}

func (r *Revocation) checkChain(chain []*x509.Certificate) *RevocationError {
	now := time.Now()
	for i, c := range chain[:len(chain)-1] { // the root is trusted, whoever says what
		if revoked, err := r.look(c, chain[i+1], now); revoked != nil || err != nil {
			return &RevocationError{Leaf: chain[0], Certificate: c, Revoked: revoked, Err: err}
		}
	}
	return nil
}

// look finds out about one certificate. The error says why that is not known.
func (r *Revocation) look(c, issuer *x509.Certificate, now time.Time) (*RevokedCertificate, error) {
	if revoked, ok := r.revoked[keyOfRevoked(keyIDOf(issuer), c.SerialNumber)]; ok {
		return &revoked, nil
	}
	list, err := r.listOf(issuer, now)
	if list == nil {
		return nil, err
	}
	if entry, ok := list.find(c.SerialNumber); ok {
		return &RevokedCertificate{
			IssuerKeyID: issuer.SubjectKeyId, Serial: c.SerialNumber,
			At: time.Unix(int64(entry.at), 0), Reason: int(entry.reason),
		}, nil
	}
	return nil, err
}

// listOf is the newest list that issuer has signed, with an error if it is stale. It is nil without an error if there
// is none and need not be.
func (r *Revocation) listOf(issuer *x509.Certificate, now time.Time) (*RevocationList, error) {
	var why error
	for _, l := range r.lists[string(issuer.RawSubject)] {
		if !l.names(issuer) {
			continue
		}
		err := l.signedBy(issuer)
		if err == nil {
			if err = l.begun(now); err == nil {
				return l, r.current(l, now)
			}
		}
		if why == nil {
			why = err
		}
	}
	if why == nil && !r.acceptMissing {
		why = fmt.Errorf("there is no revocation list of its issuer %s", subject(issuer))
	}
	return nil, why
}

func (l *RevocationList) begun(now time.Time) error {
	if l.thisUpdate.After(now.Add(clockSkew)) {
		return fmt.Errorf("%s is not valid yet: it begins %s", l, moment(l.thisUpdate, now))
	}
	return nil
}

func (r *Revocation) current(l *RevocationList, now time.Time) error {
	if now.After(l.nextUpdate) && !r.acceptStale {
		return fmt.Errorf("%s expired %s", l, moment(l.nextUpdate, now))
	}
	return nil
}

// Warnings returns a sentence for each list that is expired, not valid yet, or found not to be signed by its issuer, as
// of now, unless a newer one of the same issuer is there.
func (r *Revocation) Warnings() []string {
	now := time.Now()
	var warnings []string
	for _, ofOne := range r.lists {
		seen := make(map[string]bool)
		for _, l := range ofOne {
			if seen[string(l.authorityKeyID)] {
				continue
			}
			err := l.begun(now)
			if err == nil {
				err = l.unproved()
			}
			if err != nil {
				warnings = append(warnings, err.Error())
				continue
			}
			seen[string(l.authorityKeyID)] = true
			if now.After(l.nextUpdate) {
				effect := "certificates of that issuer are refused"
				if r.acceptStale {
					effect = "what was revoked since then is not known"
				}
				warnings = append(warnings, fmt.Sprintf("%s expired %s: %s", l, moment(l.nextUpdate, now), effect))
			}
		}
	}
	slices.Sort(warnings)
	return warnings
}

// RevocationError says why a peer is refused: one of its certificates was revoked, or nothing says that it was not.
type RevocationError struct {
	Leaf        *x509.Certificate   // of the peer; nil: it has no verified chain
	Certificate *x509.Certificate   // the one that is refused, an authority's perhaps; nil as Leaf
	Revoked     *RevokedCertificate // when it was revoked, and why; nil: it is not known to be
	Err         error               // why it is not known; nil: it was revoked
}

// Error is one line that is safe to print.
func (e *RevocationError) Error() string {
	switch {
	case e.Certificate == nil:
		return fmt.Sprintf("the certificate may have been revoked: %v", e.Err)
	case e.Revoked == nil:
		return fmt.Sprintf("certificate %s (serial %x) may have been revoked: %v", subject(e.Certificate), e.Certificate.SerialNumber, e.Err)
	}
	return fmt.Sprintf("certificate %s (serial %x) was revoked by %s %s: %s", subject(e.Certificate), e.Certificate.SerialNumber,
		issuer(e.Certificate), moment(e.Revoked.At, time.Now()), reasonInWords(e.Revoked.Reason))
}

func (e *RevocationError) Unwrap() error { return e.Err }
