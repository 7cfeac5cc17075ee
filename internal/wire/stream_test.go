package wire_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"tcps/internal/wire"
)

func TestTheEndOfATLSStreamIsCleanOrTruncated(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(peer *tls.Conn)
		want error
		how  wire.End
	}{
		{"close_notify", func(p *tls.Conn) { p.CloseWrite() }, io.EOF, wire.Clean},
		{"close_notify and FIN", func(p *tls.Conn) { p.Close() }, io.EOF, wire.Clean},
		{"FIN between records", func(p *tls.Conn) { p.NetConn().(*net.TCPConn).CloseWrite() }, wire.ErrTruncated, wire.Truncated},
		{"FIN in a record's header", func(p *tls.Conn) {
			p.NetConn().Write([]byte{23, 3, 3})
			p.NetConn().(*net.TCPConn).CloseWrite()
		}, wire.ErrTruncated, wire.Truncated},
		{"FIN in a record", func(p *tls.Conn) {
			p.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
			p.NetConn().(*net.TCPConn).CloseWrite()
		}, wire.ErrTruncated, wire.Truncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				s, peer := tcpStream(t, version, 0)
				io.WriteString(peer, "abc")
				if s.End() != wire.Open {
					t.Errorf("End is %v before the end", s.End())
				}
				c.end(peer)
				b, err := io.ReadAll(onlyReader{s})
				if string(b) != "abc" || err != nil && err != c.want || err == nil && c.want != io.EOF {
					t.Errorf("read %q, %v; want abc, %v", b, err, c.want)
				}
				for range 3 {
					if n, err := s.Read(make([]byte, 1)); n != 0 || err != c.want {
						t.Errorf("read on: %d, %v; want %v", n, err, c.want)
					}
				}
				if s.End() != c.how {
					t.Errorf("End is %v, want %v", s.End(), c.how)
				}
			})
		})
	}
}

type onlyReader struct{ io.Reader }

// A gate is a transport that gives its reader nothing until it is opened, and
// then everything at once, with the FIN together with the last bytes.
type gate struct {
	net.Conn
	hold, opened chan struct{}
	data         *bytes.Reader
}

func (g *gate) Read(b []byte) (int, error) {
	select {
	case <-g.hold:
	default:
		return g.Conn.Read(b)
	}
	<-g.opened
	n, err := g.data.Read(b)
	if g.data.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

// In both cases TLS gets its last bytes and the FIN from one read.
func TestACloseNotifyThatCameWithTheFINIsACleanEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(peer *tls.Conn)
		want error
	}{
		{"close_notify", func(p *tls.Conn) { p.CloseWrite() }, io.EOF},
		{"none", func(*tls.Conn) {}, wire.ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				ours, peerSocket := tcpPair(t)
				g := &gate{Conn: ours, hold: make(chan struct{}), opened: make(chan struct{})}
				s, peer := stream(t, version, g, peerSocket, 0)
				io.WriteString(peer, "abc")
				c.end(peer)
				peerSocket.CloseWrite()
				all, err := io.ReadAll(ours)
				if err != nil {
					t.Fatal(err)
				}
				g.data = bytes.NewReader(all)
				close(g.hold)
				close(g.opened)
				b := make([]byte, 10)
				n, err := s.Read(b)
				// crypto/tls tells the alert of TLS 1.2 together with the bytes.
				if string(b[:n]) != "abc" || err != nil && err != c.want {
					t.Errorf("read %q, %v; want abc", b[:n], err)
				}
				for range 2 {
					if n, err := s.Read(b); n != 0 || err != c.want {
						t.Errorf("then %d, %v; want %v", n, err, c.want)
					}
				}
			})
		})
	}
}

func TestAPlainStreamEndsCleanlyWithTheFIN(t *testing.T) {
	ours, peer := tcpPair(t)
	s := &wire.Stream{Raw: wire.NewConn(ours)}
	io.WriteString(peer, "abc")
	peer.CloseWrite()
	if b, err := io.ReadAll(s); string(b) != "abc" || err != nil || s.End() != wire.Clean {
		t.Errorf("read %q, %v, End %v; want abc and a clean end", b, err, s.End())
	}
	if s.BytesRead() != 3 {
		t.Errorf("BytesRead is %d, want 3", s.BytesRead())
	}
}

func TestAResetIsNoEnd(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, 0)
		peer.NetConn().(*net.TCPConn).SetLinger(0)
		peer.NetConn().Close()
		_, err := s.Read(make([]byte, 1))
		if err == io.EOF || errors.Is(err, wire.ErrTruncated) || s.End() != wire.Open {
			t.Errorf("read %v, End %v; want a reset, which is neither", err, s.End())
		}
	})
}

func TestTheCountersAreOfTheStreamAndOfTheSocket(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, 0)
		before := s.Raw.Received()
		if before == 0 {
			t.Error("the handshake's bytes were not counted")
		}
		go func() {
			peer.Write(make([]byte, 50_000))
			peer.CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, onlyReader{s}); err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 1000))
		if s.BytesRead() != 50_000 || s.BytesWritten() != 1001 {
			t.Errorf("read %d, written %d; want 50000 and 1001", s.BytesRead(), s.BytesWritten())
		}
		if got := s.Raw.Received() - before; got <= 50_000 || got > 51_000 {
			t.Errorf("the socket gave %d bytes, want a little more than 50000", got)
		}
	})
}

func TestCloseWriteEndsOneSide(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, 0)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the peer read %d, %v; want the end", n, err)
		}
		if n, err := peer.NetConn().Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("under TLS the peer read %d, %v; want the FIN", n, err)
		}
		io.WriteString(peer, "abc")
		b := make([]byte, 3)
		if _, err := io.ReadFull(s, b); err != nil || string(b) != "abc" {
			t.Errorf("read %q, %v after CloseWrite", b, err)
		}
	})
}

// net.Pipe has no half-close: the close_notify is sent, and that is no error.
func TestCloseWriteWithoutAHalfClose(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		ours, other := net.Pipe()
		defer other.Close()
		s, peer := stream(t, version, ours, other, 0)
		ended := make(chan error, 1)
		go func() {
			_, err := peer.Read(make([]byte, 1))
			ended <- err
		}()
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != io.EOF {
			t.Errorf("the peer read %v, want the end", err)
		}
		s.Raw.Conn.Close()
	})
	t.Run("plain", func(t *testing.T) {
		ours, other := net.Pipe()
		defer other.Close()
		defer ours.Close()
		s := &wire.Stream{Raw: wire.NewConn(ours)}
		if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite returned %v, want errors.ErrUnsupported: no end could be sent", err)
		}
	})
}

func TestBothEndsComputeTheConnectionID(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, 0)
		ours, theirs := s.TLS.ConnectionState(), peer.ConnectionState()
		if a, b := wire.ConnectionID(&ours), wire.ConnectionID(&theirs); a != b || len(a) != 16 {
			t.Errorf("IDs %q and %q, want the same 16 digits", a, b)
		}
	})
}

// crypto/tls refuses to export where that is not safe. Without the extended
// master secret is one case: no client of Go's leaves it out, nor can OpenSSL
// before 3.1 be told to, and a hello with it cut out ends in a Finished that
// does not fit. A client that permits renegotiation is the other, and takes
// the same way through ConnectionID.
func TestWithoutAnExporterTheConnectionIDIsEmpty(t *testing.T) {
	ours, other := tcpPair(t)
	serverConfig, clientConfig := configs(t, tls.VersionTLS12)
	clientConfig.Renegotiation = tls.RenegotiateOnceAsClient
	server, client := tls.Server(ours, serverConfig), tls.Client(other, clientConfig)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	cs := client.ConnectionState()
	if id := wire.ConnectionID(&cs); id != "" {
		t.Errorf("the ID is %q, want none", id)
	}
}

func TestErrTruncatedIsAnUnexpectedEOF(t *testing.T) {
	if !errors.Is(wire.ErrTruncated, io.ErrUnexpectedEOF) || errors.Is(wire.ErrTruncated, io.EOF) {
		t.Error("ErrTruncated must match io.ErrUnexpectedEOF, and not io.EOF")
	}
}

func TestATimeoutIsTold(t *testing.T) {
	ours, _ := tcpPair(t)
	s := &wire.Stream{Raw: wire.NewConn(ours)}
	s.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := s.Read(make([]byte, 1)); !wire.IsTimeout(err) || errors.Is(err, net.ErrClosed) {
		t.Errorf("read %v, want a timeout and not an abort", err)
	}
	s.SetReadDeadline(time.Time{})
	s.SetWriteDeadline(time.Now().Add(-time.Second))
	if _, err := s.Write([]byte("x")); !wire.IsTimeout(err) {
		t.Errorf("write: %v, want a timeout", err)
	}
}
