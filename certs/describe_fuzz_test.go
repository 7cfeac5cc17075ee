package certs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcps/certs"
)

// FuzzDescribe: whatever bytes a file holds, describing it does not panic, an error is one clean line, and what is said
// is safe for a terminal, in words and in JSON.
func FuzzDescribe(f *testing.F) {
	a, key := authorityWithKey(f)
	csr, err := certs.NewCSR(certs.Request{Names: []string{"a.test"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	list := revocationList(f, a.Root(), key, func(*x509.RevocationList) {})
	for _, seed := range [][]byte{csr.RequestPEM, derOf(f, csr.RequestPEM), list, pemBlock("X509 CRL", list), a.RootPEM()} {
		f.Add(seed)
	}
	others, err := filepath.Glob("testdata/keys/*[^h]") // all but make.sh
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range others {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := certs.DescribeReader("it", bytes.NewReader(data), certs.DescribeOptions{})
		if err != nil {
			wantError(t, err, "describe ")
			return
		}
		asJSON, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{d.String(), string(asJSON)} {
			if strings.ContainsAny(text, "\x1b\x7f\r\u202e\u0085") {
				t.Errorf("unsafe for a terminal: %q", text)
			}
		}
	})
}
