package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"tcps/internal/terminal"
)

// maxFileBytes bounds what is read of a certificate or key file: real ones are a few KiB, bundles of all public
// authorities a few hundred.
const maxFileBytes = 1 << 20

// readFile reads a small regular file or pipe. Its errors leave out the path, which every caller says itself.
func readFile(path string) ([]byte, error) { return readFileUpTo(path, maxFileBytes) }

func readFileUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bareCause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bareCause(err)
	}
	if info.IsDir() {
		return nil, errors.New("this is a folder, not a file")
	}
	return readUpTo(f, most)
}

func readUpTo(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, bareCause(err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("the file is larger than %d bytes: no more than that is read", most)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the file is empty")
	}
	return bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")), nil // editors' mark of UTF-8 would hide the first block
}

// bareCause drops the operation and the path of a file system error and keeps what errors.Is looks at.
func bareCause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// contents is what a file holds, in order.
type contents struct {
	certificates []*x509.Certificate
	chain        int // how many of them, from the first on, belong together; 0: all
	keys         []crypto.Signer
	sealed       []opener // keys that are encrypted, until unseal
	others       []string // types of blocks that are neither, nor parameters
}

// parsePEM reads every block of data; path only appears in errors and the commands that they recommend.
func parsePEM(path string, data []byte) (*contents, error) {
	c := &contents{}
	err := eachBlock(path, data, c.add)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// eachBlock calls add for every block of data, numbered from 1.
func eachBlock(path string, data []byte, add func(number int, block *pem.Block) error) error {
	begun := bytes.Count(append([]byte("\n"), data...), []byte("\n-----BEGIN "))
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if err := add(blocks+1, block); err != nil {
			return err
		}
	}
	switch {
	case blocks == 0 && begun == 0:
		return errors.New(notPEM(path, data))
	case blocks < begun:
		return fmt.Errorf("%d of %d PEM blocks are damaged or cut off", begun-blocks, begun)
	}
	return nil
}

func (c *contents) add(number int, block *pem.Block) error {
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate in PEM block %d is damaged: %s", number, terminal.Printable(err.Error()))
		}
		c.certificates = append(c.certificates, cert)
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			c.sealed = append(c.sealed, sealedPEM(block))
			return nil
		}
		key, err := parseKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("private key in PEM block %d: %w", number, err)
		}
		c.keys = append(c.keys, key)
	case "ENCRYPTED PRIVATE KEY":
		open, err := sealedPKCS8(block.Bytes)
		if err != nil {
			return fmt.Errorf("private key in PEM block %d: %w", number, err)
		}
		c.sealed = append(c.sealed, open)
	case "EC PARAMETERS", "DH PARAMETERS":
	default:
		c.others = append(c.others, block.Type)
	}
	return nil
}

// readAny reads PEM, PKCS#12, or one certificate or key in DER form, and opens what is encrypted.
func readAny(path string, data []byte, ask Passphrase) (*contents, error) {
	if isPKCS12(data) {
		return readPKCS12(path, data, ask)
	}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		c, err := parseDER(data)
		if err != nil {
			return nil, err
		}
		if c != nil {
			return c, c.unseal(path, ask)
		}
	}
	c, err := parsePEM(path, data)
	if err != nil {
		return nil, err
	}
	return c, c.unseal(path, ask)
}

// parseDER reads certificates or a key in DER form; nil, nil means that data is neither.
func parseDER(data []byte) (*contents, error) {
	if certificates, err := x509.ParseCertificates(data); err == nil && len(certificates) > 0 {
		return &contents{certificates: certificates}, nil
	}
	if key, err := parseKey(data); err == nil {
		return &contents{keys: []crypto.Signer{key}}, nil
	}
	open, err := sealedPKCS8(data)
	if err == errNotSealed {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return &contents{sealed: []opener{open}}, nil
}

// parseKey reads a private key in any of its three encodings, and refuses kinds that TLS cannot sign with.
func parseKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if k, e := x509.ParsePKCS1PrivateKey(der); e == nil {
			key, err = k, nil
		} else if k, e := x509.ParseECPrivateKey(der); e == nil {
			key, err = k, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#8, PKCS#1 or SEC1 key: %s", terminal.Printable(err.Error()))
	}
	return signerOf(key)
}

// signerOf refuses kinds of keys that TLS cannot sign with.
func signerOf(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P224() {
			return nil, errors.New("TLS has no signatures on curve P-224; P-256, P-384 and P-521 will do")
		}
		return k, nil
	}
	return nil, fmt.Errorf("%T is no key to sign with; RSA, ECDSA and Ed25519 are", key)
}

// encodeCertificates returns the PEM form of a chain.
func encodeCertificates(chain ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

// encodeKey returns the PEM form of a private key, PKCS#8.
func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// samePublicKey tells whether key is the private half of what cert certifies.
func samePublicKey(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}
