package tlsserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// rawEnd remembers whether the peer's FIN was read under TLS.
type rawEnd struct {
	net.Conn
	fin chan struct{}
}

func (c *rawEnd) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		select {
		case <-c.fin:
		default:
			close(c.fin)
		}
	}
	return n, err
}

func TestCloseWriteSendsCloseNotifyAndFIN(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		got := make(chan string, 1)
		s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
			if err := c.CloseWrite(); err != nil {
				return err
			}
			b, err := io.ReadAll(c) // reading goes on
			got <- string(b)
			return err
		}))
		nc, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		raw := &rawEnd{nc, make(chan struct{})}
		c := tls.Client(raw, clientConfig(s, version))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("read %d, %v; want the end", n, err)
		}
		select {
		case <-raw.fin:
			t.Error("TLS ended by the FIN, a close_notify should have come before it")
		default:
		}
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("under TLS: read %d, %v; want the FIN", n, err)
		}
		io.WriteString(c, "still here")
		c.Close()
		if s := <-got; s != "still here" {
			t.Errorf("after its CloseWrite the server read %q", s)
		}
		wantReason(t, s, tlsserver.ReasonDone)
	})
}

func TestReadTellsCloseNotifyFromACutConnection(t *testing.T) {
	ends := []struct {
		name   string
		end    func(c *tls.Conn, nc net.Conn)
		want   error
		reason tlsserver.Reason
	}{
		{"close_notify", func(c *tls.Conn, nc net.Conn) { c.CloseWrite() }, nil, "done"},
		{"FIN between records", func(c *tls.Conn, nc net.Conn) { nc.(*net.TCPConn).CloseWrite() }, tlsserver.ErrTruncated, "truncated"},
		{"FIN in a record", func(c *tls.Conn, nc net.Conn) {
			nc.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
			nc.(*net.TCPConn).CloseWrite()
		}, tlsserver.ErrTruncated, "truncated"},
		{"reset", func(c *tls.Conn, nc net.Conn) {
			nc.(*net.TCPConn).SetLinger(0)
			nc.Close()
		}, syscall.ECONNRESET, "reset"},
	}
	versions(t, func(t *testing.T, version uint16) {
		for _, end := range ends {
			t.Run(end.name, func(t *testing.T) {
				got := make(chan error, 1)
				read := make(chan string, 1)
				s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
					b := make([]byte, 3)
					io.ReadFull(c, b)
					read <- string(b)
					_, err := io.ReadAll(c)
					got <- err
					return err
				}))
				nc, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				c := tls.Client(nc, clientConfig(s, version))
				io.WriteString(c, "abc")
				if b := <-read; b != "abc" {
					t.Fatalf("read %q", b)
				}
				end.end(c, nc)
				if err := <-got; !errors.Is(err, end.want) {
					t.Errorf("read to %v, want %v", err, end.want)
				}
				wantReason(t, s, end.reason)
			})
		}
	})
}

func TestAHandlerThatIgnoresTheCutStillEndsAsTruncated(t *testing.T) {
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		io.Copy(io.Discard, c)
		return nil
	}))
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	tls.Client(nc, clientConfig(s, tls.VersionTLS13)).Handshake()
	nc.Close()
	wantReason(t, s, tlsserver.ReasonTruncated)
}

// The server has not read what the client sent. Closing its socket at once
// would make the kernel send a reset, and the client could lose what it had
// not read yet.
func TestClosingNeverLosesBytesAlreadyWritten(t *testing.T) {
	const size = 4 << 20
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	serve := tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err
		}
		_, err := c.Write(sent)
		return err // with unread input
	})
	visit := func(t *testing.T, c net.Conn) {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("read %d bytes of %d, then %v", len(got), size, err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, want the %d that were sent", len(got), size)
		}
		c.Close()
	}
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewServer(t, serve)
		for range 5 {
			visit(t, dialTLS(t, s, clientConfig(s, version)))
			wantReason(t, s, tlsserver.ReasonDone)
		}
	})
	t.Run("plain", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, serve)
		s.StartPlain()
		for range 5 {
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			visit(t, c)
			wantReason(t, s, tlsserver.ReasonDone)
		}
	})
}

// In TLS 1.3 a client has sent its first bytes before the server refuses its
// certificate: the alert must reach it all the same.
func TestARefusalReachesAClientThatHasAlreadySent(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	for range 20 {
		c := dialTLS(t, s, clientConfig(s, tls.VersionTLS13))
		c.Write(make([]byte, 64<<10))
		_, err := io.ReadAll(c)
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "remote error" || op.Err.Error() != "tls: certificate required" {
			t.Fatalf("read %v, want the alert certificate_required", err)
		}
		c.Close()
		wantReason(t, s, "no-certificate")
	}
}

func TestAPeerThatNeverEndsIsLeftAfterTheLingerTimeout(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		_, err := io.WriteString(c, "bye")
		return err
	}))
	s.Config.LingerTimeout = 50 * time.Millisecond
	s.Start()
	c := dialTLS(t, s, clientConfig(s, tls.VersionTLS13))
	if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
		t.Fatalf("read %q, %v", b, err)
	}
	wantReason(t, s, tlsserver.ReasonDone) // though c is still open
}

func TestBothEndsComputeTheSameConnectionID(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		ids := make(chan string, 1)
		s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
			ids <- c.ID()
			return nil
		}))
		d := s.Dialer()
		d.MaxVersion = version
		c := s.Dial(d)
		if server, client := <-ids, c.ID(); server != client || len(server) != 16 {
			t.Errorf("the server says %q, the client %q; want the same 16 hex digits", server, client)
		}
	})
}

func TestAPanickingHandlerEndsItsOwnConnectionOnly(t *testing.T) {
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		b := make([]byte, 1)
		io.ReadFull(c, b)
		if b[0] == 'p' {
			panic("the handler's fault")
		}
		return nil
	}))
	other := s.Dial(s.Dialer())
	c := s.Dial(s.Dialer())
	io.WriteString(c, "p")
	c.Close()
	e := wantReason(t, s, tlsserver.ReasonFailed)
	if !bytes.Contains([]byte(e.Err.Error()), []byte("the handler's fault")) {
		t.Errorf("the error is %v, want it to say what the panic said", e.Err)
	}
	io.WriteString(other, "x")
	other.CloseWrite()
	wantReason(t, s, tlsserver.ReasonDone)
}
