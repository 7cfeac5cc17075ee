package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
)

// CSR is a certificate signing request (PKCS#10): what another authority makes a certificate of.
type CSR struct {
	RequestPEM []byte
	KeyPEM     []byte // PKCS#8, of a key that was made for it; nil if the caller has the key

	fileName string // what Write calls the files
}

// The extended key usages that a request asks for (RFC 5280, 4.2.1.12).
var (
	oidServerAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// NewCSR asks for a certificate for the names of r, and for the use that it says; how long it lasts is the authority's
// to say. Any name that a certificate can carry will do. A nil key means that one of r.KeyType is made.
func NewCSR(r Request, key crypto.Signer) (*CSR, error) {
	csr, err := newCSR(r, key)
	if err != nil {
		return nil, fmt.Errorf("request certificate for %s: %w", r.firstName(), err)
	}
	return csr, nil
}

func newCSR(r Request, key crypto.Signer) (*CSR, error) {
	template, err := requestTemplate(r)
	if err != nil {
		return nil, err
	}
	csr := &CSR{fileName: r.Names[0]}
	if key == nil {
		if key, err = r.KeyType.generate(); err != nil {
			return nil, err
		}
		if csr.KeyPEM, err = encodeKey(key); err != nil {
			return nil, err
		}
	} else if why := weakKey(key.Public()); why != "" {
		return nil, errors.New(why)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	csr.RequestPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return csr, nil
}

func requestTemplate(r Request) (*x509.CertificateRequest, error) {
	if len(r.Names) == 0 {
		return nil, errors.New("at least one name is needed")
	}
	t, usage := &x509.CertificateRequest{}, oidServerAuth
	names, parse := r.Names, parseServerName
	if r.Client {
		if err := checkCommonName(names[0]); err != nil {
			return nil, err
		}
		t.Subject.CommonName, usage = names[0], oidClientAuth
		names, parse = names[1:], parseClientName
	}
	for _, s := range names {
		n, err := parse(s)
		if err != nil {
			return nil, err
		}
		n.addTo(&t.DNSNames, &t.IPAddresses, &t.EmailAddresses, &t.URIs)
		if t.Subject.CommonName == "" && n.kind == dnsName && len(n.text) <= 64 {
			t.Subject.CommonName = n.text
		}
	}
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{usage})
	t.ExtraExtensions = []pkix.Extension{{Id: oidExtKeyUsage, Value: value}}
	return t, err
}

// Write writes the request to NAME.csr in dir, which is made (0700) if it is missing, and its key, if one was made for
// it, to NAME.key; keyPath is empty if none was. Both are written or neither. Without force, a file that is there
// already is an error (fs.ErrExist) that names it.
func (r *CSR) Write(dir string, force bool) (requestPath, keyPath string, err error) {
	return writeWithKey(file{filepath.Join(dir, safeFileName(r.fileName)+".csr"), r.RequestPEM, 0o644, nil}, r.KeyPEM, force)
}

// LoadKey reads a private key from a file: PEM or DER, encrypted perhaps, or PKCS#12. ask is for its passphrase; nil:
// an encrypted key is ErrPassphraseNeeded.
func LoadKey(path string, ask Passphrase) (crypto.Signer, error) {
	key, err := loadKey(path, ask)
	if err != nil {
		return nil, fmt.Errorf("load key %q: %w", path, err)
	}
	return key, nil
}

func loadKey(path string, ask Passphrase) (crypto.Signer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	found, err := readAny(path, data, ask)
	switch {
	case err != nil:
		return nil, err
	case len(found.keys) == 0:
		return nil, fmt.Errorf("the file holds %s", holdsNoKey(path, found))
	case len(found.keys) > 1:
		return nil, fmt.Errorf("the file holds %d private keys, not one", len(found.keys))
	}
	return found.keys[0], nil
}
