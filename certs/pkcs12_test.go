package certs_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcps/certs"
)

func TestPKCS12OfOtherProgramsLoadsWithItsChainInOrder(t *testing.T) {
	for _, name := range []string{"openssl.p12", "openssl-unordered.p12", "windows-3des.pfx", "windows-aes.pfx", "java.p12"} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			f, err := certs.LoadFiles(certs.Pair{Cert: kept(name), Passphrase: func(file string) ([]byte, error) {
				asked = append(asked, file)
				return []byte("changeit"), nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(asked, []string{kept(name)}) {
				t.Errorf("asked for the passphrase of %q", asked)
			}
			wantChain(t, f)
		})
	}
}

// wantChain checks that f presents the certificate of keys.test with what is above it.
func wantChain(t *testing.T, f *certs.Files) {
	t.Helper()
	presented(t, f, &tls.Config{}, nil)
	c, err := f.Certificate(&tls.ClientHelloInfo{ServerName: "keys.test"})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"leaf.pem", "intermediate.pem", "root.pem"} {
		text, err := os.ReadFile(kept(name))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Certificate) != 3 || !bytes.Equal(c.Certificate[i], derOf(t, text)) {
			t.Errorf("certificate %d of %d is not %s", i+1, len(c.Certificate), name)
		}
	}
}

func TestPKCS12WithAnEmptyPassphraseAsksForNone(t *testing.T) {
	f, err := certs.LoadFiles(certs.Pair{Cert: kept("openssl-empty.p12"), Passphrase: func(string) ([]byte, error) {
		t.Error("asked")
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantChain(t, f)
}

// What a file is, its content says: not its name, and not the flag that it is given to.
func TestPKCS12IsKnownByItsContent(t *testing.T) {
	data, err := os.ReadFile(kept("java.p12"))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, t.TempDir(), "server.pem", data)
	for _, pair := range []certs.Pair{{Cert: path}, {Cert: path, Key: path}, {Cert: kept("leaf.pem"), Key: path}} {
		pair.Passphrase = says("changeit")
		if _, err := certs.LoadFiles(pair); err != nil {
			t.Error(err)
		}
	}
}

func TestMistakesWithPKCS12AreNamed(t *testing.T) {
	data, err := os.ReadFile(kept("openssl.p12"))
	if err != nil {
		t.Fatal(err)
	}
	cut := write(t, t.TempDir(), "cut.p12", data[:len(data)-1])
	for _, test := range []struct {
		name string
		file string
		ask  certs.Passphrase
		is   error
		want string
	}{
		{"no passphrase", kept("java.p12"), nil, certs.ErrPassphraseNeeded, "set Passphrase of the Pair"},
		{"wrong passphrase", kept("java.p12"), says("changed"), certs.ErrWrongPassphrase, "the passphrase is wrong"},
		{"wrong passphrase, old form", kept("windows-3des.pfx"), says("changed"), certs.ErrWrongPassphrase, "the passphrase is wrong"},
		{"two keys", kept("java-two-keys.p12"), says("changeit"), nil, "it holds 2 private keys"},
		{"no key", kept("java-truststore.p12"), says("changeit"), certs.ErrNoKey, "no key file is given"},
		{"no key, not marked by Java", kept("openssl-nokey.p12"), says("changeit"), nil, "private key missing"},
		{"cut off", cut, says("changeit"), nil, "openssl pkcs12 -in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := certs.LoadFiles(certs.Pair{Cert: test.file, Passphrase: test.ask})
			wantError(t, err, test.want, test.file)
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
}

func TestAuthoritiesComeOutOfATrustStore(t *testing.T) {
	pool, _, err := certs.LoadPool(kept("java-truststore.p12"))
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := certs.LoadPool(kept("root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if !pool.Equal(want) {
		t.Error("other authorities came out")
	}
	text, _ := os.ReadFile(kept("leaf.pem"))
	dir := t.TempDir()
	pair := certs.Pair{Cert: kept("java.p12"), Passphrase: says("changeit")}
	if err := certs.ExportPKCS12(pair, filepath.Join(dir, "own.p12"), certs.PKCS12Options{Passphrase: text}); err != nil {
		t.Fatal(err)
	}
	_, _, err = certs.LoadPool(filepath.Join(dir, "own.p12"))
	wantError(t, err, "a passphrase of its own", "openssl pkcs12 -in")
}

func TestAnExportedFileIsReadByOpenSSLAndByUs(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "out.p12")
		pair := certs.Pair{Cert: kept("java.p12"), Passphrase: says("changeit")}
		if err := certs.ExportPKCS12(pair, path, certs.PKCS12Options{Passphrase: []byte("new pass"), Legacy: legacy}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		f, err := certs.LoadFiles(certs.Pair{Cert: path, Passphrase: says("new pass")})
		if err != nil {
			t.Fatal(err)
		}
		wantChain(t, f)
		out, err := exec.Command("openssl", "pkcs12", "-in", path, "-passin", "pass:new pass", "-noenc", "-info").CombinedOutput()
		if err != nil || bytes.Count(out, []byte("BEGIN CERTIFICATE")) != 3 || bytes.Count(out, []byte("BEGIN PRIVATE KEY")) != 1 {
			t.Errorf("OpenSSL reads %s, %v", out, err)
		}
		if modern := strings.Contains(string(out), "AES-256-CBC") && strings.Contains(string(out), "sha256"); modern == legacy {
			t.Errorf("legacy %v: %s", legacy, out)
		}
	}
}

func TestAnExportThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	pair := certs.Pair{Cert: kept("openssl-empty.p12")}
	there := write(t, dir, "there.p12", []byte("precious"))
	options := certs.PKCS12Options{Passphrase: []byte("x")}
	err := certs.ExportPKCS12(pair, there, options)
	if wantError(t, err, "there.p12", kept("openssl-empty.p12")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if data, _ := os.ReadFile(there); string(data) != "precious" {
		t.Errorf("it was replaced by %q", data)
	}
	wantError(t, certs.ExportPKCS12(pair, filepath.Join(dir, "empty.p12"), certs.PKCS12Options{}), "passphrase", "empty")
	pair.Key = kept("root.pem")
	wantError(t, certs.ExportPKCS12(pair, filepath.Join(dir, "broken.p12"), options), "root.pem", "not a private key")
	wantEmpty(t, dir, "there.p12")
	pair.Key, options.Force = "", true
	if err := certs.ExportPKCS12(pair, there, options); err != nil {
		t.Error(err)
	}
	wantEmpty(t, dir, "there.p12")
}
