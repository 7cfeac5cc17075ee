package certs

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"

	"tcps/internal/terminal"
)

// Encryption says how a private key is encrypted. Its names are those that OpenSSL prints, or an OID.
type Encryption struct {
	Cipher string `json:"cipher"`
	KDF    string `json:"kdf"`              // how the cipher's key is made of the passphrase
	Rounds int    `json:"rounds,omitempty"` // of the KDF, where it has such
	Weak   bool   `json:"weak,omitempty"`   // passphrases of people can be guessed, or the cipher broken
}

func (e *Encryption) String() string {
	switch e.Rounds {
	case 0:
		return e.Cipher + ", " + e.KDF
	case 1:
		return e.Cipher + ", " + e.KDF + " in a single round"
	}
	return fmt.Sprintf("%s, %s in %d rounds", e.Cipher, e.KDF, e.Rounds)
}

func (e *Encryption) problems() []Problem {
	if !e.Weak {
		return nil
	}
	return []Problem{{"weak-encryption", "its encryption is weak: who has the file can try passphrases quickly; encrypt it anew (openssl pkcs8 -topk8)"}}
}

// algorithm names what an OID stands for.
type algorithm struct {
	name string
	weak bool
}

var encryptionAlgorithms = map[string]algorithm{
	"2.16.840.1.101.3.4.1.2": {"AES-128-CBC", false}, "2.16.840.1.101.3.4.1.6": {"AES-128-GCM", false},
	"2.16.840.1.101.3.4.1.22": {"AES-192-CBC", false}, "2.16.840.1.101.3.4.1.26": {"AES-192-GCM", false},
	"2.16.840.1.101.3.4.1.42": {"AES-256-CBC", false}, "2.16.840.1.101.3.4.1.46": {"AES-256-GCM", false},
	"1.2.840.113549.3.7": {"DES-EDE3-CBC", false}, "1.3.14.3.2.7": {"DES-CBC", true}, "1.2.840.113549.3.2": {"RC2-CBC", true},
	"1.2.840.113549.2.7": {"HMAC-SHA-1", false}, "1.2.840.113549.2.8": {"HMAC-SHA-224", false}, "1.2.840.113549.2.9": {"HMAC-SHA-256", false},
	"1.2.840.113549.2.10": {"HMAC-SHA-384", false}, "1.2.840.113549.2.11": {"HMAC-SHA-512", false},
}

// oldSchemes are those of PKCS#5 v1 and PKCS#12: the cipher and, in parentheses, the digest of the KDF.
var oldSchemes = map[string][2]string{
	"1.2.840.113549.1.5.1": {"DES-CBC", "MD2"}, "1.2.840.113549.1.5.3": {"DES-CBC", "MD5"}, "1.2.840.113549.1.5.4": {"RC2-CBC", "MD2"},
	"1.2.840.113549.1.5.6": {"RC2-CBC", "MD5"}, "1.2.840.113549.1.5.10": {"DES-CBC", "SHA-1"}, "1.2.840.113549.1.5.11": {"RC2-CBC", "SHA-1"},
	"1.2.840.113549.1.12.1.1": {"RC4-128", "SHA-1"}, "1.2.840.113549.1.12.1.2": {"RC4-40", "SHA-1"},
	"1.2.840.113549.1.12.1.3": {"DES-EDE3-CBC", "SHA-1"}, "1.2.840.113549.1.12.1.4": {"DES-EDE-CBC", "SHA-1"},
	"1.2.840.113549.1.12.1.5": {"RC2-128-CBC", "SHA-1"}, "1.2.840.113549.1.12.1.6": {"RC2-40-CBC", "SHA-1"},
}

// pemEncryption reads the DEK-Info header of old encrypted PEM (RFC 1421, 4.6.1.3), whose KDF is one round of MD5.
func pemEncryption(header string) *Encryption {
	cipher, _, _ := strings.Cut(header, ",")
	return &Encryption{Cipher: terminal.Printable(cipher), KDF: "MD5", Rounds: 1, Weak: true}
}

// pkcs8Encryption reads how an EncryptedPrivateKeyInfo (RFC 5958, 3) is encrypted. It is nil if der is none.
func pkcs8Encryption(der []byte) *Encryption {
	var info encryptedPrivateKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil
	}
	return encryptionOf(info.Algorithm)
}

func encryptionOf(a pkix.AlgorithmIdentifier) *Encryption {
	oid := a.Algorithm.String()
	if a.Algorithm.Equal(oidPBES2) {
		return pbes2Encryption(a.Parameters.FullBytes)
	}
	e := &Encryption{Cipher: oid, KDF: "unknown"}
	if scheme, ok := oldSchemes[oid]; ok {
		var parameters struct {
			Salt   []byte
			Rounds int
		}
		_, _ = asn1.Unmarshal(a.Parameters.FullBytes, &parameters) // 0 rounds where there are none
		e = &Encryption{Cipher: scheme[0], KDF: "PBE with " + scheme[1], Rounds: parameters.Rounds, Weak: true}
	}
	return e
}

// pbes2Encryption reads PBES2-params with PBKDF2 (RFC 8018, A.2 and A.4) or scrypt (RFC 7914, 7).
func pbes2Encryption(der []byte) *Encryption {
	var parameters pbes2Params
	if _, err := asn1.Unmarshal(der, &parameters); err != nil {
		return &Encryption{Cipher: "unknown", KDF: "unknown"}
	}
	e := &Encryption{Cipher: nameOf(parameters.Cipher.Algorithm), KDF: nameOf(parameters.KDF.Algorithm)}
	e.Weak = encryptionAlgorithms[parameters.Cipher.Algorithm.String()].weak
	switch {
	case parameters.KDF.Algorithm.Equal(oidPBKDF2):
		var kdf pbkdf2Params
		e.KDF = "PBKDF2"
		if _, err := asn1.Unmarshal(parameters.KDF.Parameters.FullBytes, &kdf); err == nil {
			if len(kdf.PRF.Algorithm) == 0 {
				kdf.PRF.Algorithm = pbkdf2PRFs[0].oid
			}
			e.KDF, e.Rounds = "PBKDF2 with "+nameOf(kdf.PRF.Algorithm), kdf.Rounds
		}
	case parameters.KDF.Algorithm.Equal(oidScrypt):
		var kdf scryptParams
		e.KDF = "scrypt"
		if _, err := asn1.Unmarshal(parameters.KDF.Parameters.FullBytes, &kdf); err == nil {
			e.KDF = fmt.Sprintf("scrypt with N=%d, r=%d, p=%d", kdf.N, kdf.R, kdf.P)
		}
	}
	return e
}

func nameOf(oid asn1.ObjectIdentifier) string {
	if a, ok := encryptionAlgorithms[oid.String()]; ok {
		return a.name
	}
	return oid.String()
}
