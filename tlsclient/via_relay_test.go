package tlsclient_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
)

// relayProxy is a real proxy for both protocols, which resolves names by itself:
// the servers in hosts are all that it knows. It returns its address.
func relayProxy(t *testing.T, see func(net.Conn), hosts map[string]string) string {
	t.Helper()
	return serve(t, func(c net.Conn) {
		see(c)
		r := bufio.NewReader(c)
		first, err := r.Peek(1)
		if err != nil {
			return
		}
		host, granted := "", "HTTP/1.1 200 OK\r\n\r\n"
		if first[0] == 5 {
			host, granted = hearSOCKS(c, r), "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
		} else if request, err := http.ReadRequest(r); err == nil {
			host, _, _ = net.SplitHostPort(request.Host)
		}
		server, err := net.Dial("tcp", hosts[host])
		if err != nil {
			t.Errorf("the proxy was asked for %q: %v", host, err)
			return
		}
		defer server.Close()
		io.WriteString(c, granted)
		go func() {
			io.Copy(server, r)
			server.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(c, server)
	})
}

func hearSOCKS(c net.Conn, r io.Reader) (host string) {
	io.ReadFull(r, make([]byte, 3))
	io.WriteString(c, "\x05\x00")
	head := make([]byte, 5)
	io.ReadFull(r, head)
	name := make([]byte, int(head[4])+2)
	io.ReadFull(r, name)
	return string(name[:len(name)-2])
}

// serveGreeting greets over TLS, and waits for the client's end.
func serveGreeting(c net.Conn, config *tls.Config) {
	over := tls.Server(c, config)
	defer over.Close()
	if over.Handshake() == nil {
		greet(over)
	}
}
