package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"tcps/internal/terminal"
)

// ChainDescription says how the certificates of a file hang together. They are counted from 1, as they are in the file.
type ChainDescription struct {
	Path     []int     `json:"path"`              // from the server's or client's own to the last whose issuer was found
	Complete bool      `json:"complete"`          // it reaches a root, which is in the file or known here
	Missing  string    `json:"missing,omitempty"` // whose certificate comes next, if it does not
	Problems []Problem `json:"problems,omitempty"`

	count int    // of certificates in the file
	end   string // the subject of the last in Path
}

// describeChain is nil where nothing is to be chained: no certificate, or authorities only.
func describeChain(certificates []*x509.Certificate, roots *x509.CertPool, now time.Time) *ChainDescription {
	leaf := 0
	for leaf < len(certificates) && certificates[leaf].IsCA {
		leaf++
	}
	if leaf == len(certificates) {
		return nil
	}
	return describeChainFrom(leaf, certificates, roots, now)
}

// describeChainFrom follows the issuers of one of the certificates.
func describeChainFrom(leaf int, certificates []*x509.Certificate, roots *x509.CertPool, now time.Time) *ChainDescription {
	d := &ChainDescription{count: len(certificates)}
	path := pathFrom(leaf, certificates)
	for _, i := range path {
		d.Path = append(d.Path, i+1)
	}
	d.judgeOrder(path, certificates)
	last := certificates[path[len(path)-1]]
	d.end = subject(last)
	d.Complete = isSelfSigned(last) || isIssuedBy(last, roots, now)
	if d.Complete {
		return d
	}
	d.Missing = nameInWords(last.Issuer)
	if urls := last.IssuingCertificateURL; len(urls) > 0 { // who says where its issuer is to be had is below an intermediate: roots are not fetched
		d.add("chain-incomplete", "the chain is incomplete: the certificate of %s is missing; it can be had at %s", d.Missing, terminal.Printable(urls[0]))
	}
	return d
}

func (d *ChainDescription) add(code, format string, args ...any) {
	d.Problems = append(d.Problems, Problem{code, fmt.Sprintf(format, args...)})
}

// judgeOrder wants each certificate to be the issuer of the one before it (RFC 8446, 4.4.2 lets the order be another
// one, TLS 1.2 does not).
func (d *ChainDescription) judgeOrder(path []int, certificates []*x509.Certificate) {
	used := make(map[int]bool)
	ordered := true
	for n, i := range path {
		used[i] = true
		ordered = ordered && n == i
	}
	if !ordered {
		var numbers []string
		for _, n := range d.Path {
			numbers = append(numbers, fmt.Sprint(n))
		}
		d.add("chain-order", "the chain is in the wrong order: its certificates have to follow each other as %s", strings.Join(numbers, ", "))
	}
	for i, c := range certificates {
		if !used[i] {
			d.add("chain-stray", "certificate %d (%s) is no part of the chain", i+1, subject(c))
		}
	}
}

func (d *ChainDescription) worthSaying() bool { return d.count > 1 || len(d.Problems) > 0 }

// String says it in words.
func (d *ChainDescription) String() string {
	var w words
	if d.Complete {
		w.line("chain", "complete, from certificate %d up to %s", d.Path[0], d.end)
	} else {
		w.line("chain", "ends with %s; clients need to have the certificate of %s", d.end, d.Missing)
	}
	w.problems(d.Problems)
	return w.String()
}

// maxPathChecks bounds the signatures that pathFrom looks at: a server may present thousands of certificates of one
// name. crypto/x509 has a bound of that kind too.
const maxPathChecks = 100

// pathFrom follows the issuers of a certificate as far as they are among the others, and returns their places.
func pathFrom(first int, certificates []*x509.Certificate) []int {
	path := []int{first}
	used := map[int]bool{first: true}
	checks := 0
	for {
		current, next := certificates[path[len(path)-1]], -1
		for i, c := range certificates {
			if used[i] || !bytes.Equal(current.RawIssuer, c.RawSubject) {
				continue
			}
			if checks++; checks > maxPathChecks {
				return path
			}
			if current.CheckSignatureFrom(c) == nil {
				next = i
				break
			}
		}
		if next < 0 || isSelfSigned(current) {
			return path
		}
		path = append(path, next)
		used[next] = true
	}
}

// isIssuedBy tells whether a root of the pool issued c, whatever c may be used for and whether it is still valid.
func isIssuedBy(c *x509.Certificate, roots *x509.CertPool, now time.Time) bool {
	if now.After(c.NotAfter) || now.Before(c.NotBefore) {
		now = c.NotAfter.Add(-time.Second)
	}
	_, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil || isOfTime(err)
}

// isOfTime tells whether crypto/x509 found a way to a root, but no moment counts at which all of it is valid.
func isOfTime(err error) bool {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && invalid.Reason == x509.Expired
}
