package certs

import (
	"crypto"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/youmark/pkcs8"
)

// This file opens private keys that a passphrase protects: PKCS#8 with PBES2 (RFC 8018, 6.2), and the older PEM form
// whose headers name the cipher (RFC 1421, 4.6.1.3). It writes the first of them. What a file asks of this machine is
// judged before it is done. The schemes' parameters are read here and not by pkcs8: that takes a key length before the
// PRF for the default PRF, knows no SHA-512, calls a key of an unknown curve a wrong password, and panics at an odd IV.

// Bounds of the work that a file may ask for. They are far above what programs write (2,048 to 1,000,000 rounds;
// scrypt with 1<<17) and take seconds at most.
const (
	maxRounds     = 10_000_000 // of PBKDF2, and of PKCS#12's own derivation
	maxScrypt     = 1 << 21    // N·r·p of scrypt: 256 MiB
	maxSealedKeys = 4          // in a file, each with work of its own
)

// keyRounds is how many rounds of PBKDF2 with HMAC-SHA256 encryptKey does: what OWASP recommends since 2023.
const keyRounds = 600_000

// An opener decrypts one private key. The error is ErrWrongPassphrase if that is so.
type opener func(passphrase []byte) (crypto.Signer, error)

// unseal asks for the passphrase if c has encrypted keys, and puts them among its keys.
func (c *contents) unseal(path string, ask Passphrase) error {
	switch {
	case len(c.sealed) == 0:
		return nil
	case len(c.sealed) > maxSealedKeys:
		return fmt.Errorf("the file holds %d encrypted keys, more than %d: keep the one that is meant", len(c.sealed), maxSealedKeys)
	case ask == nil:
		return ErrPassphraseNeeded
	}
	passphrase, err := ask(path)
	if err != nil {
		return err
	}
	for _, open := range c.sealed {
		key, err := open(passphrase)
		if err != nil {
			return err
		}
		c.keys = append(c.keys, key)
	}
	c.sealed = nil
	return nil
}

// sealedPEM is the opener of a PEM block that its headers say is encrypted.
func sealedPEM(block *pem.Block) opener {
	return func(passphrase []byte) (crypto.Signer, error) {
		//lint:ignore SA1019 such keys exist, and must be read to be replaced; we write none
		der, err := x509.DecryptPEMBlock(block, passphrase)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, ErrWrongPassphrase
		} else if err != nil {
			return nil, err
		}
		key, err := parseKey(der)
		if err != nil && !isSequence(der) { // a wrong passphrase leaves good padding once in 256 times
			return nil, ErrWrongPassphrase
		}
		return key, err
	}
}

// encryptedPrivateKeyInfo is the type of RFC 5958, 3.
type encryptedPrivateKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt      []byte
	Rounds    int
	KeyLength int                      `asn1:"optional"`
	PRF       pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams is the type of RFC 7914, 7.1.
type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// pbkdf2PRFs are the pseudorandom functions of RFC 8018, B.1.2. SHA-1 is the one that is meant where none is named.
var pbkdf2PRFs = []struct {
	oid  asn1.ObjectIdentifier
	hash func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}, sha256.New224},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

// errNotSealed means that data is no encrypted PKCS#8 key at all.
var errNotSealed = errors.New("not an encrypted PKCS#8 key")

// sealedPKCS8 is the opener of an encrypted PKCS#8 key.
func sealedPKCS8(der []byte) (opener, error) {
	var info encryptedPrivateKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, errNotSealed
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("it is encrypted in an old way (%v, not PBES2); encrypt it anew: openssl pkcs8 -topk8", info.Algorithm.Algorithm)
	}
	var params pbes2Params
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, fmt.Errorf("the parameters of PBES2 are damaged: %w", err)
	}
	cipher, iv, err := pbes2Cipher(params.Cipher)
	if err != nil {
		return nil, err
	}
	if len(info.Data) == 0 || len(info.Data)%cipher.IVSize() != 0 {
		return nil, errors.New("it is cut off: its length does not fit its cipher")
	}
	derive, err := pbes2KDF(params.KDF, cipher.KeySize())
	if err != nil {
		return nil, err
	}
	return func(passphrase []byte) (crypto.Signer, error) {
		secret, err := derive(passphrase)
		if err != nil {
			return nil, err
		}
		padded, err := cipher.Decrypt(secret, iv, info.Data)
		if err != nil {
			return nil, err
		}
		plain, ok := unpad(padded, cipher.IVSize())
		if !ok || !isSequence(plain) {
			return nil, ErrWrongPassphrase
		}
		return parseKey(plain)
	}, nil
}

// pbes2Cipher finds the cipher, all of which work in blocks as long as their IV.
func pbes2Cipher(algorithm pkix.AlgorithmIdentifier) (c pkcs8.Cipher, iv []byte, err error) {
	for _, c := range []pkcs8.Cipher{pkcs8.AES128CBC, pkcs8.AES192CBC, pkcs8.AES256CBC, pkcs8.TripleDESCBC} {
		if !c.OID().Equal(algorithm.Algorithm) {
			continue
		}
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &iv); err != nil || len(iv) != c.IVSize() {
			return nil, nil, errors.New("the parameters of its cipher are damaged")
		}
		return c, iv, nil
	}
	return nil, nil, fmt.Errorf("its cipher (%v) is neither AES nor 3DES in CBC mode", algorithm.Algorithm)
}

// pbes2KDF returns what makes the cipher's key of a passphrase, or why that is too much to ask.
func pbes2KDF(algorithm pkix.AlgorithmIdentifier, size int) (func(passphrase []byte) ([]byte, error), error) {
	switch {
	case algorithm.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &p); err != nil {
			return nil, fmt.Errorf("the parameters of PBKDF2 are damaged: %w", err)
		}
		if p.Rounds < 1 || p.Rounds > maxRounds {
			return nil, tooMuchWork(fmt.Sprintf("%d rounds of PBKDF2", p.Rounds), maxRounds)
		}
		if len(p.PRF.Algorithm) == 0 {
			p.PRF.Algorithm = pbkdf2PRFs[0].oid
		}
		for _, prf := range pbkdf2PRFs {
			if prf.oid.Equal(p.PRF.Algorithm) {
				return func(passphrase []byte) ([]byte, error) {
					return pbkdf2.Key(prf.hash, string(passphrase), p.Salt, p.Rounds, size)
				}, nil
			}
		}
		return nil, fmt.Errorf("its PBKDF2 uses a function (%v) that tcps does not know", p.PRF.Algorithm)
	case algorithm.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &p); err != nil {
			return nil, fmt.Errorf("the parameters of scrypt are damaged: %w", err)
		}
		if p.N < 1 || p.R < 1 || p.P < 1 || p.N > maxScrypt/p.R/p.P {
			return nil, tooMuchWork(fmt.Sprintf("scrypt with N=%d, r=%d, p=%d", p.N, p.R, p.P), maxScrypt)
		}
		return func(passphrase []byte) ([]byte, error) {
			secret, _, err := pkcs8.ScryptOpts{CostParameter: p.N, BlockSize: p.R, ParallelizationParameter: p.P}.DeriveKey(passphrase, p.Salt, size)
			return secret, err
		}, nil
	}
	return nil, fmt.Errorf("its key derivation (%v) is neither PBKDF2 nor scrypt", algorithm.Algorithm)
}

func tooMuchWork(asked string, most int) error {
	return fmt.Errorf("it asks for %s, which no program writes: 1 to %d are taken", asked, most)
}

// unpad removes the padding of RFC 8018, 6.1.1, or finds that there is none.
func unpad(padded []byte, block int) (plain []byte, ok bool) {
	n := int(padded[len(padded)-1])
	if n == 0 || n > block || n > len(padded) {
		return nil, false
	}
	plain, padding := padded[:len(padded)-n], padded[len(padded)-n:]
	return plain, !slices.ContainsFunc(padding, func(b byte) bool { return int(b) != n })
}

// isSequence tells whether der is one SEQUENCE, as every form of a private key is.
func isSequence(der []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	return err == nil && len(rest) == 0 && v.Tag == asn1.TagSequence && v.IsCompound
}

// encryptKey returns the PEM form of a private key under a passphrase: PKCS#8 with PBES2, AES-256-CBC and PBKDF2 with
// HMAC-SHA256, which every program reads.
func encryptKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 { // pkcs8 would not encrypt at all
		return nil, errors.New("the passphrase is empty")
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: keyRounds, HMACHash: crypto.SHA256},
	})
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}
