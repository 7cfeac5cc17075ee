package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tcps/internal/terminal"
)

// Description says what a file holds and what is wrong with it: String in words, encoding/json for programs, both
// from the same fields. Their text is safe to print on a terminal, whoever wrote it; nothing in it is secret. A kind of
// thing that the file does not hold is left out of the JSON form, whose names stay as they are.
type Description struct {
	File            string                      `json:"file"`
	Format          string                      `json:"format"`               // PEM, DER or PKCS#12
	Encryption      *Encryption                 `json:"encryption,omitempty"` // of a PKCS#12 file
	Closed          bool                        `json:"closed,omitempty"`     // it is PKCS#12, and no passphrase is given: what it holds is not seen
	Certificates    []CertificateDescription    `json:"certificates,omitempty"`
	Chain           *ChainDescription           `json:"chain,omitempty"` // nil: no certificate of a server or client is there
	Keys            []KeyDescription            `json:"keys,omitempty"`
	Requests        []RequestDescription        `json:"requests,omitempty"`
	RevocationLists []RevocationListDescription `json:"revocation_lists,omitempty"`
	Problems        []Problem                   `json:"problems,omitempty"` // of the file as such

	others []string // types of PEM blocks that are nothing of this
}

// DescribeOptions says what a file is judged by. The zero value knows the system's authorities and no passphrase.
type DescribeOptions struct {
	Passphrase  Passphrase          // opens encrypted keys; nil, or ErrPassphraseNeeded: they are described as encrypted
	Roots       *x509.CertPool      // that a chain has to reach; nil: the system's
	Authorities []*x509.Certificate // that may have signed a revocation list, beside those in its file
	Now         time.Time           // zero: the present
}

// Problem is one thing that is wrong: a word that stays as it is, and a sentence.
type Problem struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// DescribeFile describes all that a PEM, DER or PKCS#12 file holds: certificates, private keys, signing requests and
// revocation lists. A file that holds nothing of these is an error that says what it is. A passphrase that does not open a key
// is ErrWrongPassphrase.
func DescribeFile(path string, o DescribeOptions) (*Description, error) {
	data, err := readFileUpTo(path, maxListBytes)
	if err != nil {
		return nil, fmt.Errorf("describe %q: %w", path, err)
	}
	return describeData(path, data, o)
}

// DescribeReader describes what r holds, as DescribeFile does; name is for errors and for the description.
func DescribeReader(name string, r io.Reader, o DescribeOptions) (*Description, error) {
	data, err := readUpTo(r, maxListBytes)
	if err != nil {
		return nil, fmt.Errorf("describe %q: %w", name, err)
	}
	return describeData(name, data, o)
}

func describeData(name string, data []byte, o DescribeOptions) (*Description, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r := describing{DescribeOptions: o, name: name, Description: &Description{File: terminal.Printable(name), Format: "PEM"}}
	err := r.read(data)
	if err == nil {
		r.judge()
	}
	if err == nil && r.isEmpty() {
		err = fmt.Errorf("the file holds %s", holdsInstead(name, &contents{others: r.others}))
	}
	if err != nil {
		return nil, fmt.Errorf("describe %q: %w", name, err)
	}
	return r.Description, nil
}

// String says all of it in words, a line each, with an empty line between the things that the file holds.
func (d *Description) String() string {
	var parts []string
	if d.Format == formatPKCS12 {
		parts = append(parts, d.pkcs12InWords())
	}
	for _, c := range d.Certificates {
		parts = append(parts, c.String())
	}
	if d.Chain != nil && d.Chain.worthSaying() {
		parts = append(parts, d.Chain.String())
	}
	for _, k := range d.Keys {
		parts = append(parts, k.String())
	}
	for _, r := range d.Requests {
		parts = append(parts, r.String())
	}
	for _, l := range d.RevocationLists {
		parts = append(parts, l.String())
	}
	return strings.Join(parts, "\n")
}

func (d *Description) isEmpty() bool {
	return !d.Closed && len(d.Certificates)+len(d.Keys)+len(d.Requests)+len(d.RevocationLists) == 0
}

// describing is a description in the making, with what was parsed for it.
type describing struct {
	*Description
	DescribeOptions

	name         string
	passphrase   []byte // once it was asked for
	certificates []*x509.Certificate
	publicKeys   [][]byte // SubjectPublicKeyInfo, parallel to Keys; nil if encrypted
	lists        []*x509.RevocationList
}

// read takes PEM, PKCS#12, or one thing in DER form.
func (r *describing) read(data []byte) error {
	if isPKCS12(data) {
		return r.addPKCS12(data)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return eachBlock(r.name, data, r.addBlock)
	}
	r.Format = "DER"
	if certificates, err := x509.ParseCertificates(data); err == nil {
		for _, c := range certificates {
			r.addCertificate(c)
		}
		return nil
	}
	if _, err := parseKey(data); err == nil || pkcs8Encryption(data) != nil {
		return r.addKey(data, nil)
	}
	if request, err := x509.ParseCertificateRequest(data); err == nil {
		r.addRequest(request)
		return nil
	}
	if list, err := x509.ParseRevocationList(data); err == nil {
		r.lists = append(r.lists, list)
		return nil
	}
	return errors.New(notPEM(r.name, data))
}

func (r *describing) addBlock(number int, block *pem.Block) error {
	what, err := "", error(nil)
	switch block.Type {
	case "CERTIFICATE":
		what = "certificate"
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			r.addCertificate(c)
		}
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		if err := r.addKey(block.Bytes, block); err != nil {
			return fmt.Errorf("private key in PEM block %d: %w", number, err)
		}
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		what = "signing request (CSR)"
		var request *x509.CertificateRequest
		if request, err = x509.ParseCertificateRequest(block.Bytes); err == nil {
			r.addRequest(request)
		}
	case "X509 CRL":
		what = "revocation list (CRL)"
		var list *x509.RevocationList
		if list, err = x509.ParseRevocationList(block.Bytes); err == nil {
			r.lists = append(r.lists, list)
		}
	case "EC PARAMETERS", "DH PARAMETERS":
	default:
		r.others = append(r.others, block.Type)
	}
	if err != nil {
		return fmt.Errorf("%s in PEM block %d is damaged: %s", what, number, terminal.Printable(err.Error()))
	}
	return nil
}

func (r *describing) addCertificate(c *x509.Certificate) {
	r.certificates = append(r.certificates, c)
	r.Certificates = append(r.Certificates, DescribeCertificate(c, r.Now))
}

func (r *describing) addRequest(request *x509.CertificateRequest) {
	r.Requests = append(r.Requests, describeRequest(request))
}

// judge adds what can only be said of the things together.
func (r *describing) judge() {
	r.Chain = describeChain(r.certificates, r.Roots, r.Now)
	for i := range r.Keys {
		r.Keys[i].findCertificate(r.publicKeys[i], r.certificates)
	}
	authorities := slices.Concat(r.certificates, r.Authorities)
	for _, list := range r.lists {
		r.RevocationLists = append(r.RevocationLists, describeRevocationList(list, authorities, r.Now))
	}
}

// words collects lines of a label and what it says.
type words struct{ strings.Builder }

func (w *words) line(label, format string, args ...any) {
	fmt.Fprintf(w, "%-13s %s\n", label+":", fmt.Sprintf(format, args...))
}

func (w *words) problems(problems []Problem) {
	for _, p := range problems {
		w.line("problem", "%s", p.Text)
	}
}
