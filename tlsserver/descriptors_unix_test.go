//go:build !windows

package tlsserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// serveWithFewDescriptors is the process in which the next test's server runs:
// it says on standard output what happens.
func serveWithFewDescriptors() {
	limit := syscall.Rlimit{Cur: 40, Max: 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println("setrlimit", err)
		os.Exit(1)
	}
	s := &tlsserver.Server{
		Handler: service.Greet("hello\r\n", service.Echo()),
		Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
			if e, ok := e.(tlsserver.AcceptFailed); ok && errors.Is(e.Err, syscall.EMFILE) {
				fmt.Println("EMFILE")
			}
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen", err)
		os.Exit(1)
	}
	fmt.Println("listening", l.Addr())
	fmt.Println("served", s.ServePlain(context.Background(), l))
}

func TestRunningOutOfDescriptorsPasses(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TCPS_TEST_DESCRIPTORS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	lines.Scan()
	addr, ok := strings.CutPrefix(lines.Text(), "listening ")
	if !ok {
		t.Fatalf("the server says %q", lines.Text())
	}
	var clients []net.Conn
	for range 60 { // the kernel completes them; the server cannot accept them all
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	if lines.Scan(); lines.Text() != "EMFILE" {
		t.Fatalf("the server says %q, want EMFILE", lines.Text())
	}
	for _, c := range clients[:30] {
		greeted(t, c) // their ends make room for the others
	}
	for _, c := range clients[30:] {
		greeted(t, c)
	}
}
