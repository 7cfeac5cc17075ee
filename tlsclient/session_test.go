package tlsclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// noise is the same stream of bytes each time.
func noise() io.Reader { return rand.NewChaCha8([32]byte{1}) }

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// neverEnding is an input that is silent until the end of the test.
func neverEnding(t *testing.T) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return r
}

// counted is an output that keeps a checksum only.
type counted struct {
	hash.Hash
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.Hash.Write(b)
}

// run runs a session, which must end soon.
func run(t *testing.T, s *tlsclient.Session) error {
	t.Helper()
	start := time.Now()
	err := s.Run(t.Context())
	took(t, start, "the session")
	return err
}

// dialTo connects to a crypto/tls server that does what handle does.
func dialTo(t *testing.T, handle func(c *tls.Conn)) *tlsclient.Conn {
	t.Helper()
	a := newAuthority(t)
	addr := serveTLS(t, a.config(t), handle)
	d := &tlsclient.Dialer{RootCAs: a.pool(), LingerTimeout: 100 * time.Millisecond}
	c, err := d.Dial(t.Context(), addr)
	return closed(t, c, err)
}

func TestASessionPumpsBothWays(t *testing.T) {
	const size = 32 << 20
	want := sha256.New()
	io.CopyN(want, noise(), size)
	pump := func(t *testing.T, s *tlstest.Server, d *tlsclient.Dialer) {
		out := &counted{Hash: sha256.New()}
		session := &tlsclient.Session{Conn: s.Dial(d), In: io.LimitReader(noise(), size), Out: out}
		if err := session.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out.n != size || !bytes.Equal(out.Sum(nil), want.Sum(nil)) {
			t.Errorf("%d bytes came back of %d, with the same checksum: %v", out.n, size, bytes.Equal(out.Sum(nil), want.Sum(nil)))
		}
		if e := s.WaitEnded(); e.Reason != "done" {
			t.Errorf("the server's reason is %q (%v), want done", e.Reason, e.Err)
		}
	}
	t.Run("TLS", func(t *testing.T) {
		s := tlstest.NewServer(t, service.Echo())
		pump(t, s, s.Dialer())
	})
	t.Run("plain", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, service.Echo())
		s.StartPlain()
		pump(t, s, new(tlsclient.Dialer))
	})
}

// stuck is an output that takes nothing until it is released.
type stuck struct {
	release <-chan struct{}
	once    sync.Once
	reached chan struct{} // closed by the first write
}

func (s *stuck) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.reached) })
	<-s.release
	return len(b), nil
}

func TestAStuckOutputStopsTheReading(t *testing.T) {
	const unbounded = 256 << 20
	wrote := make(chan int, 1)
	c := dialTo(t, func(c *tls.Conn) {
		total, chunk := 0, make([]byte, 64<<10)
		for total < unbounded {
			c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := c.Write(chunk)
			if total += n; err != nil {
				break
			}
		}
		wrote <- total
	})
	release := make(chan struct{})
	out := &stuck{release: release, reached: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	session := &tlsclient.Session{Conn: c, Out: out}
	before := heap()
	go func() { done <- session.Run(ctx) }()
	<-out.reached
	if n := <-wrote; n >= 64<<20 {
		t.Errorf("the server could write %d bytes that nobody took", n)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v, want context.Canceled", err)
	}
	close(release)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTheEndOfTheInput(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Echo()))
	for _, c := range []struct {
		name string
		mode tlsclient.OnEOF
	}{{"half", tlsclient.EOFHalf}, {"exit", tlsclient.EOFExit}} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), In: strings.NewReader("abc"), Out: &out, OnEOF: c.mode}
			if err := run(t, session); err != nil {
				t.Error(err)
			}
			if e := s.WaitEnded(); e.Reason != "done" || e.Conn.BytesRead() != 3 {
				t.Errorf("the server read %d bytes, reason %q; want 3 and a clean end", e.Conn.BytesRead(), e.Reason)
			}
			if c.mode == tlsclient.EOFHalf && out.String() != "hello\r\nabc" {
				t.Errorf("got %q, want greeting and echo", out.String())
			}
		})
	}
	t.Run("keep", func(t *testing.T) {
		var out bytes.Buffer
		conn := dialTo(t, func(c *tls.Conn) {
			io.ReadFull(c, make([]byte, 3))
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				io.WriteString(c, "no end came")
			}
		})
		session := &tlsclient.Session{Conn: conn, In: strings.NewReader("abc"), Out: &out, OnEOF: tlsclient.EOFKeep}
		if err := run(t, session); err != nil || out.String() != "no end came" {
			t.Errorf("%v: got %q", err, out.String())
		}
	})
	t.Run("no input", func(t *testing.T) {
		var out bytes.Buffer
		session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), Out: &out}
		if err := run(t, session); err != nil || out.String() != "hello\r\n" {
			t.Errorf("%v: got %q, want the greeting and the end", err, out.String())
		}
	})
}

func TestSendGoesBeforeTheInput(t *testing.T) {
	s := tlstest.NewServer(t, service.Echo())
	var out bytes.Buffer
	session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), Send: []byte("first, "), In: strings.NewReader("second"), Out: &out}
	if err := run(t, session); err != nil || out.String() != "first, second" {
		t.Errorf("%v: got %q", err, out.String())
	}
}

func TestInterruptEndsTheSendingSide(t *testing.T) {
	t.Run("of a silent input", func(t *testing.T) {
		s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Echo()))
		interrupt := make(chan struct{})
		close(interrupt)
		var out bytes.Buffer
		session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), In: neverEnding(t), Out: &out, Interrupt: interrupt}
		if err := run(t, session); err != nil || out.String() != "hello\r\n" {
			t.Errorf("%v: got %q, want the greeting and the server's end", err, out.String())
		}
		if e := s.WaitEnded(); e.Reason != "done" {
			t.Errorf("the server's reason is %q, want done", e.Reason)
		}
	})
	t.Run("of a busy input", func(t *testing.T) {
		s := tlstest.NewServer(t, service.Discard())
		interrupt := make(chan struct{})
		session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), In: &trigger{left: 100, done: interrupt}, Out: io.Discard, Interrupt: interrupt}
		if err := run(t, session); err != nil {
			t.Errorf("Run returned %v, want nil: the end was asked for", err)
		}
		if e := s.WaitEnded(); e.Reason != "done" {
			t.Errorf("the server's reason is %q, want done", e.Reason)
		}
	})
}

// A trigger closes done after some reads, and never ends.
type trigger struct {
	left int
	done chan<- struct{}
}

func (r *trigger) Read(b []byte) (int, error) {
	if r.left--; r.left == 0 {
		close(r.done)
	}
	return len(b), nil
}

func TestTheEndOfTheContextEndsTheSession(t *testing.T) {
	ended := make(chan struct{}) // by the test, when the session is over
	for _, c := range []struct {
		name   string
		handle func(*tls.Conn)
		in     io.Reader
	}{
		{"silent server", func(*tls.Conn) { <-ended }, nil},
		{"dribbling server", func(c *tls.Conn) {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				<-tick.C
				if _, err := c.Write([]byte(".")); err != nil {
					return
				}
			}
		}, nil},
		{"flooding server", func(c *tls.Conn) { io.Copy(c, zeros{}) }, nil},
		{"server that does not read", func(*tls.Conn) { <-ended }, zeros{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			in := c.in
			if in == nil {
				in = neverEnding(t)
			}
			session := &tlsclient.Session{Conn: dialTo(t, c.handle), In: in, Out: io.Discard}
			if c.name == "dribbling server" {
				session.Expect = []byte("never")
			}
			start := time.Now()
			if err := session.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run returned %v, want context.DeadlineExceeded", err)
			}
			took(t, start, "a session that was to end after 100 ms")
			if c.name == "silent server" || c.name == "server that does not read" {
				ended <- struct{}{}
			}
		})
	}
}

func TestTheCauseOfTheContextIsReturned(t *testing.T) {
	s := tlstest.NewServer(t, service.Discard())
	cause := errors.New("interrupted twice")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), In: neverEnding(t), Out: io.Discard}
	if err := session.Run(ctx); err != cause {
		t.Errorf("Run returned %v, want the cause", err)
	}
}

var errDisk = errors.New("the disk is full")

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, errDisk }
func (broken) Write([]byte) (int, error) { return 0, errDisk }

func TestFaultsOfInputAndOutputAreNotTheServers(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	for _, c := range []struct {
		name    string
		session *tlsclient.Session
		want    string
	}{
		{"input", &tlsclient.Session{In: broken{}, Out: io.Discard}, "read input: the disk is full"},
		{"input, while a text is expected", &tlsclient.Session{In: broken{}, Out: io.Discard, Expect: []byte("x")}, "read input: the disk is full"},
		{"input, after some bytes", &tlsclient.Session{In: io.MultiReader(strings.NewReader("abc"), broken{}), Out: io.Discard}, "read input: the disk is full"},
		{"output", &tlsclient.Session{In: neverEnding(t), Out: broken{}}, "write output: the disk is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.session.Conn = s.Dial(s.Dialer())
			err := run(t, c.session)
			if !errors.Is(err, errDisk) || err.Error() != c.want {
				t.Errorf("Run returned %v, want %q", err, c.want)
			}
			if _, ok := errors.AsType[*tlsclient.Error](err); ok {
				t.Error("the error is an *Error, as if the connection had failed")
			}
		})
	}
}

// What is sent meets a closed door first; what the server said is the reason.
func TestARefusalIsReportedAndNotTheBrokenPipe(t *testing.T) {
	s := refusing(t)
	for _, in := range []struct {
		name string
		in   func() io.Reader
	}{
		{"endless", func() io.Reader { return zeros{} }},
		{"short", func() io.Reader { return strings.NewReader("abc") }},
		{"silent", func() io.Reader { return neverEnding(t) }},
	} {
		t.Run(in.name, func(t *testing.T) {
			for range 20 {
				session := &tlsclient.Session{Conn: s.Dial(s.Dialer()), In: in.in(), Out: io.Discard}
				err := run(t, session)
				wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+s.Endpoint)
			}
		})
	}
}

func TestACutAndAResetAreReported(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(c *tls.Conn)
		reason tlsclient.Reason
	}{
		{"cut", func(c *tls.Conn) { c.NetConn().Close() }, "truncated"},
		{"reset", func(c *tls.Conn) { c.NetConn().(*net.TCPConn).SetLinger(0); c.NetConn().Close() }, "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialTo(t, func(tc *tls.Conn) {
				io.WriteString(tc, "hello\r\n")
				io.ReadFull(tc, make([]byte, 3))
				c.end(tc)
			})
			var out bytes.Buffer
			session := &tlsclient.Session{Conn: conn, Send: []byte("abc"), In: neverEnding(t), Out: &out}
			err := run(t, session)
			if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != c.reason {
				t.Errorf("Run returned %v, want the reason %s", err, c.reason)
			}
			if out.String() != "hello\r\n" {
				t.Errorf("the output has %q, want what came before the end", out.String())
			}
		})
	}
}

// The server has said all it wanted, properly, and takes no more: the session
// has ended as it should, whatever became of the rest of the input.
func TestAServerThatEndsWhileWeSendHasEnded(t *testing.T) {
	for range 20 {
		conn := dialTo(t, func(c *tls.Conn) {
			io.ReadFull(c, make([]byte, 3))
			io.WriteString(c, "bye")
			c.CloseWrite()
			untilEnd(c)
		})
		var out bytes.Buffer
		session := &tlsclient.Session{Conn: conn, In: zeros{}, Out: &out}
		if err := run(t, session); err != nil || out.String() != "bye" {
			t.Fatalf("Run returned %v, the output has %q; want bye", err, out.String())
		}
	}
}
