package certs

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
)

const formatPKCS12 = "PKCS#12"

// addPKCS12 opens a PKCS#12 file, or says only how it is encrypted.
func (r *describing) addPKCS12(data []byte) error {
	r.Format, r.Encryption = formatPKCS12, pkcs12Encryption(data, 0)
	if r.Encryption != nil {
		r.Problems = append(r.Problems, r.Encryption.problems()...)
	}
	found, err := readPKCS12(r.name, data, r.Passphrase)
	if errors.Is(err, ErrPassphraseNeeded) {
		r.Closed = true
		return nil
	} else if err != nil {
		return err
	}
	for _, c := range found.certificates {
		r.addCertificate(c)
	}
	for _, key := range found.keys {
		if err := r.addOpenKey(KeyDescription{}, key); err != nil {
			return err
		}
	}
	return nil
}

func (d *Description) pkcs12InWords() string {
	var w words
	how := "not encrypted"
	if d.Encryption != nil {
		how = "encrypted: " + d.Encryption.String()
	}
	w.line(formatPKCS12, "%s", how)
	if d.Closed {
		w.line("holds", "what only its passphrase shows")
	}
	w.problems(d.Problems)
	return w.String()
}

// pkcs12Encryption finds the first part of a file that is encrypted and says how; OpenSSL and Java encrypt the
// certificates, which come first, no better than the key. It is nil if there is none.
func pkcs12Encryption(der []byte, depth int) *Encryption {
	for len(der) > 0 && depth <= maxDepth {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return nil
		}
		var a pkix.AlgorithmIdentifier
		if _, err := asn1.Unmarshal(v.FullBytes, &a); err == nil {
			if _, old := oldSchemes[a.Algorithm.String()]; old || a.Algorithm.Equal(oidPBES2) {
				return encryptionOf(a)
			}
		}
		if v.IsCompound || v.Tag == asn1.TagOctetString && isSequence(v.Bytes) {
			if e := pkcs12Encryption(v.Bytes, depth+1); e != nil {
				return e
			}
		}
		der = rest
	}
	return nil
}
