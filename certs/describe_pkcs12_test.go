package certs_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tcps/certs"
)

// PKCS#12 of other programs is told apart without its passphrase, and opened with it.
func TestDescribePKCS12(t *testing.T) {
	changeit := func(string) ([]byte, error) { return []byte("changeit"), nil }
	for _, test := range []struct {
		file, how    string
		weak         bool
		certificates int
	}{
		{"openssl.p12", "AES-256-CBC, PBKDF2 with HMAC-SHA-256 in 2048 rounds", false, 3},
		{"java.p12", "AES-256-CBC, PBKDF2 with HMAC-SHA-256 in 10000 rounds", false, 3},
		{"windows-3des.pfx", "RC2-40-CBC, PBE with SHA-1 in 2048 rounds", true, 3},
		{"windows-aes.pfx", "AES-256-CBC, PBKDF2 with HMAC-SHA-256 in 2048 rounds", false, 3},
	} {
		t.Run(test.file, func(t *testing.T) {
			path := filepath.Join("testdata", "keys", test.file)
			closed := describe(t, path)
			wantText(t, closed.String(), "PKCS#12:      encrypted: "+test.how+"\nholds:        what only its passphrase shows\n")
			if !closed.Closed || closed.Encryption.Weak != test.weak || len(closed.Certificates)+len(closed.Keys) > 0 {
				t.Errorf("%+v", closed)
			}
			open, err := certs.DescribeFile(path, certs.DescribeOptions{Passphrase: changeit})
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, open.String(), "PKCS#12:      encrypted: "+test.how+"\n", "subject:      CN=keys.test", "private key:  ECDSA P-256\npin:")
			if open.Closed || len(open.Certificates) != test.certificates || len(open.Keys) != 1 || open.Keys[0].Certificate != 1 || !open.Chain.Complete {
				t.Errorf("%+v", open)
			}
			_, err = certs.DescribeFile(path, certs.DescribeOptions{Passphrase: func(string) ([]byte, error) { return []byte("x"), nil }})
			if !errors.Is(err, certs.ErrWrongPassphrase) {
				t.Errorf("error %v, want that the passphrase is wrong", err)
			}
		})
	}
	if text := describe(t, "testdata/keys/openssl-empty.p12").String(); !strings.Contains(text, "CN=keys.test") {
		t.Errorf("an empty passphrase is asked for:\n%s", text)
	}
}
