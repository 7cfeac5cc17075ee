//go:build !windows

package tlsserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// serveWithFewDescriptors is the process in which the next tests' servers run:
// it says on standard output what happens.
func serveWithFewDescriptors() {
	say := func(what ...any) { fmt.Println(what...) }
	limit := syscall.Rlimit{Cur: 40, Max: 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		say("setrlimit", err)
		return
	}
	s := &tlsserver.Server{
		Handler:          service.Greet("hello\r\n", service.Echo()),
		HandshakeTimeout: -1,
		Limits:           tlsserver.Limits{MaxConns: -1}, // or it would keep descriptors in reserve
		Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
			if e, ok := e.(tlsserver.AcceptFailed); ok && errors.Is(e.Err, syscall.EMFILE) {
				say("EMFILE")
			}
		}),
	}
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		say("authority", err)
		return
	}
	source, err := authority.Source([]string{"localhost"}, 0)
	if err != nil {
		say("source", err)
		return
	}
	if err := s.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
		say("trust", err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		say("listen", err)
		return
	}
	say("listening", l.Addr())
	if os.Getenv("TCPS_TEST_DESCRIPTORS") == "tls" {
		say("served", s.Serve(context.Background(), l))
		return
	}
	say("served", s.ServePlain(context.Background(), l))
}

// startWithFewDescriptors starts that process; says reads its next line.
func startWithFewDescriptors(t *testing.T, mode string) (addr string, says func() string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TCPS_TEST_DESCRIPTORS="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	says = func() string { lines.Scan(); return lines.Text() }
	addr, ok := strings.CutPrefix(says(), "listening ")
	if !ok {
		t.Fatalf("the server says %q", lines.Text())
	}
	return addr, says
}

func TestRunningOutOfDescriptorsPasses(t *testing.T) {
	addr, says := startWithFewDescriptors(t, "plain")
	var clients []net.Conn
	for range 60 { // the kernel completes them; the server cannot accept them all
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	if line := says(); line != "EMFILE" {
		t.Fatalf("the server says %q, want EMFILE", line)
	}
	for _, c := range clients {
		greeted(t, c) // their ends make room for the others
	}
}

// No handshake timeout helps here: who has waited longest for its hello gives
// its descriptor to the next.
func TestSilentClientsDoNotKeepTheDescriptors(t *testing.T) {
	addr, says := startWithFewDescriptors(t, "tls")
	for range 60 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if line := says(); line != "EMFILE" {
		t.Fatalf("the server says %q, want EMFILE", line)
	}
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the authority is in another process
	if err != nil {
		t.Fatal(err)
	}
	greeted(t, c)
}
