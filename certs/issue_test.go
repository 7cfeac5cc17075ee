package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tcps/certs"
)

func TestIssuedServerCertificateIsGoodForItsNamesOnly(t *testing.T) {
	a := newAuthority(t)
	for _, keyType := range certs.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			issued := issue(t, a, certs.Request{Names: []string{"127.0.0.1", "A.Test", "*.b.test", "::1"}, KeyType: keyType})
			leaf := issued.Certificate.Leaf
			for _, host := range []string{"a.test", "x.b.test", "127.0.0.1", "::1"} {
				if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: host}); err != nil {
					t.Error(err)
				}
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
				t.Error("a server's certificate is good for a client")
			}
			if leaf.Subject.CommonName != "a.test" || leaf.IsCA || len(leaf.SubjectKeyId) == 0 || string(leaf.AuthorityKeyId) != string(a.Root().SubjectKeyId) {
				t.Errorf("subject %v, CA %v, key ids %x %x", leaf.Subject, leaf.IsCA, leaf.SubjectKeyId, leaf.AuthorityKeyId)
			}
			usage := x509.KeyUsageDigitalSignature
			if strings.HasPrefix(string(keyType), "rsa") {
				usage |= x509.KeyUsageKeyEncipherment
			}
			if leaf.KeyUsage != usage {
				t.Errorf("key usage %b, want %b", leaf.KeyUsage, usage)
			}
			if _, err := tls.X509KeyPair(issued.CertPEM, issued.KeyPEM); err != nil {
				t.Error(err)
			}
			if life := time.Until(leaf.NotAfter); life < 89*24*time.Hour || life > 90*24*time.Hour {
				t.Errorf("lasts %v, want 90 days", life)
			}
		})
	}
}

func TestIssuedClientCertificateIsGoodForAClientOnly(t *testing.T) {
	a := newAuthority(t)
	issued := issue(t, a, certs.Request{Names: []string{"Zoë from work", "email:zoe@box", "uri:spiffe://cluster.local/zoe", "dns:zoe.test"}, Client: true})
	leaf := issued.Certificate.Leaf
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool()}); err == nil {
		t.Error("a client's certificate is good for a server")
	}
	if leaf.Subject.CommonName != "Zoë from work" || leaf.EmailAddresses[0] != "zoe@box" || leaf.URIs[0].String() != "spiffe://cluster.local/zoe" || leaf.DNSNames[0] != "zoe.test" {
		t.Errorf("names are %v %v %v %v", leaf.Subject, leaf.EmailAddresses, leaf.URIs, leaf.DNSNames)
	}
	if len(issued.Warnings) > 0 {
		t.Errorf("warnings %q", issued.Warnings)
	}
}

func TestIssueRefusesWhatCannotBeMeant(t *testing.T) {
	a := newAuthority(t)
	long := strings.Repeat("a", 64)
	for _, test := range []struct {
		name    string
		request certs.Request
		want    string
	}{
		{"no name", certs.Request{}, "at least one name"},
		{"space", certs.Request{Names: []string{"a b.test"}}, "contains ' '"},
		{"port", certs.Request{Names: []string{"localhost:8120"}}, "leave out the port"},
		{"international", certs.Request{Names: []string{"bücher.test"}}, "punycode"},
		{"empty label", certs.Request{Names: []string{"a..test"}}, "empty label"},
		{"long label", certs.Request{Names: []string{long + ".test"}}, "63"},
		{"long name", certs.Request{Names: []string{strings.Repeat("a.", 130) + "test"}}, "253"},
		{"hyphen", certs.Request{Names: []string{"-a.test"}}, "hyphen"},
		{"wildcard in the middle", certs.Request{Names: []string{"a.*.test"}}, "wildcard"},
		{"wildcard alone", certs.Request{Names: []string{"*"}}, "wildcard"},
		{"part of a label", certs.Request{Names: []string{"a*.test"}}, "contains '*'"},
		{"broken address", certs.Request{Names: []string{"127.0.0.256"}}, "neither a DNS name nor an IP address"},
		{"zone", certs.Request{Names: []string{"fe80::1%eth0"}}, "zone"},
		{"line end", certs.Request{Names: []string{"a.test\n"}}, `contains '\n'`},
		{"e-mail address of a server", certs.Request{Names: []string{"email:a@b.test"}}, "a server's names"},
		{"outside", certs.Request{Names: []string{"a.test", "example.com"}}, `"example.com" is outside`},
		{"negative life", certs.Request{Names: []string{"a.test"}, For: -1}, "cannot last"},
		{"key type", certs.Request{Names: []string{"a.test"}, KeyType: "rsa"}, "ed25519"},
		{"client without a name", certs.Request{Names: []string{" "}, Client: true}, "empty"},
		{"client with a control character", certs.Request{Names: []string{"a\x1bb"}, Client: true}, "does not print"},
		{"client with a long name", certs.Request{Names: []string{long + "a"}, Client: true}, "64 bytes"},
		{"client's other name of no kind", certs.Request{Names: []string{"a", "b.test"}, Client: true}, "dns:, email: or uri: in front"},
		{"client outside", certs.Request{Names: []string{"a", "email:a@example.com"}, Client: true}, "outside"},
		{"no e-mail address", certs.Request{Names: []string{"a", "email:example.com"}, Client: true}, "no e-mail address"},
		{"no URI", certs.Request{Names: []string{"a", "uri:cluster.local"}, Client: true}, "no scheme"},
		{"URI with a user", certs.Request{Names: []string{"a", "uri:https://u@a.test/"}, Client: true}, "names no user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := a.Issue(test.request)
			wantError(t, err, test.want, "issue certificate for ")
		})
	}
}

func TestIssueWarnsOfWhatDoesNotWorkEverywhere(t *testing.T) {
	a := newAuthority(t)
	for _, test := range []struct {
		name    string
		request certs.Request
		want    string
	}{
		{"wildcard under a top-level name", certs.Request{Names: []string{"*.test"}}, "two labels"},
		{"longer than Apple's limit", certs.Request{Names: []string{"a.test"}, For: 900 * 24 * time.Hour}, "825 days"},
		{"longer than the root", certs.Request{Names: []string{"a"}, Client: true, For: 20 * 365 * 24 * time.Hour}, "ends with its root"},
		{"dotted client name", certs.Request{Names: []string{"ann.example.com"}, Client: true}, "OpenSSL takes"},
		{"dotted client name within", certs.Request{Names: []string{"ann.test"}, Client: true}, ""},
		{"dotted client name beside a DNS name", certs.Request{Names: []string{"ann.example.com", "dns:a.test"}, Client: true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			issued := issue(t, a, test.request)
			if got := strings.Join(issued.Warnings, "\n"); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("warnings %q, want %q", got, test.want)
			}
			if issued.Certificate.Leaf.NotAfter.After(a.Root().NotAfter) || issued.Certificate.Leaf.NotBefore.Before(a.Root().NotBefore) {
				t.Error("the certificate is valid when its root is not")
			}
		})
	}
}

// opensslVerify returns what openssl says of a certificate under the root.
func opensslVerify(t *testing.T, a *certs.Authority, certPEM []byte, purpose string) error {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", purpose,
		"-CAfile", write(t, dir, "root.pem", a.RootPEM()), write(t, dir, "leaf.pem", certPEM)).CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	return nil
}

func TestOpenSSLAcceptsWhatIsIssued(t *testing.T) {
	for _, keyType := range certs.KeyTypes()[:4] {
		a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box", KeyType: keyType})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name    string
			request certs.Request
			purpose string
		}{
			{"names and addresses", certs.Request{Names: []string{"localhost", "a.test", "*.b.internal", "box", "127.0.0.1", "::1", "10.0.0.9", "fe80::1"}}, "sslserver"},
			{"addresses alone", certs.Request{Names: []string{"192.168.1.5", "127.0.0.1"}}, "sslserver"},
			{"client", certs.Request{Names: []string{"ann"}, Client: true}, "sslclient"},
			{"client with names", certs.Request{Names: []string{"Ann A.", "email:ann@box", "email:ann@mail.test", "uri:spiffe://cluster.local/a", "uri:https://localhost:1/", "dns:a.test"}, Client: true}, "sslclient"},
		} {
			t.Run(string(keyType)+" "+test.name, func(t *testing.T) {
				test.request.KeyType = keyType
				if err := opensslVerify(t, a, issue(t, a, test.request).CertPEM, test.purpose); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestOpenSSLRefusesADottedClientNameThatWeWarnOf(t *testing.T) {
	a := newAuthority(t)
	issued := issue(t, a, certs.Request{Names: []string{"ann.example.com"}, Client: true})
	if err := opensslVerify(t, a, issued.CertPEM, "sslclient"); err == nil {
		t.Error("OpenSSL accepts it now: the warning is out of date")
	}
}

func TestOpenSSLAndGoRefuseWhatAStolenRootSignsForOthers(t *testing.T) {
	a, key := authorityWithKey(t)
	for _, test := range []struct {
		name   string
		within bool
		change func(*x509.Certificate)
	}{
		{"DNS within", true, func(c *x509.Certificate) { c.DNSNames = []string{"db.test", "box"} }},
		{"DNS", false, func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }},
		{"DNS, one of two", false, func(c *x509.Certificate) { c.DNSNames = []string{"db.test", "example.com"} }},
		{"DNS that ends alike", false, func(c *x509.Certificate) { c.DNSNames = []string{"atest"} }},
		{"DNS under the host name", false, func(c *x509.Certificate) { c.DNSNames = []string{"bank.box"} }},
		{"IPv4 within", true, func(c *x509.Certificate) { c.IPAddresses = []net.IP{{10, 0, 0, 1}} }},
		{"IPv4", false, func(c *x509.Certificate) { c.IPAddresses = []net.IP{{8, 8, 8, 8}} }},
		{"IPv6", false, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("2001:db8::1")} }},
		{"e-mail within", true, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@localhost", "a@b.test"} }},
		{"e-mail", false, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.com"} }},
		{"URI within", true, func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "a.local", Path: "/x"}} }},
		{"URI", false, func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/x"}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := sign(t, a.Root(), key, func(c *x509.Certificate) {
				c.Subject = pkix.Name{CommonName: "forged"}
				test.change(c)
			})
			_, goErr := m.cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			if (goErr == nil) != test.within {
				t.Errorf("Go says %v", goErr)
			}
			if err := opensslVerify(t, a, m.certPEM, "any"); (err == nil) != test.within {
				t.Errorf("OpenSSL says %v", err)
			}
		})
	}
}

func TestWriteMakesAPairAndReplacesNothingUnlessForced(t *testing.T) {
	a := newAuthority(t)
	dir := filepath.Join(t.TempDir(), "new", "out")
	first := server(t, a, "a.test")
	certPath, keyPath, err := first.Write(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.LoadFiles(certs.Pair{Cert: certPath, Key: keyPath}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(keyPath); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info.Mode(), err)
	}
	second := server(t, a, "a.test")
	_, _, err = second.Write(dir, false)
	wantError(t, err, "a.test.key", "--force")
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if f, err := certs.LoadFiles(certs.Pair{Cert: certPath, Key: keyPath}); err != nil || !f.Leaves()[0].Equal(first.Certificate.Leaf) {
		t.Errorf("the first pair changed: %v", err)
	}
	if _, _, err := second.Write(dir, true); err != nil {
		t.Fatal(err)
	}
	if f, err := certs.LoadFiles(certs.Pair{Cert: certPath, Key: keyPath}); err != nil || !f.Leaves()[0].Equal(second.Certificate.Leaf) {
		t.Errorf("the pair was not replaced: %v", err)
	}
	wantEmpty(t, dir, "a.test.key", "a.test.pem")
}

func TestAWriteThatFailsLeavesNothingBehind(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	issued := server(t, a, "a.test")
	must(t, os.Mkdir(filepath.Join(dir, "a.test.pem"), 0o700)) // the second file to be written
	for _, force := range []bool{false, true} {
		_, _, err := issued.Write(dir, force)
		wantError(t, err, "a.test.pem")
		wantEmpty(t, dir, "a.test.pem")
	}
	key := write(t, dir, "a.test.key", []byte("the key that was there"))
	_, _, err := issued.Write(dir, true)
	wantError(t, err, "a.test.pem")
	if data, err := os.ReadFile(key); err != nil || string(data) != "the key that was there" {
		t.Errorf("the old key is %q, %v", data, err)
	}
	wantEmpty(t, dir, "a.test.key", "a.test.pem")

	must(t, os.Remove(filepath.Join(dir, "a.test.pem")))
	write(t, dir, "a.test.pem", []byte("only the certificate is there"))
	must(t, os.Remove(key))
	if _, _, err := issued.Write(dir, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	wantEmpty(t, dir, "a.test.pem")

	// A folder that cannot be made: a file is in the way.
	_, _, err = issued.Write(filepath.Join(dir, "a.test.pem", "out"), false)
	wantError(t, err, "out")
	wantEmpty(t, dir, "a.test.pem")
}

func TestAWriteReplacesNoDevice(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there a device has no folder")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "crl.pem")
	must(t, os.Symlink(os.DevNull, path))
	wantError(t, certs.WriteFile(path, []byte("list")), "crl.pem", "device")
	if target, err := os.Readlink(path); err != nil || target != os.DevNull {
		t.Errorf("it leads to %q, %v", target, err)
	}
	wantEmpty(t, dir, "crl.pem")
}

func TestNamesOfFilesAreSafe(t *testing.T) {
	a := newAuthority(t)
	for _, test := range []struct {
		names  []string
		client bool
		want   string
	}{
		{[]string{"*.x.test"}, false, "_wildcard.x.test"},
		{[]string{"::1"}, false, "__1"},
		{[]string{"../../etc/passwd"}, true, "__.._etc_passwd"},
		{[]string{".."}, true, "_"},
		{[]string{".hidden"}, true, "_hidden"},
		{[]string{`C:\x`}, true, "C__x"},
		{[]string{"con"}, true, "_con"},
		{[]string{"nul.txt"}, true, "_nul.txt"},
		{[]string{"com1.test"}, false, "_com1.test"},
		{[]string{"ann@box"}, true, "ann@box"},
		{[]string{"-rf"}, true, "_-rf"},
		{[]string{"Zoë"}, true, "Zo_"},
	} {
		t.Run(test.names[0], func(t *testing.T) {
			dir := t.TempDir()
			certPath, keyPath, err := issue(t, a, certs.Request{Names: test.names, Client: test.client}).Write(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			if certPath != filepath.Join(dir, test.want+".pem") || keyPath != filepath.Join(dir, test.want+".key") {
				t.Errorf("wrote %q and %q, want %s.pem and .key", certPath, keyPath, test.want)
			}
			wantEmpty(t, dir, test.want+".key", test.want+".pem")
		})
	}
}

// What is reckoned from a lifetime, as renewal and warnings are, must hold for short ones.
func TestTheLifeAskedForIsMostOfTheWhole(t *testing.T) {
	a := newAuthority(t)
	for _, life := range []time.Duration{time.Second, 4 * time.Second, 19 * time.Second, time.Minute, time.Hour, 10*time.Hour - time.Second, 10 * time.Hour, 90 * 24 * time.Hour} {
		leaf := issue(t, a, certs.Request{Names: []string{"a.test"}, For: life}).Certificate.Leaf
		if got := certs.LifeOf(leaf); got != life {
			t.Errorf("LifeOf one asked to last %v is %v", life, got)
		}
		if whole := leaf.NotAfter.Sub(leaf.NotBefore); whole > life*11/10 {
			t.Errorf("one that is to last %v has %v of lifetime", life, whole)
		}
		if warning := certs.LifetimeWarning("it", leaf); life > 10*time.Second && warning != "" {
			t.Errorf("a new one that lasts %v is warned of: %s", life, warning)
		}
	}
}
