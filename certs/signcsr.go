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
		return nil, fmt.Errorf("sign request for %q: %w", nameOfCSR(csr), err)
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
		r.Names = namesOfCSR(csr, r.Client)
	}
	if len(r.Names) == 0 {
		return nil, ErrNoNames
	}
	return a.certify(r, csr.PublicKey)
}

// nameOfCSR is the first name of a request.
func nameOfCSR(csr *x509.CertificateRequest) string {
	if names := namesOfCSR(csr, false); len(names) > 0 {
		return names[0]
	}
	return csr.Subject.CommonName
}

// namesOfCSR are the names of a request as Request.Names has them.
func namesOfCSR(csr *x509.CertificateRequest, client bool) []string {
	var names []string
	prefix := ""
	if client {
		if csr.Subject.CommonName == "" {
			return nil
		}
		names, prefix = append(names, csr.Subject.CommonName), "dns:"
	}
	for _, name := range csr.DNSNames {
		names = append(names, prefix+name)
	}
	for _, ip := range csr.IPAddresses {
		names = append(names, ip.String())
	}
	for _, address := range csr.EmailAddresses {
		names = append(names, "email:"+address)
	}
	for _, uri := range csr.URIs {
		names = append(names, "uri:"+uri.String())
	}
	return names
}
