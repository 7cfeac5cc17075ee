package tlsserver_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// trustLoopback reads headers from this machine.
var trustLoopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// addressed says which addresses its connection has, then echoes.
func addressed(ctx context.Context, c *tlsserver.Conn) error {
	proxy := "no"
	if c.ProxyAddr() != nil {
		proxy = c.ProxyAddr().String()
	}
	io.WriteString(c, c.RemoteAddr().String()+" at "+c.LocalAddr().String()+" by "+proxy+"\n")
	return service.Echo().ServeConn(ctx, c)
}

// newProxied is a server behind a load balancer on this machine.
func newProxied(t testing.TB, optional bool) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(addressed))
	s.Config.ProxyProtocol = &tlsserver.ProxyProtocol{From: trustLoopback, Optional: optional}
	return s
}

func dialTCP(t testing.TB, s *tlstest.Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// conversation sends all of b, ends, and returns all that came.
func conversation(t testing.TB, c net.Conn, b ...[]byte) string {
	t.Helper()
	for _, part := range b {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// written is a header as go-proxyproto writes it.
func written(t testing.TB, version byte, from, to string, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	header := proxyproto.HeaderProxyFromAddrs(version,
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err := header.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// v2 is a header of version 2 in literal bytes: command and family, addresses and TLVs.
func v2(command, family byte, block string) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(block))), block...)
}

// tcp4 is 192.0.2.7:56324 at 198.51.100.9:443, in version 2.
const tcp4 = "\xc0\x00\x02\x07\xc6\x33\x64\x09\xdc\x04\x01\xbb"

// checksummed puts the right CRC32C into a header whose last TLV is one of zeros.
func checksummed(b []byte) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return binary.BigEndian.AppendUint32(b[:len(b)-4], sum)
}

func TestProxyHeaderNamesTheClient(t *testing.T) {
	const client = "192.0.2.7:56324 at 198.51.100.9:443 by "
	zeros := tcp4 + "\x03\x00\x04\x00\x00\x00\x00"
	name := strings.Repeat("\x00", 108-len("/run/c"))
	for what, test := range map[string]struct {
		header []byte
		want   string // begins with; self: the socket's own address
	}{
		"v1 TCP4":            {[]byte("PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\n"), client},
		"v1 TCP6":            {[]byte("PROXY TCP6 2001:db8::7 2001:db8::9 56324 443\r\n"), "[2001:db8::7]:56324 at [2001:db8::9]:443 by "},
		"v1 TCP6 mapped":     {[]byte("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.9 56324 443\r\n"), client},
		"v1 UNKNOWN":         {[]byte("PROXY UNKNOWN\r\n"), "self"},
		"v1 UNKNOWN, longer": {[]byte("PROXY UNKNOWN ffff:f::f whatever 1 2 3 \r\n"), "self"},
		"v1 by the library":  {written(t, 1, "192.0.2.7:56324", "198.51.100.9:443"), client},
		"v2 TCP4":            {v2(0x21, 0x11, tcp4), client},
		"v2 TCP6": {v2(0x21, 0x21, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"+
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\xdc\x04\x01\xbb"), "[2001:db8::7]:56324 at [2001:db8::9]:443 by "},
		"v2 TCP6 mapped": {v2(0x21, 0x21, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07"+
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x09\xdc\x04\x01\xbb"), client},
		"v2 Unix":                 {v2(0x21, 0x31, "/run/c"+name+"/run/s"+name), "/run/c at /run/s by "},
		"v2 LOCAL":                {v2(0x20, 0x00, ""), "self"},
		"v2 LOCAL with addresses": {v2(0x20, 0x11, tcp4), "self"},
		"v2 LOCAL with rubbish":   {v2(0x20, 0x11, "abc"), "self"},
		"v2 checksum":             {checksummed(v2(0x21, 0x11, zeros)), client},
		"v2 unknown TLV":          {v2(0x21, 0x11, tcp4+"\xe1\x00\x03abc\x04\x00\x05xxxxx"), client},
		"v2 as long as may be":    {v2(0x21, 0x11, tcp4+"\xe0\x0f\xf1"+strings.Repeat("x", 4096-15)), client},
		"v2 by the library": {written(t, 2, "192.0.2.7:56324", "198.51.100.9:443",
			proxyproto.TLV{Type: proxyproto.PP2_TYPE_ALPN, Value: []byte("h2")}), client},
	} {
		t.Run(what, func(t *testing.T) {
			s := newProxied(t, false)
			s.StartPlain()
			c := dialTCP(t, s)
			want := test.want + c.LocalAddr().String()
			if test.want == "self" {
				want = c.LocalAddr().String() + " at " + s.Addr + " by no"
			}
			if got := conversation(t, c, test.header, []byte("abc")); got != want+"\nabc" {
				t.Errorf("served as %q, want %q", got, want)
			}
			wantReason(t, s, tlsserver.ReasonDone)
		})
	}
}

func TestProxyHeaderThatIsNoneEndsTheConnection(t *testing.T) {
	for what, header := range map[string]string{
		"another protocol":     "GET / HTTP/1.1\r\n\r\n",
		"TLS":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
		"only a beginning":     "PROX",
		"no more":              "PROXY TCP4 192.0.2.7 ",
		"v1 bare LF":           "PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\n",
		"v1 CR within":         "PROXY TCP4 192.0.2.7\r 198.51.100.9 56324 443\r\n",
		"v1 two headers":       "PROXY TCP4 192.0.2.7\r\nPROXY TCP4 192.0.2.8 198.51.100.9 1 2\r\n",
		"v1 port 70000":        "PROXY TCP4 192.0.2.7 198.51.100.9 70000 443\r\n",
		"v1 port -1":           "PROXY TCP4 192.0.2.7 198.51.100.9 -1 443\r\n",
		"v1 port 080":          "PROXY TCP4 192.0.2.7 198.51.100.9 080 443\r\n",
		"v1 two spaces":        "PROXY TCP4  192.0.2.7 198.51.100.9 56324 443\r\n",
		"v1 one word more":     "PROXY TCP4 192.0.2.7 198.51.100.9 56324 443 x\r\n",
		"v1 name":              "PROXY TCP4 localhost 198.51.100.9 56324 443\r\n",
		"v1 wrong family":      "PROXY TCP4 2001:db8::7 2001:db8::9 56324 443\r\n",
		"v1 zone":              "PROXY TCP6 fe80::1%lo 2001:db8::9 56324 443\r\n",
		"v1 UDP":               "PROXY UDP4 192.0.2.7 198.51.100.9 56324 443\r\n",
		"v1 too long":          "PROXY UNKNOWN " + strings.Repeat("x", 107),
		"v2 version 3":         string(v2(0x31, 0x11, tcp4)),
		"v2 command 7":         string(v2(0x27, 0x11, tcp4)),
		"v2 UDP":               string(v2(0x21, 0x12, tcp4)),
		"v2 no such family":    string(v2(0x21, 0x41, tcp4)),
		"v2 unspecified":       string(v2(0x21, 0x00, "")),
		"v2 too short":         string(v2(0x21, 0x11, tcp4[:11])),
		"v2 cut":               string(v2(0x21, 0x11, tcp4)[:20]),
		"v2 cut TLV":           string(v2(0x21, 0x11, tcp4+"\xe1\x00\x03ab")),
		"v2 wrong checksum":    string(v2(0x21, 0x11, tcp4+"\x03\x00\x04abcd")),
		"v2 short checksum":    string(v2(0x21, 0x11, tcp4+"\x03\x00\x02ab")),
		"v2 64 KiB":            string(v2(0x21, 0x11, tcp4+strings.Repeat("\x04\x00\x00", 21840))),
		"v2 wrong signature":   "\r\n\r\n\x00\r\nQUIX\n" + string(v2(0x21, 0x11, tcp4)[12:]),
		"v2 a byte too many":   string(v2(0x21, 0x11, tcp4[:12]+"\x04")),
		"v2 64 KiB of nothing": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\xff\xff",
	} {
		t.Run(what, func(t *testing.T) {
			s := newProxied(t, false)
			s.StartPlain()
			c := dialTCP(t, s)
			io.WriteString(c, header)
			c.CloseWrite()
			if got, _ := io.ReadAll(c); len(got) > 0 { // a reset, where it did not read all
				t.Errorf("served: %q", got)
			}
			e := wantReason(t, s, tlsserver.ReasonProxyHeader)
			if e.Conn.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("the line names %s, want the proxy %s", e.Conn.RemoteAddr(), c.LocalAddr())
			}
		})
	}
}

func TestProxyHeaderMayComeByteByByte(t *testing.T) {
	for _, header := range [][]byte{[]byte("PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\n"), v2(0x21, 0x11, tcp4+"\xe1\x00\x03abc")} {
		s := newProxied(t, false)
		s.StartPlain()
		client, server := net.Pipe()
		l := &onceListener{conns: make(chan net.Conn, 1), addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:1"))}
		l.conns <- &addressedConn{server, l.addr}
		served := make(chan error, 1)
		go func() { served <- s.Config.ServePlain(t.Context(), l) }()
		for i := range header {
			if _, err := client.Write(header[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		want := "192.0.2.7:56324 at 198.51.100.9:443 by 127.0.0.1:1\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); string(got) != want {
			t.Errorf("served as %q, %v", got, err)
		}
		client.Close()
		s.Config.Close()
		<-served
	}
}

// A onceListener hands out what it was given.
type onceListener struct {
	conns chan net.Conn
	addr  net.Addr
	once  sync.Once
}

func (l *onceListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *onceListener) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *onceListener) Addr() net.Addr { return l.addr }

// An addressedConn comes from an address of the test's choice.
type addressedConn struct {
	net.Conn
	remote net.Addr
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.remote }

func TestProxyHeaderBeforeTLS(t *testing.T) {
	s := newProxied(t, false)
	s.Start()
	raw := dialTCP(t, s)
	raw.Write(written(t, 2, "[2001:db8::7]:56324", "[2001:db8::9]:443"))
	c := tls.Client(raw, clientConfig(s, tls.VersionTLS13))
	want := "[2001:db8::7]:56324 at [2001:db8::9]:443 by " + raw.LocalAddr().String() + "\nabc"
	if got := conversation(t, c, []byte("abc")); got != want {
		t.Errorf("served as %q, want %q", got, want)
	}
	wantReason(t, s, tlsserver.ReasonDone)

	// what other servers get, net/http for instance, has the client's address too
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := s.Config.Listener(inner)
	defer l.Close()
	other, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.Write(written(t, 1, "192.0.2.7:56324", "198.51.100.9:443"))
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(other, clientConfig(s, tls.VersionTLS13)).Handshake() }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	if got := accepted.RemoteAddr().String() + " " + accepted.LocalAddr().String(); got != "192.0.2.7:56324 198.51.100.9:443" {
		t.Errorf("handed over with %s", got)
	}
}

func TestProxyHeaderOfStrangersIsNotRead(t *testing.T) {
	s := newProxied(t, false)
	s.Config.ProxyProtocol.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s.Start()
	c := dialTCP(t, s)
	c.Write(written(t, 1, "192.0.2.7:56324", "198.51.100.9:443"))
	e := wantReason(t, s, tlsserver.ReasonNotTLS)
	if e.LooksLike() != "proxy-protocol" || e.Conn.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("looks like %q, of %s", e.LooksLike(), e.Conn.RemoteAddr())
	}
	if got := conversation(t, s.Dial(s.Dialer())); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("served as %q", got)
	}
}

func TestProxyHeaderThatIsOptional(t *testing.T) {
	for _, start := range []string{"", "a", "PROX", "PROXYabc", "\r\n", "\r\n\r\n\x00\r\nQUITx", "abc"} {
		s := newProxied(t, true)
		s.StartPlain()
		c := dialTCP(t, s)
		if got, want := conversation(t, c, []byte(start)), c.LocalAddr().String()+" at "+s.Addr+" by no\n"+start; got != want {
			t.Errorf("%q was served with %q, want %q", start, got, want)
		}
	}
	s := newProxied(t, true)
	s.Start()
	if got := conversation(t, s.Dial(s.Dialer()), []byte("abc")); !strings.HasSuffix(got, "by no\nabc") {
		t.Errorf("TLS without a header: %q", got)
	}
	wantReason(t, s, tlsserver.ReasonDone)
	c := dialTCP(t, s)
	io.WriteString(c, "PROXY TCP4 nonsense\r\n") // who begins a header has to end it
	wantReason(t, s, tlsserver.ReasonProxyHeader)
}

func TestProxyHeaderThatStallsHoldsUpNobody(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := newProxied(t, false)
		s.Config.Limits.MaxHellos = 2
		s.Config.HandshakeTimeout = -1
		start, dial := s.Start, func(raw net.Conn) net.Conn { return tls.Client(raw, clientConfig(s, 0)) }
		if plain {
			start, dial = s.StartPlain, func(raw net.Conn) net.Conn { return raw }
		}
		start()
		for i, stalled := range []string{"", "PROXY TCP4", "\r\n\r\n\x00", "PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r"} {
			io.WriteString(dialTCP(t, s), stalled)
			if i >= 2 {
				wantReason(t, s, "limit:hellos")
			}
		}
		raw := dialTCP(t, s)
		raw.Write(written(t, 2, "192.0.2.7:56324", "198.51.100.9:443"))
		if got := conversation(t, dial(raw), []byte("abc")); !strings.HasPrefix(got, "192.0.2.7:56324 at ") {
			t.Errorf("beside stalled senders: %q", got)
		}
		s.Config.Close()
	}
}

func TestProxyHeaderHasUntilTheHandshakesDeadline(t *testing.T) {
	for _, start := range []string{"", "PROXY TCP4 192"} {
		s := newProxied(t, false)
		s.Config.HandshakeTimeout = 20 * time.Millisecond
		s.StartPlain()
		c := dialTCP(t, s)
		io.WriteString(c, start)
		wantReason(t, s, "timeout:proxy-header")
	}
}

func TestProxyHealthCheckIsNoBrokenHeader(t *testing.T) {
	s := newProxied(t, false)
	s.StartPlain()
	dialTCP(t, s).Close()
	wantReason(t, s, tlsserver.ReasonClosedBeforeHello)
}

func TestProveNeedsNoProxyHeader(t *testing.T) {
	s := newProxied(t, false)
	s.Start()
	if _, err := s.Config.Prove(t.Context(), "localhost"); err != nil {
		t.Error(err)
	}
}

func TestProxySources(t *testing.T) {
	var p tlsserver.ProxyProtocol
	for _, source := range []string{"10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32", "::ffff:198.51.100.0/120", "unix"} {
		if err := p.Trust(source); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	if !p.Unix || len(p.From) != 5 || p.From[4].String() != "198.51.100.0/24" {
		t.Errorf("trusts %v", p)
	}
	for _, source := range []string{"", "localhost", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%lo", "Unix"} {
		if err := p.Trust(source); err == nil {
			t.Errorf("%q is taken", source)
		}
	}
}
