package tlsclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// proxyThat hears and says literal bytes in turns, and then hands its client to
// rest. It returns the URL of itself.
func proxyThat(t *testing.T, scheme string, turns []string, rest func(net.Conn)) *url.URL {
	t.Helper()
	address := serve(t, func(c net.Conn) {
		for i, text := range turns {
			if i%2 == 1 {
				io.WriteString(c, text)
			} else if heard := make([]byte, len(text)); text != "" {
				if n, err := io.ReadFull(c, heard); err != nil || string(heard) != text {
					t.Errorf("the proxy heard %q, %v; want %q", heard[:n], err, text)
					return
				}
			}
		}
		rest(c)
	})
	return &url.URL{Scheme: scheme, Host: address}
}

// asked is the request for a server that the tests of literal bytes use.
const (
	asked   = "CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n"
	named   = "\x05\x01\x00\x03\x07db.test\x15\x38"
	noAuth  = "\x05\x01\x00"
	orLogin = "\x05\x02\x00\x02"
	granted = "\x05\x00\x00\x01\x7f\x00\x00\x01\x15\x38"
)

var alice = url.UserPassword("alice", "s3cret")

// shown is the URL of a proxy without its password.
func shown(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	return u.Scheme + "://" + u.User.Username() + "@" + u.Host
}

// The server's first bytes come in one packet with the proxy's answer: all of
// them are the server's, and none of the answer is.
func TestThroughAProxyToTheByte(t *testing.T) {
	for name, c := range map[string]struct {
		scheme, endpoint string
		user             *url.Userinfo
		turns            []string
	}{
		"SOCKS, a name":       {"socks5", "db.test:5432", nil, []string{noAuth, "\x05\x00", named, granted}},
		"SOCKS, IPv4":         {"socks5", "192.0.2.1:80", nil, []string{noAuth, "\x05\x00", "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", granted}},
		"SOCKS, IPv6":         {"socks5h", "[2001:db8::1]:80", nil, []string{noAuth, "\x05\x00", "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", granted}},
		"SOCKS, reply IPv6":   {"socks5", "db.test:5432", nil, []string{noAuth, "\x05\x00", named, "\x05\x00\x00\x04" + strings.Repeat("\x00", 16) + "\x15\x38"}},
		"SOCKS, reply a name": {"socks5", "db.test:5432", nil, []string{noAuth, "\x05\x00", named, "\x05\x00\x00\x03\x05hello\x15\x38"}},
		"SOCKS, no name":      {"socks5", "db.test:5432", nil, []string{noAuth, "\x05\x00", named, "\x05\x00\x00\x03\x00\x15\x38"}},
		"SOCKS, password":     {"socks5", "db.test:5432", alice, []string{orLogin, "\x05\x02", "\x01\x05alice\x06s3cret", "\x01\x00", named, granted}},
		"SOCKS, not asked":    {"socks5", "db.test:5432", alice, []string{orLogin, "\x05\x00", named, granted}},
		"HTTP":                {"http", "db.test:5432", nil, []string{asked + "\r\n", "HTTP/1.1 200 OK\r\n\r\n"}},
		"HTTP, IPv6":          {"http", "[2001:db8::1]:80", nil, []string{"CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "HTTP/1.0 200 Connection established\r\n\r\n"}},
		"HTTP, a length":      {"http", "db.test:5432", nil, []string{asked + "\r\n", "HTTP/1.1 204 Fine\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"}},
		"HTTP, bare ends":     {"http", "db.test:5432", nil, []string{asked + "\r\n", "HTTP/1.1 200 OK\nVia: x\n\n"}},
		"HTTP, announced":     {"http", "db.test:5432", nil, []string{asked + "\r\n", "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}},
		"HTTP, password":      {"http", "db.test:5432", alice, []string{asked + "Proxy-Authorization: Basic YWxpY2U6czNjcmV0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.turns[len(c.turns)-1] += "hello\r\n"
			d := &tlsclient.Dialer{Via: proxyThat(t, c.scheme, c.turns, untilEnd)}
			d.Via.User = c.user
			conn, err := d.Dial(t.Context(), "tcp://"+c.endpoint)
			conn = closed(t, conn, err)
			wantGreeting(t, conn)
			if want := shown(d.Via); conn.Via() != want || conn.RemoteAddr().String() != d.Via.Host {
				t.Errorf("via %q, remote %s; want %s and the proxy's address", conn.Via(), conn.RemoteAddr(), want)
			}
		})
	}
}

func TestAProxyThatDoesNotConnectUs(t *testing.T) {
	const failed, auth = "failed", tlsclient.ReasonProxyAuthentication
	for name, c := range map[string]struct {
		scheme string
		user   *url.Userinfo
		turns  []string
		reason tlsclient.Reason
		says   string
	}{
		"SOCKS, rules":        {"socks5", nil, []string{noAuth, "\x05\x00", named, "\x05\x02"}, failed, "its rules do not allow it (SOCKS reply 2)"},
		"SOCKS, refused":      {"socks5", nil, []string{noAuth, "\x05\x00", named, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"}, failed, "the connection was refused"},
		"SOCKS, unknown":      {"socks5", nil, []string{noAuth, "\x05\x00", named, "\x05\x63\x00"}, failed, "SOCKS reply 99"},
		"SOCKS, wants one":    {"socks5", nil, []string{noAuth, "\x05\xff"}, auth, "wants to know who we are"},
		"SOCKS, wrong":        {"socks5", alice, []string{orLogin, "\x05\x02", "\x01\x05alice\x06s3cret", "\x01\x01"}, auth, `does not take the password of user "alice"`},
		"SOCKS, none":         {"socks5", alice, []string{orLogin, "\x05\xff"}, auth, "takes neither a name"},
		"HTTP, rules":         {"http", nil, []string{asked + "\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\ngo away\r\n"}, failed, "it answers 403 Forbidden"},
		"HTTP, unreached":     {"http", nil, []string{asked + "\r\n", "HTTP/1.0 502 \x1b[31mBad\r\n\r\n"}, failed, "it answers 502 "},
		"HTTP, a text of TLS": {"http", nil, []string{asked + "\r\n", "HTTP/1.1 403 remote error: tls: unknown certificate authority\r\n\r\n"}, failed, "it answers 403 remote error"},
		"HTTP, moved":         {"http", nil, []string{asked + "\r\n", "HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n"}, failed, "it answers 302"},
		"HTTP, wants one":     {"http", nil, []string{asked + "\r\n", "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest x=y\r\nProxy-Authenticate: basic realm=\"x\"\r\n\r\n"}, auth, "wants to know who we are: it answers 407 Who"},
		"HTTP, wants others":  {"http", alice, []string{asked, "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Digest realm=\"x\"\r\n\r\n"}, auth, "by Digest or NTLM, and we speak only Basic"},
		"HTTP, wrong":         {"http", alice, []string{asked, "HTTP/1.1 407 Who\r\n\r\n"}, auth, `does not take the password of user "alice"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := &tlsclient.Dialer{Via: proxyThat(t, c.scheme, c.turns, untilEnd)}
			d.Via.User = c.user
			_, err := d.Dial(t.Context(), "db.test:5432")
			code := 1
			if c.reason == auth {
				code = 10
			}
			f := wantFailure(t, err, c.reason, code, "connect to tcps://db.test:5432: through "+shown(d.Via))
			via, ok := errors.AsType[*tlsclient.ViaError](err)
			if !ok || !via.Refused || f.NotReached == (c.reason == auth) {
				t.Errorf("refused %v, not reached %v", via, f.NotReached)
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v: want it to say %q, and no password", err, c.says)
			}
		})
	}
}

func TestAProxyThatDoesNotAnswerAsOne(t *testing.T) {
	for name, c := range map[string]struct {
		scheme string
		turns  []string
		says   string
	}{
		"SOCKS, cut at once":     {"socks5", []string{noAuth}, "ended the connection"},
		"SOCKS, cut in a reply":  {"socks5", []string{noAuth, "\x05\x00", named, granted[:7]}, "ended the connection"},
		"SOCKS 4":                {"socks5", []string{noAuth, "\x00\x5b"}, "does not speak SOCKS 5"},
		"SOCKS, another one":     {"socks5", []string{noAuth, "\x05\x02"}, "which was not offered"},
		"SOCKS, a strange form":  {"socks5", []string{noAuth, "\x05\x00", named, "\x05\x00\x00\x07\x00"}, "unknown form 7"},
		"SOCKS, not its version": {"socks5", []string{noAuth, "\x05\x00", named, "\x00\x00"}, "not SOCKS 5"},
		"HTTP, cut at once":      {"http", []string{asked + "\r\n"}, "ended the connection"},
		"HTTP, cut in a line":    {"http", []string{asked + "\r\n", "HTTP/1.1 200 OK\r\nVia: "}, "ended the connection"},
		"SSH":                    {"http", []string{asked + "\r\n", "SSH-2.0-x\r\n"}, `begins with "SSH-2"`},
		"HTTP, no status":        {"http", []string{asked + "\r\n", "HTTP/1.1 OK\r\n\r\n"}, "does not speak HTTP"},
		"HTTP, too long":         {"http", []string{asked + "\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 16<<10)}, "longer than 16384 bytes"},
		"HTTP, announced on":     {"http", []string{asked + "\r\n", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)}, "longer than 16384 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &tlsclient.Dialer{Via: proxyThat(t, c.scheme, c.turns, func(c net.Conn) { c.(*net.TCPConn).CloseWrite(); untilEnd(c) })}
			_, err := d.Dial(t.Context(), "db.test:5432")
			f := wantFailure(t, err, "failed", 1, "connect to tcps://db.test:5432: through "+shown(d.Via))
			if via, ok := errors.AsType[*tlsclient.ViaError](err); !ok || via.Refused || !f.NotReached {
				t.Errorf("%#v, not reached %v; want a fault of the proxy", via, f.NotReached)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: want it to say %q", err, c.says)
			}
		})
	}
}

// Whatever the proxy keeps us waiting with, Timeout ends it, and so does the ctx.
func TestAProxyThatKeepsUsWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		scheme string
		turns  []string
	}{
		"SOCKS, method": {"socks5", []string{noAuth}},
		"SOCKS, reply":  {"socks5", []string{noAuth, "\x05\x00", named, "\x05\x00\x00"}},
		"HTTP":          {"http", []string{asked + "\r\n", "HTTP/1.1 200 OK\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &tlsclient.Dialer{Via: proxyThat(t, c.scheme, c.turns, untilEnd), Timeout: 100 * time.Millisecond}
			_, err := d.Dial(t.Context(), "db.test:5432")
			if f := wantFailure(t, err, "timeout:connect", 4, "connect to tcps://db.test:5432: through "+shown(d.Via)); !f.Timeout() {
				t.Errorf("%v is no timeout", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			d.Via, d.Timeout = proxyThat(t, c.scheme, c.turns, func(c net.Conn) { cancel(); untilEnd(c) }), -1
			_, err = d.Dial(ctx, "db.test:5432")
			wantFailure(t, err, "shutdown", 1, "connect to tcps://db.test:5432: through "+shown(d.Via))
		})
	}
}

func TestAProxyThatIsNotThere(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	d := &tlsclient.Dialer{Via: &url.URL{Scheme: "http", Host: address, User: alice}}
	_, err := d.Dial(t.Context(), "db.test:5432")
	f := wantFailure(t, err, "failed", 1, "connect to tcps://db.test:5432: through "+shown(d.Via))
	if via, ok := errors.AsType[*tlsclient.ViaError](err); !ok || via.Refused || !f.NotReached || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v: want that the proxy is not reached", err)
	}
}

// resolved answers for one host.
type resolved struct {
	host  string
	addrs []netip.Addr
}

func (r resolved) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host != r.host {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return r.addrs, nil
}

// The Resolver is for the proxy, whose addresses are all tried; the server's
// name is the proxy's to resolve. The preamble goes to the server.
func TestTheWayIsToTheProxy(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	for _, scheme := range []string{"socks5", "http"} {
		var from netip.Addr
		p := relayProxy(t, func(c net.Conn) {
			from = c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		}, map[string]string{"localhost": strings.TrimPrefix(s.Endpoint, "tcps://")})
		_, port, _ := net.SplitHostPort(p)
		d := s.Dialer()
		d.ServerName = ""
		d.Via = &url.URL{Scheme: scheme, Host: "proxy.test:" + port}
		d.Resolver = resolved{"proxy.test", []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}}
		d.Network, d.LocalAddr = "tcp4", netip.MustParseAddr("127.0.0.1")
		c, err := d.Dial(t.Context(), "localhost:1")
		c = closed(t, c, err)
		wantGreeting(t, c)
		if from != d.LocalAddr || !c.TLS().HandshakeComplete {
			t.Errorf("dialled from %v", from)
		}
	}
}

func TestAServerIsAskedForTLSThroughAProxy(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	turns := []string{
		asked + "\r\n", "HTTP/1.1 200 OK\r\n\r\n220 hi\r\n",
		"PROXY UNKNOWN\r\nEHLO [127.0.0.1]\r\n", offer, "STARTTLS\r\n", "220 go\r\n",
	}
	d := &tlsclient.Dialer{RootCAs: a.pool(), StartTLS: "smtp", ServerName: "localhost"}
	d.Preamble = func(local, remote net.Addr) ([]byte, error) {
		if remote.String() != d.Via.Host || local.String() == remote.String() {
			t.Errorf("the preamble is for a connection from %v to %v, want to the proxy", local, remote)
		}
		return []byte("PROXY UNKNOWN\r\n"), nil
	}
	d.Via = proxyThat(t, "http", turns, func(c net.Conn) { serveGreeting(c, config) })
	c, err := d.Dial(t.Context(), "db.test:5432")
	wantGreeting(t, closed(t, c, err))
}

func TestWhatNoProxyLeadsTo(t *testing.T) {
	d := &tlsclient.Dialer{Via: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}
	for endpoint, says := range map[string]string{"unixs:///x.sock": "Unix", "[fe80::1%eth0]:443": "zone"} {
		if _, err := d.Dial(t.Context(), endpoint); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want a refusal that says %q", endpoint, err, says)
		}
	}
	for _, address := range []string{"a\r\nX-y:1", "a b:1", ":1", strings.Repeat("a", 256) + ":1"} {
		if _, err := d.DialContext(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "hosts of 1 to 255 bytes") {
			t.Errorf("%q: %v, want a refusal", address, err)
		}
	}
}

func TestTheURLOfAProxy(t *testing.T) {
	for text, want := range map[string]string{
		"socks5://p:1080": "", "socks5h://a:b@[::1]:1": "", "http://p": "", "http://p:80/": "",
		"p:80": "is written as", "https://p:443": "not spoken to in TLS", "socks4://p:1": `scheme "socks4"`, "socks://p:1": "want socks5 or http",
		"http://": "no host", "http://:80": "no host", "http://p:0": "port 0", "http://p/x": "ends with its port", "http://p?x": "ends with its port",
		"http://a%3Ab:s3cret@p": "a colon", "socks5://:s3cret@p": "1 to 255 bytes", "http://a:s3cret@p:x": "not the URL", "http://a:s3cret%@p": "not the URL",
		"socks5://" + strings.Repeat("a", 256) + "@p": "1 to 255 bytes",
	} {
		_, err := tlsclient.ParseVia(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: tells the password", err)
		}
	}
}

// Some proxies end both directions when one ends. That the answer is cut shows,
// and whose doing it may be.
func TestAProxyThatCutsTheStream(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	d := &tlsclient.Dialer{RootCAs: a.pool(), ServerName: "localhost"}
	d.Via = proxyThat(t, "http", []string{asked + "\r\n", "HTTP/1.1 200 OK\r\n\r\n"}, func(c net.Conn) {
		over := tls.Server(c, config)
		io.WriteString(over, "hello\r\n")
		io.ReadAll(over)
		c.Close()
	})
	c, err := d.Dial(t.Context(), "db.test:5432")
	c = closed(t, c, err)
	wantGreeting(t, c)
	c.CloseWrite()
	_, err = io.ReadAll(c)
	if f := wantFailure(t, err, "truncated", 11, "read from tcps://db.test:5432"); f.Via != c.Via() || f.Via == "" {
		t.Errorf("via %q, want %q", f.Via, c.Via())
	}
}
