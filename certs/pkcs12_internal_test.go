package certs

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Inside the package, because no program makes the files that ask for too much.

func TestASurveySeesTheRoundsAndKeysOfRealFiles(t *testing.T) {
	for name, want := range map[string]survey{
		"openssl.p12":         {rounds: 3 * 2048, keys: 1},
		"windows-3des.pfx":    {rounds: 3 * 2048, keys: 1},
		"windows-aes.pfx":     {rounds: 3 * 2048, keys: 1},
		"java.p12":            {rounds: 3 * 10000, keys: 1},
		"java-two-keys.p12":   {rounds: 4 * 10000, keys: 2},
		"java-truststore.p12": {rounds: 2 * 10000},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "keys", name))
		if err != nil {
			t.Fatal(err)
		}
		var got survey
		if err := got.walk(data, 0); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// pfx is as much of PKCS#12 as the test makes up.
type pfx struct {
	Version int
	Safe    struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"tag:0,explicit"`
	}
	MAC struct {
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
		Salt   []byte
		Rounds int
	}
}

// newPFX makes a file whose MAC takes so many rounds, and one of whose keys so many more.
func newPFX(t testing.TB, macRounds, keyRounds int) []byte {
	t.Helper()
	p := pfx{Version: 3}
	p.Safe.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	p.Safe.Content = mustMarshal(t, []any{pkix.AlgorithmIdentifier{
		Algorithm:  oidPBES2,
		Parameters: mustMarshal(t, pbkdf2Params{Salt: []byte("salt"), Rounds: keyRounds}),
	}}).FullBytes
	p.MAC.Digest.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	p.MAC.Digest.Digest = make([]byte, 20)
	p.MAC.Salt, p.MAC.Rounds = []byte("salt"), macRounds
	return mustMarshal(t, p).FullBytes
}

func TestPKCS12ThatAsksForTooMuchIsRefusedBeforeItIsDone(t *testing.T) {
	deep := []byte{0x02, 0x01, 0x03}
	for range 70 {
		deep = mustMarshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: deep}).FullBytes
	}
	deep = append([]byte{0x02, 0x01, 0x03}, deep...)
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"MAC", newPFX(t, 1<<40, 1), "rounds"},
		{"key", newPFX(t, 1, 1<<40), "rounds"},
		{"together", newPFX(t, maxRounds/2, maxRounds/2+1), "rounds"},
		{"nested", mustMarshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: deep}).FullBytes, "too deep"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readAny("x.p12", test.data, func(string) ([]byte, error) {
				t.Error("the passphrase was asked for")
				return nil, nil
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
