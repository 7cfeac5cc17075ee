package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
)

// A listServer publishes what it is given.
type listServer struct {
	mu       sync.Mutex
	content  []byte
	status   int      // zero: 200
	etag     string   // empty: none
	requests []string // the If-None-Match of each
}

func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Header.Get("If-None-Match"))
	switch {
	case s.status != 0:
		w.WriteHeader(s.status)
	case s.etag != "" && r.Header.Get("If-None-Match") == s.etag:
		w.WriteHeader(http.StatusNotModified)
	default:
		if s.etag != "" {
			w.Header().Set("ETag", s.etag)
		}
		w.Write(s.content)
	}
}

func (s *listServer) publish(content []byte, status int, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content, s.status, s.etag = content, status, etag
}

func (s *listServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func newFetcher(t testing.TB, o certs.CRLFetcherOptions) *certs.CRLFetcher {
	t.Helper()
	f, err := certs.NewCRLFetcher(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fetch makes one attempt, and checks what comes of it.
func fetch(t testing.TB, f *certs.CRLFetcher, changed bool, problem string) {
	t.Helper()
	all := f.Fetch(t.Context())
	if len(all) != 1 || all[0].Changed != changed || (all[0].Err == nil) != (problem == "") {
		t.Fatalf("fetched %+v, want one attempt with changed %v and the error %q", all, changed, problem)
	}
	if problem != "" {
		wantError(t, all[0].Err, "fetch revocation list ", problem)
	}
}

func TestAFetchedListCountsAndTheLastGoodOneIsKept(t *testing.T) {
	h := newHierarchy(t)
	server := &listServer{}
	web := httptest.NewServer(server)
	defer web.Close()
	dir := filepath.Join(t.TempDir(), "state", "crl")
	f := newFetcher(t, certs.CRLFetcherOptions{URLs: []string{web.URL + "/list.crl"}, Dir: dir})
	judge := func() error {
		return load(t, certs.RevocationOptions{Fetched: f}).Check([][]*x509.Certificate{h.chain[1:]})
	}
	number := func(n int64) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.Number = big.NewInt(n) }
	}

	server.publish(nil, http.StatusServiceUnavailable, "")
	fetch(t, f, false, "503 Service Unavailable")
	wantRefused(t, judge(), "there is no revocation list of its issuer CN=root")
	server.publish(crl(t, h.root, number(1)), 0, `"one"`)
	fetch(t, f, true, "")
	if err := judge(); err != nil {
		t.Errorf("after the first list: %v", err)
	}
	fetch(t, f, false, "") // 304
	server.publish(crlPEM(crl(t, h.root, number(2), h.intermediate.cert)), 0, "")
	fetch(t, f, true, "")
	wantRefused(t, judge(), "CN=intermediate", "was revoked by CN=root")
	fetch(t, f, false, "") // 200, the same
	if got := strings.Join(server.asked(), " "); got != `  "one" "one" ` {
		t.Errorf("the requests had the tags %q", got)
	}

	for problem, content := range map[string][]byte{
		"not a revocation list": []byte("<html>"),
		"older list":            crl(t, h.root, number(1)),
		"2 lists were sent":     crlPEM(crl(t, h.root, number(3)), crl(t, h.intermediate, nil)),
		"more than":             bytes.Repeat([]byte("x"), 64<<20+1),
		"empty":                 {},
	} {
		server.publish(content, 0, "")
		fetch(t, f, false, problem)
		wantRefused(t, judge(), "was revoked")
	}
	server.publish(crl(t, h.root, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(4), time.Now().Add(-3*time.Hour), time.Now().Add(-2*time.Hour)
	}), 0, "")
	fetch(t, f, true, "the list that the server has expired 2 hours ago")
	server.publish(crl(t, h.root, number(5), h.intermediate.cert), 0, "")
	fetch(t, f, true, "")

	// a restart with the server down
	web.Close()
	f = newFetcher(t, certs.CRLFetcherOptions{URLs: []string{web.URL + "/list.crl"}, Dir: dir})
	wantRefused(t, judge(), "was revoked")
	fetch(t, f, false, "connection refused")
	wantRefused(t, judge(), "was revoked")

	// what was kept is damaged: as good as none
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	write(t, dir, entries[0].Name(), []byte("damaged"))
	f = newFetcher(t, certs.CRLFetcherOptions{URLs: []string{web.URL + "/list.crl"}, Dir: dir})
	wantRefused(t, judge(), "there is no revocation list of its issuer CN=root")
}

func TestAForgedListDoesNotReplaceTheTrueOne(t *testing.T) {
	h, foreign := newHierarchy(t), newHierarchy(t)
	lying := *foreign.root.cert
	lying.SubjectKeyId = h.root.cert.SubjectKeyId
	forged := crlBy(t, &lying, foreign.root.key, func(l *x509.RevocationList) { l.Number = big.NewInt(99) })
	server := &listServer{content: crl(t, h.root, nil, h.intermediate.cert)}
	web := httptest.NewServer(server)
	defer web.Close()
	authority := write(t, t.TempDir(), "ca.pem", h.root.certPEM)
	for name, authorities := range map[string][]string{"known": {authority}, "unknown": nil} {
		t.Run(name, func(t *testing.T) {
			server.publish(crl(t, h.root, nil, h.intermediate.cert), 0, "")
			f := newFetcher(t, certs.CRLFetcherOptions{URLs: []string{web.URL}, Authorities: authorities})
			judge := func() error {
				return load(t, certs.RevocationOptions{Fetched: f}).Check([][]*x509.Certificate{h.chain[1:]})
			}
			fetch(t, f, true, "")
			wantRefused(t, judge(), "was revoked")
			server.publish(forged, 0, "")
			if authorities != nil {
				fetch(t, f, false, "is not signed by CN=root")
			} else {
				fetch(t, f, true, "")
			}
			wantRefused(t, judge(), "was revoked")
			r := load(t, certs.RevocationOptions{Fetched: f})
			r.Check([][]*x509.Certificate{h.chain[1:]})
			if w := r.Warnings(); authorities == nil && (len(w) != 1 || !strings.Contains(w[0], "is not signed by CN=root")) {
				t.Errorf("warnings %q, want one about the forged list", w)
			}
			server.publish(crl(t, h.root, func(l *x509.RevocationList) { l.Number = big.NewInt(100) }), 0, "")
			fetch(t, f, true, "")
			if err := judge(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddressesThatCannotBeFetchedAreRefused(t *testing.T) {
	for _, address := range []string{"", "list.crl", "/etc/list.crl", "file:///etc/list.crl", "ldap://ca.test/cn=x", "http://", "https:list", "http://a b/"} {
		_, err := certs.NewCRLFetcher(certs.CRLFetcherOptions{URLs: []string{address}})
		wantError(t, err, "fetch revocation list", "http:// or https://")
	}
	server := httptest.NewServer(&listServer{status: http.StatusUnauthorized})
	defer server.Close()
	f := newFetcher(t, certs.CRLFetcherOptions{URLs: []string{strings.Replace(server.URL, "http://", "http://user:secret@", 1)}})
	got := f.Fetch(t.Context())[0]
	wantError(t, got.Err, "401 Unauthorized")
	if strings.Contains(got.Err.Error()+got.URL, "secret") {
		t.Errorf("the password is told: %v, %s", got.Err, got.URL)
	}
}

// A listPipe is a listener for a bubble, where sockets cannot be.
type listPipe struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *listPipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listPipe) Close() error {
	close(l.done)
	return nil
}

func (l *listPipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *listPipe) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	l.conns <- server
	return client, nil
}

func TestListsAreFetchedBeforeTheyExpireAndFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHierarchy(t)
		life := func(d time.Duration) []byte {
			return crl(t, h.root, func(l *x509.RevocationList) {
				l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(time.Now().Unix()), time.Now().Add(min(d, 0)-time.Minute), time.Now().Add(d)
			})
		}
		server := &listServer{content: life(20 * time.Minute)}
		pipe := &listPipe{make(chan net.Conn), make(chan struct{})}
		web := &http.Server{Handler: server}
		var running sync.WaitGroup
		running.Go(func() { web.Serve(pipe) })
		f := newFetcher(t, certs.CRLFetcherOptions{
			URLs:   []string{"http://ca.test/list"},
			Client: &http.Client{Transport: &http.Transport{DialContext: pipe.dial, DisableKeepAlives: true}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		attempts := make(chan certs.CRLFetch)
		running.Go(func() { f.Run(ctx, func(c certs.CRLFetch) { attempts <- c }) })
		last := time.Now()
		// next checks the attempt that comes after about d: a tenth and more is left to chance.
		next := func(what string, d time.Duration, failed bool) {
			t.Helper()
			got := <-attempts
			if passed := time.Since(last); passed > d+d/20 || passed < d-d/5 || (got.Err != nil) != failed {
				t.Errorf("%s: after %v, error %v; want one after %v", what, passed, got.Err, d)
			}
			last = time.Now()
		}
		next("at the start", 0, false)
		server.publish(life(12*time.Hour), 0, "")
		next("in half of its time", 10*time.Minute, false)
		server.publish(nil, http.StatusBadGateway, "")
		next("at the latest in an hour", time.Hour, true)
		for _, wait := range []time.Duration{10, 20, 40, 80, 160, 320, 600, 600} {
			next("after a failure", wait*time.Second, true)
		}
		server.publish(life(time.Hour), 0, "")
		next("after the last failure", 600*time.Second, false)
		server.publish(life(-time.Second), 0, "")
		next("in half of its time again", 30*time.Minute-300*time.Second, true)
		server.publish(life(22*time.Second), 0, "")
		next("what has expired already is a failure", 10*time.Second, false)
		next("at the earliest in ten seconds", 10*time.Second, false)
		cancel()
		web.Close()
		running.Wait()
	})
}
