package certs_test

import (
	"crypto/x509"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("does not say %q:\n%s", part, text)
		}
	}
}

// describe describes a file, judged by the system's authorities.
func describe(t *testing.T, path string) *certs.Description {
	t.Helper()
	d, err := certs.DescribeFile(path, certs.DescribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wantCodes checks which problems were found, in any order.
func wantCodes(t *testing.T, problems []certs.Problem, codes ...string) {
	t.Helper()
	var got []string
	for _, p := range problems {
		got = append(got, p.Code)
	}
	slices.Sort(got)
	slices.Sort(codes)
	if !slices.Equal(got, codes) {
		t.Errorf("problems %q, want %q: %v", got, codes, problems)
	}
}

func TestDescribeSaysInWordsWhatACertificateIs(t *testing.T) {
	a := newAuthority(t)
	wantText(t, certs.Describe(a.Root()), "root of a certificate authority", "issuer:       itself", "ECDSA P-256", "sign certificates",
		"at most 2 authorities", "only names under localhost, test,", "only addresses in 127.0.0.0/8", "no names under .box", certs.Pin(a.Root()))
	leaf := server(t, a, "a.test", "127.0.0.1").Certificate.Leaf
	text := certs.Describe(leaf)
	wantText(t, text, "of a server\n", "CN=a.test", "a.test, 127.0.0.1", a.Root().Subject.CommonName, "be a TLS server", "in 89 days")
	if strings.Contains(text, "problem:") {
		t.Errorf("a good certificate has a problem:\n%s", text)
	}
	wantText(t, certs.Describe(issue(t, a, certs.Request{Names: []string{"ann", "email:ann@box"}, Client: true}).Certificate.Leaf),
		"of a client\n", "email:ann@box", "be a TLS client")
}

func TestDescribeNamesProblems(t *testing.T) {
	expired := sign(t, nil, nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-96*time.Hour), time.Now().Add(-73*time.Hour)
	})
	wantText(t, certs.Describe(expired.cert), "self-signed", "problem:      it expired 3 days ago", "no alternative name (SAN)")
}

func TestDescribeIsSafeForATerminal(t *testing.T) {
	evil := sign(t, nil, nil, func(c *x509.Certificate) {
		c.Subject.CommonName = "evil\x1b]0;title\a\nproblem: none\u202e"
		c.DNSNames = []string{"a\x1b[2J"}
	})
	for _, text := range []string{certs.Describe(evil.cert), certs.OneLine(evil.cert)} {
		if strings.ContainsAny(text, "\x1b\a\u202e") || strings.Contains(text, "\nproblem: none") {
			t.Errorf("unsafe: %q", text)
		}
	}
	if strings.Contains(certs.OneLine(evil.cert), "\n") {
		t.Errorf("more than a line: %q", certs.OneLine(evil.cert))
	}
}

func TestOneLineSaysForWhomByWhomAndForHowLong(t *testing.T) {
	a := newAuthority(t)
	leaf := issue(t, a, certs.Request{Names: []string{"localhost", "127.0.0.1", "::1"}, For: 7 * 24 * time.Hour}).Certificate.Leaf
	want := "CN=localhost, names localhost 127.0.0.1 ::1, issued by " + a.Root().Subject.CommonName + ", until " + leaf.NotAfter.Format(time.DateOnly) + " (in 6 days)"
	if got := certs.OneLine(leaf); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPinIsWhatOpenSSLComputes(t *testing.T) {
	a := newAuthority(t)
	path := write(t, t.TempDir(), "root.pem", a.RootPEM())
	out, err := exec.Command("sh", "-c", `openssl x509 -in "$0" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64`, path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(out)); certs.Pin(a.Root()) != want {
		t.Errorf("pin %q, OpenSSL says %q", certs.Pin(a.Root()), want)
	}
}

func TestDescribeFileReadsEveryCertificateAndNeverShowsAKey(t *testing.T) {
	a := newAuthority(t)
	one := server(t, a, "one.test")
	dir := t.TempDir()
	text := describe(t, write(t, dir, "all.pem", one.CertPEM, a.RootPEM(), one.KeyPEM)).String()
	wantText(t, text, "CN=one.test", "root of a certificate authority", "private key:  ECDSA P-256", "pin:", "chain:        complete, from certificate 1")
	if strings.Contains(text, "BEGIN") || strings.Contains(text, strings.Split(string(one.KeyPEM), "\n")[1]) || strings.Contains(text, "problem:") {
		t.Errorf("shows the key, or a problem:\n%s", text)
	}
	for name, der := range map[string][]byte{"cert.der": one.Certificate.Leaf.Raw, "key.der": derOf(t, one.KeyPEM)} {
		d := describe(t, write(t, dir, name, der))
		wantText(t, d.String(), certs.Pin(one.Certificate.Leaf))
		if d.Format != "DER" {
			t.Errorf("%s has the format %q", name, d.Format)
		}
	}
	_, err := certs.DescribeFile(write(t, dir, "text.pem", []byte("hello")), certs.DescribeOptions{})
	wantError(t, err, "not a PEM file")
	_, err = certs.DescribeFile(write(t, dir, "one.csr", pemBlock("CERTIFICATE REQUEST", []byte{1})), certs.DescribeOptions{})
	wantError(t, err, "signing request (CSR) in PEM block 1 is damaged")
	_, err = certs.DescribeFile(write(t, dir, "public.pem", pemBlock("PUBLIC KEY", []byte{1})), certs.DescribeOptions{})
	wantError(t, err, "the file holds a public key, not a certificate")
	_, err = certs.DescribeReader("it", strings.NewReader(""), certs.DescribeOptions{})
	wantError(t, err, `describe "it": the file is empty`)
}

func TestParseKeyTypeListsAllTypes(t *testing.T) {
	for _, want := range certs.KeyTypes() {
		if got, err := certs.ParseKeyType(strings.ToUpper(string(want))); got != want || err != nil {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	_, err := certs.ParseKeyType("rsa")
	wantError(t, err, "ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-4096")
}
