package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
)

func testCertificate(t *testing.T, a *certs.Authority, life time.Duration, names ...string) tls.Certificate {
	t.Helper()
	issued, err := a.Issue(certs.Request{Names: names, For: life})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Certificate
}

func testAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A logText is what was logged since it was last taken.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

// testReloader serves what source has, and logs into the buffer.
func testReloader(t *testing.T, source certs.Source, strict bool) (*reloader, *logText) {
	t.Helper()
	var buf logText
	log := slog.New(slog.NewTextHandler(&buf, nil))
	server := &tlsserver.Server{StrictSNI: strict}
	t.Cleanup(func() { server.Close() })
	r := &reloader{config: &trustConfig{clientTrust: clientTrust{revocation: &revocationConfig{}}}, server: server, log: log, prover: &prover{server, log, newLifetimes(log)}}
	if err := r.load(source); err != nil {
		t.Fatal(err)
	}
	return r, &buf
}

// wantLines checks the whole log, a regular expression for each line.
func wantLines(t *testing.T, buf *logText, patterns ...string) {
	t.Helper()
	text := buf.take()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	for i, pattern := range patterns {
		if i >= len(lines) || !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Fatalf("line %d does not match %q:\n%s", i+1, pattern, text)
		}
	}
	if len(lines) != len(patterns) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(patterns), text)
	}
}

// Every name is proved, wildcards and keys of several kinds too; with strict
// names none is proved for clients that ask for nothing.
func TestEveryNameIsProved(t *testing.T) {
	a := testAuthority(t)
	first, wild := testCertificate(t, a, 0, "a.test", "b.test"), testCertificate(t, a, 0, "*.test")
	rsa, err := a.Issue(certs.Request{Names: []string{"a.test"}, KeyType: certs.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	leaves := []*x509.Certificate{first.Leaf, wild.Leaf, rsa.Certificate.Leaf}
	for _, strict := range []bool{false, true} {
		r, buf := testReloader(t, certs.Static(first, wild, rsa.Certificate), strict)
		buf.take()
		r.prover.prove(t.Context(), wantedOf(leaves, strict))
		line := func(name string, c tls.Certificate) string {
			return fmt.Sprintf(`level=INFO msg="serving certificate" name=%s serial=%x until=20`, regexp.QuoteMeta(name), c.Leaf.SerialNumber)
		}
		lines := []string{line("a.test", first), line("b.test", first), line("*.test", wild)}
		if !strict {
			lines = append([]string{line("-", first)}, lines...)
		}
		wantLines(t, buf, lines...)
	}
}

// What is served and is not what should be, and what is not served at all, is
// said loudly.
func TestAWrongProofIsLoud(t *testing.T) {
	a := testAuthority(t)
	served, loaded := testCertificate(t, a, 0, "a.test"), testCertificate(t, a, 0, "a.test", "b.test")
	r, buf := testReloader(t, certs.Static(served), true)
	buf.take()
	r.prover.prove(t.Context(), wantedOf([]*x509.Certificate{loaded.Leaf}, true))
	wantLines(t, buf,
		fmt.Sprintf(`level=ERROR msg="the certificate that is served is not the one that was loaded" name=a.test serial=%x loaded=%x$`, served.Leaf.SerialNumber, loaded.Leaf.SerialNumber),
		`level=ERROR msg="no certificate is served" name=b.test err=.*unrecognized name`)
}

// A certificate that comes into its last tenth while it serves is warned of,
// once a day.
func TestExpiryIsNoticedWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := testAuthority(t)
		r, buf := testReloader(t, certs.Static(testCertificate(t, a, 30*24*time.Hour, "a.test")), false)
		buf.take()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.warnHourly(ctx); close(ended) }()
		time.Sleep(26 * 24 * time.Hour)
		synctest.Wait()
		wantLines(t, buf)
		time.Sleep(36 * time.Hour)
		synctest.Wait()
		wantLines(t, buf, `level=WARN msg="certificate .*a\.test.* expires in 3 days, at .*" serial=`)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		wantLines(t, buf, `level=WARN msg="certificate .*a\.test.* expires in `)
		cancel()
		<-ended
	})
}

// However many certificates there are, the memory of them is bounded.
func TestWarningsAreRememberedWithinBounds(t *testing.T) {
	l := newLifetimes(slog.New(slog.DiscardHandler))
	for n := range 2 * maxWarned {
		c := &x509.Certificate{Raw: big.NewInt(int64(n)).Bytes()}
		if !l.isNews(c) || l.isNews(c) {
			t.Fatalf("certificate %d is not remembered", n)
		}
	}
	if len(l.warned) > maxWarned {
		t.Errorf("%d are remembered", len(l.warned))
	}
}

// A stuckSource answers only when the handshake is given up.
type stuckSource struct{}

func (stuckSource) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	<-hello.Context().Done()
	return nil, hello.Context().Err()
}

// That there was no time for a name is not taken for a fault of its certificate.
func TestNamesThatWereNotProvedInTimeAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf logText
		log := slog.New(slog.NewTextHandler(&buf, nil))
		server := &tlsserver.Server{HandshakeTimeout: -1}
		defer server.Close()
		if err := server.SetTrust(&tlsserver.Trust{Source: stuckSource{}}); err != nil {
			t.Fatal(err)
		}
		p := &prover{server, log, newLifetimes(log)}
		p.prove(t.Context(), []wanted{{name: "a.test", asks: "a.test"}, {name: "b.test", asks: "b.test"}})
		wantLines(t, &buf, `level=WARN msg="not all names were proved in time" proved=0 left=2 after=10s`)
	})
}
