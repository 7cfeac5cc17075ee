package tlsserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// newPassthrough is a server that answers with what it has seen of a hello and
// all bytes that came.
func newPassthrough(t testing.TB) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		io.WriteString(c, c.ServerName()+" "+strings.Join(c.OfferedProtos(), ",")+"\n")
		_, err := io.Copy(c, c)
		return err
	}))
	s.StartPassthrough()
	return s
}

// helloOf is the ClientHello that crypto/tls sends, in one record.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		tls.Client(client, config).Handshake()
		client.Close()
	}()
	defer server.Close()
	header := make([]byte, 5)
	if _, err := io.ReadFull(server, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

// inRecords divides a hello over records of at most size bytes.
func inRecords(hello []byte, size int) []byte {
	var out []byte
	for body := hello[5:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(append(out, 22, 3, 1), byte(n>>8), byte(n))
		out, body = append(out, body[:n]...), body[n:]
	}
	return out
}

// bigHello is a hello of n bytes in all, as post-quantum keys would make it.
func bigHello(hello []byte, n int) []byte {
	body := bytes.Clone(hello[9:])
	at := 2 + 32 // version, random
	at += 1 + int(body[at])
	at += 2 + int(binary.BigEndian.Uint16(body[at:]))
	at += 1 + int(body[at])
	pad := n - len(hello) - 4
	body = append(append(body, 0, 21, byte(pad>>8), byte(pad)), make([]byte, pad)...) // padding (RFC 7685)
	binary.BigEndian.PutUint16(body[at:], uint16(len(body)-at-2))
	return append([]byte{22, 3, 1, byte((len(body) + 4) >> 8), byte(len(body) + 4), 1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

var helloConfig = &tls.Config{ServerName: "Db.example.org", NextProtos: []string{"h2", "http/1.1"}}

func TestPassthroughHandsOnWhatCame(t *testing.T) {
	hello := helloOf(t, helloConfig)
	for what, sent := range map[string][]byte{
		"one record":       hello,
		"many records":     inRecords(hello, 7),
		"records of one":   inRecords(hello, 1),
		"with more":        append(bytes.Clone(hello), strings.Repeat("early data", 5000)...),
		"as big as may be": bigHello(hello, 16<<10),
		"TLS 1.2 only":     helloOf(t, &tls.Config{ServerName: "Db.example.org", NextProtos: helloConfig.NextProtos, MaxVersion: tls.VersionTLS12}),
	} {
		t.Run(what, func(t *testing.T) {
			s := newPassthrough(t)
			if got := conversation(t, dialTCP(t, s), sent); got != "Db.example.org h2,http/1.1\n"+string(sent) {
				t.Errorf("%d bytes were handed on as %.60q", len(sent), got)
			}
			wantReason(t, s, tlsserver.ReasonDone)
		})
	}
}

func TestPassthroughWaitsForTheWholeHello(t *testing.T) {
	s := newPassthrough(t)
	hello := inRecords(helloOf(t, helloConfig), 100)
	for cut := range hello {
		c := dialTCP(t, s)
		c.SetNoDelay(true)
		if got := conversation(t, c, hello[:cut], hello[cut:]); !strings.HasSuffix(got, "\n"+string(hello)) {
			t.Fatalf("cut after %d: %.60q", cut, got)
		}
		c.Close()
	}
}

func TestPassthroughRefusesWhatIsNoHello(t *testing.T) {
	hello := helloOf(t, helloConfig)
	for what, test := range map[string]struct {
		sent   string
		reason tlsserver.Reason
		looks  string
	}{
		"nothing":         {"", tlsserver.ReasonClosedBeforeHello, ""},
		"HTTP":            {"GET / HTTP/1.1\r\n\r\n", tlsserver.ReasonNotTLS, "http"},
		"SSH":             {"SSH-2.0-OpenSSH\r\n", tlsserver.ReasonNotTLS, "ssh"},
		"PROXY":           {"PROXY UNKNOWN\r\n" + string(hello), tlsserver.ReasonNotTLS, "proxy-protocol"},
		"half a hello":    {string(hello[:100]), tlsserver.ReasonClosedBeforeHello, ""},
		"an alert":        {"\x15\x03\x03\x00\x02\x02\x28", "peer-refused-us:handshake_failure", ""},
		"rubbish":         {"\x16\x03\x01\x00\x08\x01\x00\x00\x04abcd", tlsserver.ReasonMalformed, ""},
		"another message": {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", tlsserver.ReasonMalformed, ""},
		"a byte too big":  {string(bigHello(hello, 16<<10+1)), "limit:hello", ""},
		"endless records": {string(inRecords(bigHello(hello, 60000), 1)), "limit:hello", ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := newPassthrough(t)
			c := dialTCP(t, s)
			io.WriteString(c, test.sent)
			c.CloseWrite()
			got, _ := io.ReadAll(c)
			if answered := strings.HasPrefix(string(got), "HTTP/1.0 400 "); answered != (test.looks == "http") || len(got) > 0 && !answered {
				t.Errorf("answered with %q", got)
			}
			if e := wantReason(t, s, test.reason); e.LooksLike() != test.looks {
				t.Errorf("looks like %q, want %q", e.LooksLike(), test.looks)
			}
		})
	}
}

func TestPassthroughHelloThatStallsHoldsUpNobody(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		_, err := io.Copy(c, c)
		return err
	}))
	s.Config.Limits.MaxHellos = 1
	s.Config.HandshakeTimeout = -1
	s.StartPassthrough()
	hello := helloOf(t, helloConfig)
	for range 2 {
		dialTCP(t, s).Write(hello[:50])
	}
	wantReason(t, s, "limit:hellos") // both have come: the next one is the last
	if got := conversation(t, dialTCP(t, s), hello); got != string(hello) {
		t.Errorf("%d bytes came back", len(got))
	}
}

func TestPassthroughHelloHasUntilTheHandshakesDeadline(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.HandshakeTimeout = 20 * time.Millisecond
	s.StartPassthrough()
	dialTCP(t, s).Write(helloOf(t, helloConfig)[:50])
	wantReason(t, s, "timeout:hello")
}

func TestPassthroughBehindAProxy(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(addressed))
	s.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: trustLoopback}
	s.StartPassthrough()
	hello := helloOf(t, helloConfig)
	c := dialTCP(t, s)
	got := conversation(t, c, append(written(t, 1, "192.0.2.7:56324", "198.51.100.9:443"), hello...))
	if want := "192.0.2.7:56324 at 198.51.100.9:443 by " + c.LocalAddr().String() + "\n" + string(hello); got != want {
		t.Errorf("served as %.80q", got)
	}
}

// FuzzPassthroughHello sends anything in two pieces: either nothing is handed
// on, or all of it, for the name that crypto/tls finds by itself.
func FuzzPassthroughHello(f *testing.F) {
	hello := helloOf(f, helloConfig)
	for _, seed := range [][]byte{hello, inRecords(hello, 100), hello[:200], append(bytes.Clone(hello), hello...), []byte("GET / HTTP/1.1\r\n"), nil} {
		f.Add(seed, uint16(3))
		f.Add(seed, uint16(300))
	}
	f.Fuzz(func(t *testing.T, sent []byte, cut uint16) {
		var got []byte
		var name string
		ended := make(chan tlsserver.Ended, 1)
		s := &tlsserver.Server{
			LingerTimeout: -1,
			Handler: tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) (err error) {
				name = c.ServerName()
				got, err = io.ReadAll(c)
				return err
			}),
			Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
				if e, ok := e.(tlsserver.Ended); ok {
					ended <- e
				}
			}),
		}
		l := newPipeListener()
		served := make(chan error, 1)
		go func() { served <- s.ServePassthrough(context.Background(), l) }()
		client := l.dial()
		at := min(int(cut), len(sent))
		client.Write(sent[:at])
		client.Write(sent[at:])
		client.Close()
		e := <-ended
		s.Close()
		<-served
		if e.Reason != tlsserver.ReasonDone {
			return
		}
		var want string
		errHeard := errors.New("heard")
		err := tls.Server(readOnly{bytes.NewReader(sent)}, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			want = hello.ServerName
			return nil, errHeard
		}}).Handshake()
		if !errors.Is(err, errHeard) || name != want || !bytes.Equal(got, sent) {
			t.Fatalf("handed on for %q (want %q, %v): %d bytes of %d", name, want, err, len(got), len(sent))
		}
	})
}

// A readOnly is a connection that only gives bytes.
type readOnly struct{ *bytes.Reader }

func (readOnly) Write(b []byte) (int, error)      { return len(b), nil }
func (readOnly) Close() error                     { return nil }
func (readOnly) LocalAddr() net.Addr              { return nil }
func (readOnly) RemoteAddr() net.Addr             { return nil }
func (readOnly) SetDeadline(time.Time) error      { return nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }
