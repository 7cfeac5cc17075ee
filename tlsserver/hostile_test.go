package tlsserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// A bad client does one wrong thing and goes away, or waits to be put out.
type badClient struct {
	name string
	act  func(t *testing.T, s *tlstest.Server, nc net.Conn)
}

func badClients(foreign tls.Certificate) []badClient {
	waitForTheEnd := func(nc net.Conn) { io.Copy(io.Discard, nc) }
	reset := func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) } // its Close is a reset
	return []badClient{
		{"no hello", func(t *testing.T, s *tlstest.Server, nc net.Conn) { waitForTheEnd(nc) }},
		{"closed at once", func(t *testing.T, s *tlstest.Server, nc net.Conn) {}},
		{"half a hello", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			hello := captureHello(t)
			nc.Write(hello[:len(hello)/2])
			waitForTheEnd(nc)
		}},
		{"garbage", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			nc.Write([]byte("\x00\xff\x17garbage that is no TLS at all"))
			waitForTheEnd(nc)
		}},
		{"garbage in a record", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			nc.Write([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 255})
			waitForTheEnd(nc)
		}},
		{"HTTP", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			nc.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			waitForTheEnd(nc)
		}},
		{"reset before the hello", func(t *testing.T, s *tlstest.Server, nc net.Conn) { reset(nc) }},
		{"reset in the handshake", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			nc.Write(captureHello(t))
			nc.Read(make([]byte, 1))
			reset(nc)
		}},
		{"no certificate", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			c := tls.Client(nc, clientConfig(s, 0))
			io.Copy(io.Discard, c)
		}},
		{"wrong certificate", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			c := tls.Client(nc, withClient(clientConfig(s, 0), foreign))
			io.Copy(io.Discard, c)
		}},
		{"does not trust the server", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			tls.Client(nc, &tls.Config{ServerName: "localhost"}).Handshake()
		}},
		{"closing without close_notify", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			c := tls.Client(nc, withClient(clientConfig(s, 0), s.ClientCertificate("cut")))
			io.WriteString(c, "abc")
			io.ReadFull(c, make([]byte, 10)) // unread input would make a reset of its end
		}},
		{"reset in the service", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			c := tls.Client(nc, withClient(clientConfig(s, 0), s.ClientCertificate("reset")))
			io.WriteString(c, "abc")
			reset(nc)
		}},
		{"garbage in the service", func(t *testing.T, s *tlstest.Server, nc net.Conn) {
			c := tls.Client(nc, withClient(clientConfig(s, 0), s.ClientCertificate("garbage")))
			c.Handshake()
			nc.Write([]byte{23, 3, 3, 0, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40})
			waitForTheEnd(nc)
		}},
	}
}

func TestOf200ClientsTheBrokenHalfDoesNotHarmTheOther(t *testing.T) {
	timeout := max(5*time.Second, 400*handshakeTime(t)) // all handshakes at once, and half of it to spare
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.HandshakeTimeout = timeout
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	foreign := client(t, newAuthority(t), "mallory")
	bad := badClients(foreign)
	good := withClient(clientConfig(s, 0), s.ClientCertificate("good"))
	if _, err := enter(s, good); err != nil {
		t.Fatal(err)
	}
	wantReason(t, s, "done")
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)

	var clients sync.WaitGroup
	var served atomic.Int32
	for i := range 100 {
		clients.Go(func() {
			if _, err := enter(s, good); err != nil {
				t.Errorf("good client %d: %v", i, err)
				return
			}
			served.Add(1)
		})
		clients.Go(func() {
			nc, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Errorf("bad client %d: %v", i, err)
				return
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(timeout + 15*time.Second))
			bad[i%len(bad)].act(t, s, nc)
		})
	}
	clients.Wait()
	if served.Load() != 100 {
		t.Errorf("%d good clients of 100 were served", served.Load())
	}
	reasons := make(map[tlsserver.Reason]int)
	for range 200 {
		reasons[s.WaitEnded().Reason]++
	}
	t.Log(reasons)
	for _, want := range []tlsserver.Reason{
		"done", "closed-before-hello", "timeout:hello", "not-tls", "malformed", "reset", "no-certificate", "untrusted", "peer-refused-us:bad_certificate", "truncated",
	} {
		if reasons[want] == 0 {
			t.Errorf("no connection ended for %q: %v", want, reasons)
		}
	}
	settle(t, "goroutines", goroutines, runtime.NumGoroutine)
	settle(t, "descriptors", descriptors, func() int { return openDescriptors(t) })
}

// handshakeTime is how long a client that is alone takes to get in and out: more
// on a machine that is slow or has other things to do.
func handshakeTime(t *testing.T) time.Duration {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.HandshakeTimeout = -1
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	good := withClient(clientConfig(s, 0), s.ClientCertificate("good"))
	start := time.Now()
	const times = 10
	for range times {
		if _, err := enter(s, good); err != nil {
			t.Fatal(err)
		}
		wantReason(t, s, "done")
	}
	return time.Since(start) / times
}

// settle waits for a figure to be back where it was.
func settle(t *testing.T, what string, before int, now func() int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for now() > before {
		if time.Now().After(deadline) {
			t.Errorf("%s: %d before, %d after", what, before, now())
			return
		}
		runtime.Gosched()
	}
}

// openDescriptors counts what this process has open; 0 where it cannot be told.
func openDescriptors(t *testing.T) int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			return len(entries)
		}
	}
	return 0
}

func TestMalformedAndOtherEndsHaveTheirWord(t *testing.T) {
	start := func(timeout time.Duration) *tlstest.Server {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Config.HandshakeTimeout = timeout
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		return s
	}
	patient, impatient := start(0), start(50*time.Millisecond)
	want := map[string]tlsserver.Reason{
		"no hello": "timeout:hello", "closed at once": "closed-before-hello", "half a hello": "timeout:hello",
		"garbage": "not-tls", "garbage in a record": "malformed", "HTTP": "not-tls",
		"reset before the hello": "closed-before-hello", "reset in the handshake": "reset",
		"no certificate": "no-certificate", "wrong certificate": "untrusted",
		"does not trust the server":    "peer-refused-us:bad_certificate",
		"closing without close_notify": "truncated", "garbage in the service": "malformed",
	}
	for _, b := range badClients(client(t, newAuthority(t), "mallory")) {
		if want[b.name] == "" {
			continue
		}
		s := patient
		if want[b.name] == "timeout:hello" {
			s = impatient
		}
		nc, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		b.act(t, s, nc)
		nc.Close()
		if e := s.WaitEnded(); e.Reason != want[b.name] {
			t.Errorf("%s: reason %q (%v), want %q", b.name, e.Reason, e.Err, want[b.name])
		}
	}
}

// broken are the ways in which a renewal can go wrong.
var broken = []struct {
	name string
	do   func(t *testing.T, pair certs.Pair)
}{
	{"not a certificate", func(t *testing.T, pair certs.Pair) { writeFile(t, pair.Cert, "not a certificate") }},
	{"empty", func(t *testing.T, pair certs.Pair) { writeFile(t, pair.Cert, "") }},
	{"half a file", func(t *testing.T, pair certs.Pair) { writeFile(t, pair.Cert, readFile(t, pair.Cert)[:100]) }},
	{"the key in its place", func(t *testing.T, pair certs.Pair) { writeFile(t, pair.Cert, readFile(t, pair.Key)) }},
	{"the certificate in the key's place", func(t *testing.T, pair certs.Pair) { writeFile(t, pair.Key, readFile(t, pair.Cert)) }},
	{"gone", func(t *testing.T, pair certs.Pair) { os.Remove(pair.Key) }},
	{"a folder", func(t *testing.T, pair certs.Pair) {
		os.Remove(pair.Cert)
		if err := os.Mkdir(pair.Cert, 0o700); err != nil {
			t.Fatal(err)
		}
	}},
	{"another certificate's key", func(t *testing.T, pair certs.Pair) {
		issued, err := newAuthority(t).Issue(certs.Request{Names: []string{"localhost"}})
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, pair.Key, string(issued.KeyPEM))
	}},
}

func TestReloadUnderLoadFailsNobody(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	dir := t.TempDir()
	pair := certs.Pair{Cert: filepath.Join(dir, "localhost.pem"), Key: filepath.Join(dir, "localhost.key")}
	renew := func() {
		issued, err := s.Authority.Issue(certs.Request{Names: []string{"localhost"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := issued.Write(dir, true); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	files, err := certs.LoadFiles(pair)
	if err != nil {
		t.Fatal(err)
	}
	s.Trust.Source = files
	s.Start()

	stop := make(chan struct{})
	var clients sync.WaitGroup
	var visits atomic.Int32
	served := sync.Map{} // serial numbers seen
	for i := range 4 {
		config := clientConfig(s, 0)
		if i%2 == 0 {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				cs, err := enter(s, config)
				if err != nil {
					t.Errorf("a visit during the reloads: %v", err)
					return
				}
				served.Store(cs.PeerCertificates[0].SerialNumber.String(), true)
				visits.Add(1)
			}
		})
	}
	for i := range 20 {
		renew()
		fresh, err := files.Reload()
		if err != nil {
			t.Fatal(err)
		}
		files = fresh
		if err := s.Config.SetTrust(&tlsserver.Trust{Source: files}); err != nil {
			t.Fatal(err)
		}
		for before := visits.Load(); visits.Load() < before+8 && !t.Failed(); { // each value is used
			runtime.Gosched()
		}
		breakFile := broken[i%len(broken)] // what is broken leaves the old state
		breakFile.do(t, pair)
		if _, err := files.Reload(); err == nil {
			t.Errorf("%s: loaded", breakFile.name)
		}
		os.RemoveAll(pair.Cert)
	}
	close(stop)
	clients.Wait()
	count := 0
	served.Range(func(any, any) bool { count++; return true })
	if count < 20 {
		t.Errorf("%d certificates were seen in %d visits, want each of the 20 that were loaded", count, visits.Load())
	}
	if _, ok := served.Load(files.Leaves()[0].SerialNumber.String()); !ok {
		t.Error("the last certificate was never served")
	}
}

// Arbitrary bytes, cut at arbitrary places, come back as they were sent.
func FuzzGreetAndEcho(f *testing.F) {
	f.Add([]byte("abc"), uint16(1))
	f.Add([]byte("world123!\r\n"), uint16(4))
	f.Add(make([]byte, 40_000), uint16(16385))
	f.Add([]byte{}, uint16(0))
	var s *tlstest.Server
	f.Fuzz(func(t *testing.T, data []byte, chunk uint16) {
		s = tlstest.NewUnstartedServer(t, greetEcho)
		s.StartPlain()
		nc, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		go func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), int(chunk)+1)
				nc.Write(rest[:n])
				rest = rest[n:]
			}
			nc.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(nc)
		if want := "hello\r\n" + string(data); err != nil || string(got) != want {
			t.Errorf("%v: %d bytes came back, want %d: %s", err, len(got), len(want), fmt.Sprintf("%.40q", got))
		}
	})
}
