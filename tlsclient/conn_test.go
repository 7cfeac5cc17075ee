package tlsclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestReadTellsTheEndsOfAStreamApart(t *testing.T) {
	a := newAuthority(t)
	for _, end := range []struct {
		name   string
		end    func(c *tls.Conn)
		want   error // nil: io.EOF, bare
		reason tlsclient.Reason
		code   int
	}{
		{"close_notify", func(c *tls.Conn) { c.CloseWrite() }, nil, "done", 0},
		{"close_notify and FIN", func(c *tls.Conn) { c.Close() }, nil, "done", 0},
		{"FIN between records", func(c *tls.Conn) { c.NetConn().(*net.TCPConn).CloseWrite() }, tlsclient.ErrTruncated, "truncated", 11},
		{"FIN in a record", func(c *tls.Conn) {
			c.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
			c.NetConn().(*net.TCPConn).CloseWrite()
		}, tlsclient.ErrTruncated, "truncated", 11},
		{"reset", func(c *tls.Conn) {
			c.NetConn().(*net.TCPConn).SetLinger(0)
			c.NetConn().Close()
		}, syscall.ECONNRESET, "reset", 1},
		{"garbage", func(c *tls.Conn) { c.NetConn().Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)) }, nil, "malformed", 5},
	} {
		t.Run(end.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				read := make(chan struct{})
				endpoint := "tcps://" + serveTLS(t, a.config(t), func(c *tls.Conn) {
					io.WriteString(c, "hello\r\n")
					<-read
					end.end(c)
					untilEnd(c.NetConn())
				})
				c, err := (&tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, LingerTimeout: -1}).Dial(t.Context(), endpoint)
				c = closed(t, c, err)
				wantGreeting(t, c)
				close(read)
				for range 2 { // the end stays what it was
					n, err := c.Read(make([]byte, 1))
					switch {
					case n != 0:
						t.Errorf("read %d bytes, want the end", n)
					case end.reason == "done" && err != io.EOF:
						t.Errorf("read %v, want io.EOF", err)
					case end.reason == "done" || end.reason == "reset" && !errors.Is(err, end.want):
						// io.EOF; or the second read after a reset, which the kernel tells once
					default:
						wantFailure(t, err, end.reason, end.code, "read from "+endpoint)
						if end.want != nil && !errors.Is(err, end.want) {
							t.Errorf("read %v, want %v", err, end.want)
						}
					}
				}
			})
		})
	}
}

func TestATruncatedStreamIsAnUnexpectedEOF(t *testing.T) {
	if !errors.Is(tlsclient.ErrTruncated, io.ErrUnexpectedEOF) {
		t.Error("ErrTruncated does not match io.ErrUnexpectedEOF")
	}
}

func TestAPlainStreamEndsWithTheFIN(t *testing.T) {
	addr := serve(t, func(c net.Conn) { io.WriteString(c, "hello\r\n") })
	c, err := new(tlsclient.Dialer).Dial(t.Context(), "tcp://"+addr)
	c = closed(t, c, err)
	if b, err := io.ReadAll(c); string(b) != "hello\r\n" || err != nil {
		t.Errorf("read %q, %v; want the greeting and a clean end", b, err)
	}
}

func TestCloseWriteEndsOurSideAlone(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		got := make(chan string, 1)
		s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
			b, err := io.ReadAll(c)
			if err != nil {
				return err
			}
			got <- string(b)
			_, err = io.WriteString(c, "still here")
			return err
		}))
		d := s.Dialer()
		d.MaxVersion = version
		c := s.Dial(d)
		io.WriteString(c, "abc")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "still here" || err != nil {
			t.Errorf("after CloseWrite read %q, %v", b, err)
		}
		if b := <-got; b != "abc" {
			t.Errorf("the server read %q, want abc and the end", b)
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("a write after CloseWrite succeeded")
		}
		c.Close()
		if e := s.WaitEnded(); e.Reason != "done" {
			t.Errorf("the server's reason is %q (%v), want done", e.Reason, e.Err)
		}
	})
}

// The client has much unread input when it closes. Closing the socket at once
// would make the kernel send a reset, which destroys what the server, which is
// slow, has not read yet.
func TestCloseLosesNothingThatWasWritten(t *testing.T) {
	const size = 1 << 20
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	handler := tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		go c.Write(make([]byte, 4<<20)) // more than the buffers of both ends
		_, err := io.Copy(io.Discard, slow{c})
		return err
	})
	visit := func(t *testing.T, s *tlstest.Server, d *tlsclient.Dialer) {
		for range 5 {
			c := s.Dial(d)
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if e := s.WaitEnded(); e.Conn.BytesRead() != size || e.Err != nil {
				t.Errorf("the server read %d bytes of %d, then %v", e.Conn.BytesRead(), size, e.Err)
			}
		}
	}
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewServer(t, handler)
		d := s.Dialer()
		d.MaxVersion, d.LingerTimeout = version, 0
		visit(t, s, d)
	})
	t.Run("plain", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, handler)
		s.StartPlain()
		visit(t, s, new(tlsclient.Dialer))
	})
}

// slow reads little at a time, and lets everybody else go first.
type slow struct{ io.Reader }

func (s slow) Read(b []byte) (int, error) {
	for range 10 {
		runtime.Gosched()
	}
	return s.Reader.Read(b[:min(len(b), 2000)])
}

func TestCloseWaitsNoLongerThanTheLingerTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	addr := serve(t, func(c net.Conn) { <-release })
	for _, linger := range []time.Duration{50 * time.Millisecond, -1} {
		c, err := (&tlsclient.Dialer{LingerTimeout: linger}).Dial(t.Context(), "tcp://"+addr)
		c = closed(t, c, err)
		start := time.Now()
		c.Close()
		took(t, start, "Close with a server that stays open")
		if d := time.Since(start); d < linger {
			t.Errorf("Close took %v, want the linger timeout of %v", d, linger)
		}
	}
}

func TestBothEndsComputeTheSameConnectionID(t *testing.T) {
	ids := make(chan string, 1)
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		ids <- c.ID()
		_, err := io.WriteString(c, "hello\r\n")
		return err
	}))
	hex16 := regexp.MustCompile(`^[0-9a-f]{16}$`)
	seen := make(map[string]bool)
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion, d.Sessions = version, tls.NewLRUClientSessionCache(1)
		for range 3 { // the later ones resumed
			c := s.Dial(d)
			wantGreeting(t, c)
			id := c.ID()
			if server := <-ids; server != id || !hex16.MatchString(id) || seen[id] {
				t.Errorf("the server says %q, the client %q; want the same 16 hex digits, never seen before", server, id)
			}
			seen[id] = true
			c.Close()
		}
	})
}

func TestDeadlinesEndReadsAndWrites(t *testing.T) {
	a := newAuthority(t)
	release := make(chan struct{})
	defer close(release)
	endpoint := "tcps://" + serveTLS(t, a.config(t), func(c *tls.Conn) { <-release })
	c, err := (&tlsclient.Dialer{RootCAs: a.pool(), LingerTimeout: -1}).Dial(t.Context(), endpoint)
	c = closed(t, c, err)
	c.SetReadDeadline(time.Now().Add(-time.Second))
	_, err = c.Read(make([]byte, 1))
	var timeout net.Error
	if wantFailure(t, err, "timeout:idle", 4, "read from "+endpoint); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v is no net.Error that timed out", err)
	}
	c.SetDeadline(time.Time{})
	if _, err := c.Write([]byte("abc")); err != nil {
		t.Errorf("a write after a read deadline: %v", err)
	}
	c.SetWriteDeadline(time.Now().Add(-time.Second))
	_, err = c.Write([]byte("abc"))
	wantFailure(t, err, "timeout:idle", 4, "write to "+endpoint)
}

func TestAbortEndsAReadThatIsUnderWay(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	versions(t, func(t *testing.T, version uint16) {
		d := s.Dialer()
		d.MaxVersion = version
		c := s.Dial(d)
		wantGreeting(t, c)
		start := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		c.Abort()
		err := <-done
		wantFailure(t, err, "shutdown", 1, "read from "+s.Endpoint)
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("read %v, want net.ErrClosed", err)
		}
		c.Close()
		took(t, start, "Abort and Close")
		if e := s.WaitEnded(); e.Reason != "done" { // the close_notify still went out
			t.Errorf("the server's reason is %q (%v), want done", e.Reason, e.Err)
		}
	})
}
