package service_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A halfConn is a connection with half-close.
type halfConn interface {
	net.Conn
	CloseWrite() error
}

// overEach runs a test over TLS 1.2, TLS 1.3, plain TCP and a Unix socket.
func overEach(t *testing.T, h tlsserver.Handler, f func(t *testing.T, c halfConn)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := tlstest.NewServer(t, h)
			c, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost", MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			f(t, c)
		})
	}
	t.Run("plain", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, h)
		s.StartPlain()
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c.(*net.TCPConn))
	})
	t.Run("unix", func(t *testing.T) {
		s := &tlsserver.Server{Handler: h}
		l, err := tlsserver.Listen(t.Context(), "unix://"+t.TempDir()+"/s")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.ServePlain(t.Context(), l) }()
		defer func() { s.Close(); <-served }()
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c.(*net.UnixConn))
	})
}

func TestGreetSaysHelloBeforeAnythingElseAndWithoutWaiting(t *testing.T) {
	overEach(t, service.Greet("hello\r\n", service.Echo()), func(t *testing.T, c halfConn) {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		hello := make([]byte, 7)
		if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "hello\r\n" { // nothing was sent yet
			t.Fatalf("greeted with %q, %v", hello, err)
		}
		io.WriteString(c, "abc")
		c.CloseWrite()
		if rest, err := io.ReadAll(c); string(rest) != "abc" || err != nil {
			t.Errorf("then %q, %v; want abc and a clean end", rest, err)
		}
	})
}

func TestGreetWithNothingAfterItEnds(t *testing.T) {
	overEach(t, service.Greet("bye", nil), func(t *testing.T, c halfConn) {
		if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A pattern is a stream of bytes in which no two places look alike.
func pattern(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func TestEchoReturns64MiBWhole(t *testing.T) {
	const size = 64 << 20
	overEach(t, service.Echo(), func(t *testing.T, c halfConn) {
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		sent := sha256.New()
		wrote := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, io.TeeReader(io.LimitReader(pattern(1), size), sent))
			c.CloseWrite()
			wrote <- err
		}()
		got := sha256.New()
		n, err := io.Copy(got, c)
		if err != nil || n != size {
			t.Errorf("%d bytes came back, then %v; want %d and a clean end", n, err, size)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
			t.Error("other bytes came back than were sent")
		}
	})
}

func TestEchoHoldsBackAClientThatDoesNotReadWithFlatMemory(t *testing.T) {
	overEach(t, service.Echo(), func(t *testing.T, c halfConn) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		block := make([]byte, 1<<20)
		var sent int64
		for { // the client never reads: its writes must stall
			c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := c.Write(block)
			sent += int64(n)
			if err != nil {
				break
			}
			if sent > 1<<30 {
				t.Fatal("1 GiB was taken from a client that does not read")
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("the heap grew by %d bytes while %d were sent, want no more than buffers", grown, sent)
		}
		c.Close()
	})
}

func TestWhatATruncatedClientSentIsEchoed(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := tlstest.NewServer(t, service.Echo())
		nc, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := tls.Client(nc, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost", MaxVersion: version})
		io.WriteString(c, "abc")
		nc.(*net.TCPConn).CloseWrite() // no close_notify
		if got, err := io.ReadAll(c); string(got) != "abc" || err != nil {
			t.Errorf("%s: got %q, %v; want abc and a clean end", tls.VersionName(version), got, err)
		}
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonTruncated {
			t.Errorf("%s: reason %q, want truncated", tls.VersionName(version), e.Reason)
		}
	}
}

func TestDiscardReadsAllAndSaysNothing(t *testing.T) {
	const size = 8 << 20
	overEach(t, service.Discard(), func(t *testing.T, c halfConn) {
		c.SetDeadline(time.Now().Add(time.Minute))
		if n, err := io.Copy(c, io.LimitReader(pattern(2), size)); n != size || err != nil {
			t.Errorf("sent %d, %v", n, err)
		}
		c.CloseWrite()
		if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
			t.Errorf("got %q, %v; want nothing and a clean end", got, err)
		}
	})
}
