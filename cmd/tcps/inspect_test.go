package main

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tcps/certs"
)

// -update writes anew what the tests compare with: golden files, and the
// examples' code on the pages. go test ./cmd/tcps -run Golden -update.
var update = flag.Bool("update", false, "write golden files and the code on pages instead of comparing with them")

// fixedServer is always the same, but for its port, keys and times.
func fixedServer(t *testing.T) (address, caFile string) {
	t.Helper()
	config, caFile := fixedConfig(t)
	return serveEach(t, func(c net.Conn, _ int) { readAll(tls.Server(c, config)) }), caFile
}

func fixedConfig(t *testing.T) (config *tls.Config, caFile string) {
	t.Helper()
	a, _, err := certs.OpenOrCreateAuthority(filepath.Join(t.TempDir(), "authority"), certs.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(certs.Request{Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Root().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{issued.Certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.CurveP256},
	}, caFile
}

// serveEach serves every connection until the test ends; they are counted from 1.
func serveEach(t *testing.T, each func(c net.Conn, number int)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for number := 1; ; number++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { each(c, number) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// readAll reads to the end of the connection, and closes it.
func readAll(c net.Conn) {
	defer c.Close()
	io.Copy(io.Discard, c)
}

// A server that says nothing any more takes the time that there is, and no more;
// what came before is reported.
func TestInspectReportsWhatItHasWhenTimeIsOver(t *testing.T) {
	config, ca := fixedConfig(t)
	address := serveEach(t, func(c net.Conn, number int) {
		if number <= 2 {
			readAll(tls.Server(c, config))
		} else {
			readAll(c)
		}
	})
	var out, errs bytes.Buffer
	args := []string{"inspect", "--ca", ca, "--name", "localhost", "--state", t.TempDir(), "--timeout", "500ms", address}
	if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs}); code != exitTimeout {
		t.Errorf("exit status %d, want %d: %s", code, exitTimeout, errs.String())
	}
	for _, want := range []string{
		"\n !  not everything could be found out", "\n    TLS 1.3   yes, fine\n", "\n    TLS 1.2   unknown\n", "\n !  TLS 1.2: timed out\n", "\n !  ALPN: timed out\n", "CN=localhost, ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	}
}

// A certificate proves nothing before the handshake is over, whoever sends it: a
// server that nobody can shake hands with is not good. That one wants a certificate
// of ours is no fault.
func TestInspectFindsFaultWithHandshakesThatComeToNothing(t *testing.T) {
	config, ca := fixedConfig(t)
	refuse := func(tls.ConnectionState) error { return errors.New("nobody is let in") }
	for name, c := range map[string]struct {
		change func(*tls.Config)
		code   int
		says   string
	}{
		"key of somebody else": {func(c *tls.Config) {
			c.Certificates[0].PrivateKey = brokenSigner{c.Certificates[0].PrivateKey.(crypto.Signer), nil}
		}, 6, "invalid signature by the server certificate"},
		"no signature": {func(c *tls.Config) {
			c.Certificates[0].PrivateKey = brokenSigner{c.Certificates[0].PrivateKey.(crypto.Signer), errors.New("no key")}
		}, 10, "internal error"},
		"not a certificate": {func(c *tls.Config) {
			c.Certificates[0].Certificate = [][]byte{{0x30, 0x03, 0x02, 0x01, 0x01}}
		}, 6, "failed to parse certificate"},
		"refusal, TLS 1.2":   {func(c *tls.Config) { c.VerifyConnection, c.MaxVersion = refuse, tls.VersionTLS12 }, 10, "bad certificate"},
		"refusal, TLS 1.3":   {func(c *tls.Config) { c.VerifyConnection = refuse }, 10, "bad certificate"},
		"certificate wanted": {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, 0, "clients of today accept it"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := config.Clone()
			broken.Certificates = slices.Clone(config.Certificates)
			c.change(broken)
			address := serveEach(t, func(c net.Conn, _ int) {
				conn := tls.Server(c, broken)
				if conn.Handshake() != nil {
					readAll(c) // a reset would be another reason
				}
				readAll(conn)
			})
			var out, errs bytes.Buffer
			args := []string{"inspect", "--ca", ca, "--name", "localhost", "--state", t.TempDir(), address}
			if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs}); code != c.code {
				t.Errorf("exit status %d, want %d: %s", code, c.code, errs.String())
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("does not say %q:\n%s", c.says, out.String())
			}
		})
	}
}

// A reset right after the handshake may have been a refusal.
func TestInspectDoesNotTakeAResetForConsent(t *testing.T) {
	config, ca := fixedConfig(t)
	config.SessionTicketsDisabled = true // which would say that we are taken
	address := serveEach(t, func(c net.Conn, _ int) {
		conn := tls.Server(c, config)
		if conn.Handshake() == nil {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	})
	var out, errs bytes.Buffer
	args := []string{"inspect", "--ca", ca, "--name", "localhost", "--state", t.TempDir(), "--warn-days", "off", address}
	if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs}); code != exitFailed {
		t.Errorf("exit status %d, want %d: %s", code, exitFailed, errs.String())
	}
	if want := "\n !  whether it takes clients: "; !strings.Contains(out.String(), want) {
		t.Errorf("does not say %q:\n%s", want, out.String())
	}
}

// A brokenSigner signs nothing, or for the public key of another one.
type brokenSigner struct {
	crypto.Signer
	err error
}

func (s brokenSigner) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Signer.Sign(random, append([]byte{^digest[0]}, digest[1:]...), o)
}

// The report of a fixed server, in JSON and in words, is what the golden files say;
// -update writes them anew.
func TestInspectGolden(t *testing.T) {
	address, ca := fixedServer(t)
	for file, flags := range map[string][]string{"inspect.json": {"--json"}, "inspect.txt": nil} {
		var out, errs bytes.Buffer
		args := append([]string{"inspect", "--ca", ca, "--name", "localhost", "--state", t.TempDir(), address}, flags...)
		if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs}); code != 0 || errs.Len() > 0 {
			t.Fatalf("%q: exit status %d, %s", args, code, errs.String())
		}
		got := settled(t, out.Bytes())
		path := filepath.Join("testdata", "golden", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// settled is a report without what differs from run to run, and with the suites of
// TLS 1.3 in one order: servers choose by what their processor is good at.
func settled(t *testing.T, report []byte) string {
	t.Helper()
	if report[0] == '{' {
		report = withSuitesSorted(t, report)
	}
	for _, r := range []struct{ pattern, with string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`until \d{4}-\d\d-\d\d`, "until DAY"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`[0-9A-F]{64}`, "DIGEST"},
		{`"serial": "[0-9a-f]+"`, `"serial": "NUMBER"`},
		{`"pin": "[^"]+"`, `"pin": "PIN"`},
		{`tcps \S+ \d{4} [0-9a-f]{8}(,OU=\S+,O=tcps local authority)?`, "AUTHORITY"},
		{` +TLS 1\.3   TLS_\S+ +fine\n`, ""},
	} {
		report = regexp.MustCompile(r.pattern).ReplaceAll(report, []byte(r.with))
	}
	return string(report)
}

func withSuitesSorted(t *testing.T, report []byte) []byte {
	var r inspectReport
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Versions {
		slices.SortFunc(v.Suites, func(a, b inspectSuite) int { return cmp.Compare(a.ID, b.ID) })
	}
	var out bytes.Buffer
	p := &program{stdio: stdio{out: &out}}
	if err := p.printJSON(r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
