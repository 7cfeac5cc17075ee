package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"software.sslmate.com/src/go-pkcs12"

	"tcps/internal/terminal"
)

// This file reads and writes PKCS#12 (RFC 7292), the form in which Windows, Java and OpenSSL keep a key and its
// certificates in one file under one passphrase. Limitation: what the file asks for inside of an encrypted part is only
// seen by go-pkcs12, after the passphrase; no program puts a key there.

// isPKCS12 tells whether data is PKCS#12: PFX ::= SEQUENCE { version INTEGER (3), authSafe SEQUENCE … (RFC 7292, 4).
func isPKCS12(data []byte) bool {
	return data[0] == 0x30 && bytes.HasPrefix(derContent(data), []byte{0x02, 0x01, 0x03, 0x30})
}

// readPKCS12 opens a PKCS#12 file. It asks for the passphrase unless that is empty.
func readPKCS12(path string, data []byte, ask Passphrase) (*contents, error) {
	if err := surveyPKCS12(data); err != nil {
		return nil, fmt.Errorf("PKCS#12: %w", err)
	}
	c, err := decodePKCS12(path, data, "")
	if !errors.Is(err, ErrWrongPassphrase) {
		return c, err
	}
	if ask == nil {
		return nil, ErrPassphraseNeeded
	}
	passphrase, err := ask(path)
	if err != nil {
		return nil, err
	}
	return decodePKCS12(path, data, string(passphrase))
}

func decodePKCS12(path string, data []byte, passphrase string) (*contents, error) {
	key, first, others, err := pkcs12.DecodeChain(data, passphrase)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, ErrWrongPassphrase
	}
	if err != nil {
		if trusted, err := pkcs12.DecodeTrustStore(data, passphrase); err == nil && len(trusted) > 0 {
			return &contents{certificates: trusted}, nil
		}
		return nil, unreadablePKCS12(path, err)
	}
	signer, err := signerOf(key)
	if err != nil {
		return nil, err
	}
	c := &contents{keys: []crypto.Signer{signer}}
	c.certificates, c.chain = inOrder(signer, append([]*x509.Certificate{first}, others...))
	return c, nil
}

// unreadablePKCS12 says what go-pkcs12 cannot do with a file, and what can.
func unreadablePKCS12(path string, err error) error {
	return fmt.Errorf("PKCS#12 in a form that tcps does not read (%s); convert it: openssl pkcs12 -in %s -noenc -out %s",
		terminal.Printable(err.Error()), terminal.ShellWord(path), terminal.ShellWord(path+".pem"))
}

// inOrder puts the certificate of key first and after it the chain, each by the issuer of the one before. What does not
// belong to it comes last; chain is how many do.
func inOrder(key crypto.Signer, certificates []*x509.Certificate) (ordered []*x509.Certificate, chain int) {
	left := append([]*x509.Certificate(nil), certificates...)
	take := func(wanted func(*x509.Certificate) bool) bool {
		for i, c := range left {
			if wanted(c) {
				ordered, left = append(ordered, c), append(left[:i], left[i+1:]...)
				return true
			}
		}
		return false
	}
	for found := take(func(c *x509.Certificate) bool { return samePublicKey(key, c) }); found; {
		last := ordered[len(ordered)-1]
		found = take(func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil
		})
	}
	return append(ordered, left...), len(ordered)
}

// A survey is what a PKCS#12 file shows of itself without its passphrase.
type survey struct {
	rounds int64 // of all derivations
	keys   int
}

// maxDepth bounds how deep a PKCS#12 file is nested: a real one has 15 levels, and its certificates 10.
const maxDepth = 64

var oidShroudedKeyBag = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}

// surveyPKCS12 refuses a file that asks for more work than anybody means, or that holds several keys.
func surveyPKCS12(data []byte) error {
	var s survey
	if err := s.walk(data, 0); err != nil {
		return err
	}
	if s.keys > 1 {
		return fmt.Errorf("it holds %d private keys; take one out of it: keytool -importkeystore -srcalias NAME, or openssl pkcs12", s.keys)
	}
	return nil
}

// walk looks at all that is not encrypted. In PKCS#12 an INTEGER that follows an OCTET STRING is always a number of
// rounds behind its salt: of the MAC, of PBES1 and of PBKDF2.
func (s *survey) walk(der []byte, depth int) error {
	if depth > maxDepth {
		return errors.New("it is nested too deep")
	}
	afterSalt := false
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return nil // go-pkcs12 says what is wrong
		}
		universal := v.Class == asn1.ClassUniversal
		switch {
		case v.IsCompound, universal && v.Tag == asn1.TagOctetString && isSequence(v.Bytes):
			err = s.walk(v.Bytes, depth+1)
		case universal && v.Tag == asn1.TagInteger && afterSalt:
			err = s.addRounds(new(big.Int).SetBytes(v.Bytes))
		case universal && v.Tag == asn1.TagOID:
			if encoded, _ := asn1.Marshal(oidShroudedKeyBag); bytes.Equal(v.FullBytes, encoded) {
				s.keys++
			}
		}
		if err != nil {
			return err
		}
		afterSalt = universal && v.Tag == asn1.TagOctetString
		der = rest
	}
	return nil
}

func (s *survey) addRounds(n *big.Int) error {
	if !n.IsInt64() || n.Int64() > maxRounds || s.rounds+n.Int64() > maxRounds {
		return tooMuchWork("more rounds of its key derivation", maxRounds)
	}
	s.rounds += n.Int64()
	return nil
}

// exportRounds is how many rounds ExportPKCS12 asks for, in each of three derivations. It is less than for our own
// files because .NET takes 600,000 in all.
const exportRounds = 100_000

// PKCS12Options says how ExportPKCS12 writes.
type PKCS12Options struct {
	Passphrase []byte // of the new file; must not be empty
	Legacy     bool   // TripleDES and SHA-1, for Windows before 2019 and Java before 12: weak, so guard the file
	Force      bool   // replace a file that is there; else that is fs.ErrExist
}

// ExportPKCS12 writes the certificate, the chain and the private key of p into one PKCS#12 file at path, readable by
// the user alone: AES-256 and SHA-256, which OpenSSL 1.1.1, Java 12, Windows Server 2019 and what is newer read.
func ExportPKCS12(p Pair, path string, o PKCS12Options) error {
	data, err := p.pkcs12(o)
	if err == nil {
		err = writeFiles([]file{{path, data, 0o600, nil}}, o.Force)
	}
	if err != nil {
		return fmt.Errorf("export certificate %q: %w", p.Cert, err)
	}
	return nil
}

func (p Pair) pkcs12(o PKCS12Options) ([]byte, error) {
	if len(o.Passphrase) == 0 {
		return nil, errors.New("the passphrase for the new file is empty")
	}
	chain, key, err := p.load()
	if err != nil {
		return nil, err
	}
	encoder := pkcs12.Modern2023.WithIterations(exportRounds)
	if o.Legacy {
		encoder = pkcs12.LegacyDES
	}
	return encoder.Encode(key, chain[0], chain[1:], string(o.Passphrase))
}
