package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/certs"
)

// createIn makes the test binary, run again, one of several processes that want an authority at the same moment.
const createIn = "CERTS_TEST_CREATE_IN"

// issueIn makes the test binary one of several processes that issue at the same moment.
const issueIn = "CERTS_TEST_ISSUE_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(issueIn); dir != "" {
		fmt.Println(pinOfIssuer(dir))
		return
	}
	if dir := os.Getenv(createIn); dir != "" {
		a, created, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(created, certs.Pin(a.Root()))
		return
	}
	useStorage()
	// certmagic's limiter of requests to an ACME authority is never stopped.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"))
}

// newAuthority makes an authority in memory for a machine named "box".
func newAuthority(t testing.TB, permit ...string) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box", Permit: permit})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *certs.Authority, r certs.Request) *certs.Issued {
	t.Helper()
	issued, err := a.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// server issues a server's certificate.
func server(t testing.TB, a *certs.Authority, names ...string) *certs.Issued {
	t.Helper()
	return issue(t, a, certs.Request{Names: names})
}

// write puts the parts into one file of a folder and returns its path.
func write(t testing.TB, dir, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// authorityWithKey makes an authority whose key the test can sign with, past all checks.
func authorityWithKey(t testing.TB) (a *certs.Authority, key crypto.Signer) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "authority")
	a, err := certs.CreateAuthority(dir, certs.AuthorityOptions{HostName: "box"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "root.pem"), filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	return a, pair.PrivateKey.(crypto.Signer)
}

// made is a certificate that the test made by itself.
type made struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// sign makes a certificate as change leaves the template; without a parent it is self-signed.
func sign(t testing.TB, parent *x509.Certificate, parentKey crypto.Signer, change func(*x509.Certificate)) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "made"},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
	}
	change(template)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made{cert, key, pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", pkcs8(t, key))}
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func derOf(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM block in %q", text)
	}
	return block.Bytes
}

func newRSAKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wantError checks that err is one line that contains every part.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b") {
		t.Errorf("error is not one clean line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// wantEmpty checks that nothing was left in a folder.
func wantEmpty(t testing.TB, dir string, except ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(except, " ") {
		t.Errorf("the folder holds %q, want %q", names, except)
	}
}

// readPair reads a key of an authority's folder, past all checks.
func readPair(t testing.TB, dir, name string) crypto.Signer {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.PrivateKey.(crypto.Signer)
}

// pinOfIssuer issues a certificate and says which intermediate signed it.
func pinOfIssuer(dir string) string {
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		return err.Error()
	}
	issued, err := a.Issue(certs.Request{Names: []string{"a.test"}})
	if err != nil {
		return err.Error()
	}
	issuer, err := x509.ParseCertificate(issued.Certificate.Certificate[1])
	if err != nil {
		return err.Error()
	}
	return certs.Pin(issuer)
}
