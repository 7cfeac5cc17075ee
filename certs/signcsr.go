package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ErrNoNames is the cause when a signing request has no alternative name (SAN), and none is given beside it.
var ErrNoNames = errors.New("it has no alternative name (SAN), and none is given")

// ReadCSR reads a certificate signing request from a PEM or DER file.
func ReadCSR(path string) (*x509.CertificateRequest, error) {
	csr, err := readCSR(path)
	if err != nil {
		return nil, fmt.Errorf("read request %q: %w", path, err)
	}
	return csr, nil
}

func readCSR(path string) (*x509.CertificateRequest, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if csr, err := x509.ParseCertificateRequest(data); err == nil {
		return csr, nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
			return x509.ParseCertificateRequest(block.Bytes)
		}
	}
	return nil, errors.New("the file holds no signing request (CSR)")
}

// SignCSR signs the key of a certificate signing request (PKCS#10, RFC 2986). The names are those of r, or where it has
// none, those of the request; they are checked as Issue does. What else the request asks for is not heeded.
func (a *Authority) SignCSR(csr *x509.CertificateRequest, r Request) (*Issued, error) {
	issued, err := a.signCSR(csr, r)
	if err != nil {
		return nil, fmt.Errorf("sign request for %q: %w", firstNameIn(csr), err)
	}
	return issued, nil
}

func (a *Authority) signCSR(csr *x509.CertificateRequest, r Request) (*Issued, error) {
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature does not fit its key: %w", err)
	}
	if why := weakKey(csr.PublicKey); why != "" {
		return nil, errors.New(why)
	}
	if len(r.Names) == 0 {
		r.Names = alternativesIn(csr).asRequested(csr.Subject.CommonName, r.Client)
	}
	if len(r.Names) == 0 {
		return nil, ErrNoNames
	}
	return a.certify(r, csr.PublicKey)
}
