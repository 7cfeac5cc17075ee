package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A puppet is a peer of the test's own that does what no real one can be made
// to do at will. It takes steps, each a word, some with a text after a colon (Go's escapes):
//
//	tls:FILE     shakes hands; as a server with FILE.pem and FILE.key, as a
//	             client with the server name FILE, trusting the script's authority
//	say:TEXT     sends TEXT in one write
//	drip:TEXT    sends TEXT a byte at a time, 20 ms apart
//	flood        sends x without an end, until the other side is gone
//	hear:TEXT    reads until TEXT has come
//	heareof      reads to the other side's end, whichever it is, and prints it
//	halfclose    ends the sending side: close_notify and FIN
//	end          ends with close_notify
//	cut          ends with FIN, without close_notify
//	reset        ends with a reset
//	hold         does nothing any more until the script is over
//
// After the last step it reads until the other side has ended.
// What it hears it prints, for waitfor.
type puppet struct {
	job     *job
	conn    net.Conn // TCP, below TLS
	over    net.Conn // TLS, or conn
	lines   *bufio.Reader
	roots   *x509.CertPool // nil: a server
	dir     func(string) string
	stopped chan struct{}
}

func cmdPeer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 1, "peer NAME STEP…")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	p := &puppet{job: newJob(), stopped: make(chan struct{}), dir: ts.MkAbs}
	addJob(ts, args[0], p.job)
	steps := unescapeAll(ts, args[1:])
	go p.run(steps, func() (net.Conn, error) {
		defer l.Close()
		return l.Accept()
	})
	ts.Defer(func() { l.Close(); p.stop() })
}

func cmdCaller(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "caller NAME PORT STEP…")
	p := &puppet{job: newJob(), stopped: make(chan struct{}), dir: ts.MkAbs, roots: x509.NewCertPool()}
	if pem, err := os.ReadFile(ts.Getenv("ROOT")); err == nil {
		p.roots.AppendCertsFromPEM(pem)
	}
	addJob(ts, args[0], p.job)
	steps := unescapeAll(ts, args[2:])
	go p.run(steps, func() (net.Conn, error) { return net.Dial("tcp", net.JoinHostPort("127.0.0.1", args[1])) })
	ts.Defer(p.stop)
}

func unescapeAll(ts *testscript.TestScript, steps []string) []string {
	var all []string
	for _, step := range steps {
		all = append(all, unescape(ts, step))
	}
	return all
}

// stop ends the connection, if there still is one, and waits for the goroutine.
func (p *puppet) stop() {
	close(p.stopped)
	p.job.mu.Lock()
	if p.conn != nil {
		p.conn.Close()
	}
	p.job.mu.Unlock()
	<-p.job.ended
}

func (p *puppet) printf(format string, args ...any) {
	fmt.Fprintf(stream{p.job, &p.job.stdout}, format+"\n", args...)
}

func (p *puppet) run(steps []string, connect func() (net.Conn, error)) {
	defer close(p.job.ended)
	conn, err := connect()
	if err != nil {
		p.printf("connect: %v", err)
		return
	}
	defer conn.Close()
	p.job.mu.Lock()
	p.conn, p.over = conn, conn
	p.job.mu.Unlock()
	p.lines = bufio.NewReader(conn)
	p.printf("connected from %s to %s", conn.LocalAddr(), conn.RemoteAddr())
	for _, step := range steps {
		verb, text, _ := strings.Cut(step, ":")
		if err := p.step(verb, text); err != nil {
			p.printf("%s: %v", verb, err)
			break
		}
		p.printf("%s: done", verb)
	}
	_, err = io.Copy(io.Discard, conn) // holds the connection
	p.printf("the other side is gone: %v", err)
}

func (p *puppet) step(verb, text string) error {
	switch verb {
	case "tls":
		return p.handshake(text)
	case "say":
		_, err := io.WriteString(p.over, text)
		return err
	case "drip":
		return p.drip(text)
	case "flood":
		return p.flood()
	case "hear":
		return p.hear(text)
	case "heareof":
		heard, err := io.ReadAll(p.lines)
		p.printf("heard %q to the end: %v", heard, err)
		return nil
	case "halfclose":
		return p.over.(interface{ CloseWrite() error }).CloseWrite()
	case "end":
		return p.over.Close()
	case "cut":
		return p.conn.Close()
	case "hold":
		<-p.stopped
		return nil
	case "reset":
		p.conn.(*net.TCPConn).SetLinger(0)
		return p.conn.Close()
	}
	return fmt.Errorf("unknown step")
}

func (p *puppet) handshake(name string) error {
	var conn *tls.Conn
	if p.roots != nil {
		conn = tls.Client(p.conn, &tls.Config{RootCAs: p.roots, ServerName: name})
	} else {
		cert, err := tls.LoadX509KeyPair(p.dir(name+".pem"), p.dir(name+".key"))
		if err != nil {
			return err
		}
		conn = tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	p.over, p.lines = conn, bufio.NewReader(conn)
	return conn.Handshake()
}

func (p *puppet) drip(text string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		if _, err := io.WriteString(p.over, text[i:i+1]); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

func (p *puppet) flood() error {
	block := []byte(strings.Repeat("x", 4096))
	for {
		if _, err := p.over.Write(block); err != nil {
			return nil
		}
	}
}

func (p *puppet) hear(text string) error {
	var heard []byte
	for !strings.Contains(string(heard), text) {
		b, err := p.lines.ReadByte()
		if err != nil {
			return fmt.Errorf("heard %q, then %w", heard, err)
		}
		heard = append(heard, b)
	}
	p.printf("heard %q", heard)
	return nil
}

// cmdClosedPort binds a port without listening on it: connections to it are
// refused, and nobody else can take it.
func cmdClosedPort(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "closedport VARIABLE")
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	ts.Check(err)
	ts.Defer(func() { syscall.Close(fd) })
	ts.Check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	addr, err := syscall.Getsockname(fd)
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(addr.(*syscall.SockaddrInet4).Port))
}
