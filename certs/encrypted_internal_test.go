package certs

import (
	"bytes"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Inside the package, because keys are encrypted by the authority only, and because no program makes the keys that hostile
// files hold.

func TestOpenSSLReadsAKeyThatWasEncryptedHere(t *testing.T) {
	for _, keyType := range []KeyType{ECDSAP256, Ed25519, RSA2048} {
		key, err := keyType.generate()
		if err != nil {
			t.Fatal(err)
		}
		encrypted, err := encryptKey(key, []byte("pass wörd"))
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("openssl", "pkey", "-passin", "env:P")
		command.Env = append(os.Environ(), "P=pass wörd")
		command.Stdin = bytes.NewReader(encrypted)
		plain, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", keyType, err)
		}
		if want, err := encodeKey(key); err != nil || !bytes.Equal(plain, want) {
			t.Errorf("%s: OpenSSL reads another key", keyType)
		}
		command = exec.Command("openssl", "asn1parse")
		command.Stdin = bytes.NewReader(encrypted)
		if form, err := command.Output(); err != nil || !strings.Contains(string(form), "hmacWithSHA256") || !strings.Contains(string(form), "aes-256-cbc") {
			t.Errorf("%s: it is encrypted with %s, %v", keyType, form, err)
		}
	}
}

func TestAKeyThatWasEncryptedHereOpensHere(t *testing.T) {
	key, err := ECDSAP384.generate()
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := encryptKey(key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for passphrase, want := range map[string]error{"secret": nil, "Secret": ErrWrongPassphrase, "": ErrWrongPassphrase} {
		c, err := readAny("x.key", encrypted, func(string) ([]byte, error) { return []byte(passphrase), nil })
		if !errors.Is(err, want) {
			t.Errorf("passphrase %q: %v, want %v", passphrase, err, want)
		}
		if err == nil && !c.keys[0].Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Error("another key came out")
		}
	}
}

func TestAnEmptyPassphraseEncryptsNothing(t *testing.T) {
	key, err := ECDSAP256.generate()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := encryptKey(key, nil); err == nil {
		t.Errorf("it was written as %s", text)
	}
}

// mustMarshal is the DER form of parameters that the test makes up.
func mustMarshal(t testing.TB, v any) asn1.RawValue {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{FullBytes: der}
}

func mustUnmarshal(t testing.TB, der []byte, v any) {
	t.Helper()
	if _, err := asn1.Unmarshal(der, v); err != nil {
		t.Fatal(err)
	}
}

// sealed is an encrypted key with parameters that the test makes up.
func sealed(t testing.TB, kdf asn1.ObjectIdentifier, params any, iv, data []byte) []byte {
	t.Helper()
	return mustMarshal(t, encryptedPrivateKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: mustMarshal(t, pbes2Params{
			KDF:    pkix.AlgorithmIdentifier{Algorithm: kdf, Parameters: mustMarshal(t, params)},
			Cipher: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, Parameters: mustMarshal(t, iv)},
		})},
		Data: data,
	}).FullBytes
}

func TestWorkThatNobodyMeansIsRefusedBeforeItIsDone(t *testing.T) {
	iv, data := make([]byte, 16), make([]byte, 32)
	for _, test := range []struct {
		name string
		der  []byte
		want string
	}{
		{"PBKDF2", sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv, Rounds: 1 << 40}, iv, data), "1099511627776 rounds of PBKDF2"},
		{"PBKDF2 with none", sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv}, iv, data), "0 rounds"},
		{"scrypt N", sealed(t, oidScrypt, scryptParams{Salt: iv, N: 1 << 40, R: 8, P: 1}, iv, data), "N=1099511627776"},
		{"scrypt r", sealed(t, oidScrypt, scryptParams{Salt: iv, N: 2, R: 1 << 30, P: 1}, iv, data), "r=1073741824"},
		{"scrypt p", sealed(t, oidScrypt, scryptParams{Salt: iv, N: 1 << 14, R: 8, P: 1 << 62}, iv, data), "p=4611686018427387904"},
		{"scrypt negative", sealed(t, oidScrypt, scryptParams{Salt: iv, N: -2, R: -8, P: 1}, iv, data), "N=-2"},
		{"odd IV", sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv, Rounds: 1}, iv[:8], data), "cipher are damaged"},
		{"odd length", sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv, Rounds: 1}, iv, data[:31]), "cut off"},
		{"nothing", sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv, Rounds: 1}, iv, nil), "cut off"},
		{"another derivation", sealed(t, oidPBES2, pbkdf2Params{Salt: iv, Rounds: 1}, iv, data), "neither PBKDF2 nor scrypt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readAny("x.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: test.der}), func(string) ([]byte, error) {
				t.Error("the passphrase was asked for")
				return nil, nil
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	many := bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed(t, oidPBKDF2, pbkdf2Params{Salt: iv, Rounds: maxRounds}, iv, data)}), 5)
	if _, err := readAny("x.key", many, func(string) ([]byte, error) { return nil, nil }); err == nil || !strings.Contains(err.Error(), "5 encrypted keys") {
		t.Errorf("many keys: %v", err)
	}
}

// Bouncy Castle, among others, writes the length of the key between the rounds and the function.
func TestAKeyLengthBeforeTheFunctionIsSkipped(t *testing.T) {
	original, err := os.ReadFile(filepath.Join("testdata", "keys", "pkcs8-pbkdf2.der"))
	if err != nil {
		t.Fatal(err)
	}
	var info encryptedPrivateKeyInfo
	var scheme pbes2Params
	var kdf pbkdf2Params
	var iv []byte
	mustUnmarshal(t, original, &info)
	mustUnmarshal(t, info.Algorithm.Parameters.FullBytes, &scheme)
	mustUnmarshal(t, scheme.KDF.Parameters.FullBytes, &kdf)
	mustUnmarshal(t, scheme.Cipher.Parameters.FullBytes, &iv)
	kdf.KeyLength = 32
	changed := sealed(t, oidPBKDF2, kdf, iv, info.Data)
	if len(changed) != len(original)+3 {
		t.Fatalf("%d bytes became %d", len(original), len(changed))
	}
	c, err := readAny("x.der", changed, func(string) ([]byte, error) { return []byte("changeit"), nil })
	if err != nil || len(c.keys) != 1 {
		t.Errorf("%v", err)
	}
}
