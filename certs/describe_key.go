package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// KeyDescription says of a private key what its public half tells, and never more.
type KeyDescription struct {
	Type        string      `json:"type,omitempty"` // and size; empty if it could not be opened
	Pin         string      `json:"pin,omitempty"`
	Encryption  *Encryption `json:"encryption,omitempty"`  // nil: it is not encrypted
	Certificate int         `json:"certificate,omitempty"` // of the file, counted from 1, to which it belongs; 0: none
	Problems    []Problem   `json:"problems,omitempty"`
}

// addKey reads a key in DER form; block is what it came in, nil outside of PEM.
func (r *describing) addKey(der []byte, block *pem.Block) error {
	var d KeyDescription
	var open opener
	var key crypto.Signer
	var err error
	switch {
	case block != nil && block.Headers["DEK-Info"] != "":
		d.Encryption, open = pemEncryption(block.Headers["DEK-Info"]), sealedPEM(block)
	case block == nil || block.Type == "ENCRYPTED PRIVATE KEY":
		d.Encryption = pkcs8Encryption(der)
		open, _ = sealedPKCS8(der) // nil for what is too old, or damaged: it stays closed
	}
	if d.Encryption == nil {
		key, err = parseKey(der)
	} else {
		d.Problems = d.Encryption.problems()
		key, err = r.open(open)
	}
	if err != nil {
		return err
	}
	if key == nil {
		r.Keys, r.publicKeys = append(r.Keys, d), append(r.publicKeys, nil)
		return nil
	}
	return r.addOpenKey(d, key)
}

// addOpenKey adds what the public half of a key tells.
func (r *describing) addOpenKey(d KeyDescription, key crypto.Signer) error {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	d.Type, d.Pin = keyInWords(key.Public()), pinOf(public)
	if text := weakKey(key.Public()); text != "" {
		d.Problems = append(d.Problems, Problem{"weak-key", text})
	}
	r.Keys, r.publicKeys = append(r.Keys, d), append(r.publicKeys, public)
	return nil
}

// open opens an encrypted key if there is a passphrase; nil, nil means that it stays closed.
func (r *describing) open(open opener) (crypto.Signer, error) {
	if open == nil || r.Passphrase == nil || len(r.Keys) >= maxSealedKeys {
		return nil, nil
	}
	if r.passphrase == nil {
		passphrase, err := r.Passphrase(r.name)
		if errors.Is(err, ErrPassphraseNeeded) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		r.passphrase = passphrase
	}
	return open(r.passphrase)
}

// findCertificate looks for the certificate that the key belongs to, among those of its file.
func (d *KeyDescription) findCertificate(public []byte, certificates []*x509.Certificate) {
	if public == nil || len(certificates) == 0 {
		return
	}
	for i, c := range certificates {
		if bytes.Equal(c.RawSubjectPublicKeyInfo, public) {
			d.Certificate = i + 1
			break
		}
	}
	switch {
	case d.Certificate == 0:
		d.Problems = append(d.Problems, Problem{"key-mismatch", "it does not belong to the first certificate of the file, nor to another one there"})
	case d.Certificate > 1:
		d.Problems = append(d.Problems, Problem{"key-mismatch", fmt.Sprintf("it does not belong to the first certificate of the file but to number %d", d.Certificate)})
	}
}

// String says it in words.
func (d KeyDescription) String() string {
	var w words
	switch {
	case d.Encryption == nil:
		w.line("private key", "%s", d.Type)
	case d.Type == "":
		w.line("private key", "encrypted: %s", d.Encryption)
	default:
		w.line("private key", "%s, encrypted: %s", d.Type, d.Encryption)
	}
	if d.Pin != "" {
		w.line("pin", "%s", d.Pin)
	}
	w.problems(d.Problems)
	return w.String()
}
