//go:build !windows

package service_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// shell runs a script, as the program of a connection.
func shell(script string) *service.Exec {
	return &service.Exec{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: os.Environ(), Grace: time.Minute}
}

func TestExecGivesAProgramTheStream(t *testing.T) {
	overEach(t, shell("cat; echo the end"), func(t *testing.T, c halfConn) {
		sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<15)
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if want := string(sent) + "the end\n"; string(got) != want {
			t.Fatalf("got %d bytes that end in %q, want %d", len(got), got[max(0, len(got)-20):], len(want))
		}
	})
}

// What a slow peer takes after the grace is TestExecThatHasEndedLosesNothingToASlowPeer's.
func TestExecDeliversAllThatAnExitedProgramWrote(t *testing.T) {
	s := tlstest.NewServer(t, shell("head -c 8000000 /dev/zero"))
	c := s.Dial(s.Dialer())
	n, err := io.Copy(io.Discard, c)
	c.Close()
	if err != nil || n != 8_000_000 {
		t.Fatalf("got %d bytes, %v; want 8000000", n, err)
	}
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonDone {
		t.Errorf("reason %s (%v), want done", e.Reason, e.Err)
	}
}

func TestExecSaysHowAProgramFailed(t *testing.T) {
	s := tlstest.NewServer(t, shell("echo sorry; exit 3"))
	got, err := readAll(s)
	if err != nil || string(got) != "sorry\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	e := s.WaitEnded()
	if e.Reason != tlsserver.ReasonFailed || e.Err.Error() != `run "sh": exit status 3` {
		t.Errorf("reason %s, %v", e.Reason, e.Err)
	}
	if attrs := e.Conn.Attrs(); len(attrs) != 1 || attrs[0].Key != "pid" {
		t.Errorf("attributes %v, want the pid", attrs)
	}
}

// A program that does not read its input is not cut off by what the peer sends.
func TestExecDeliversWhatAProgramSaysThatDoesNotListen(t *testing.T) {
	s := tlstest.NewServer(t, shell("exec <&-; head -c 1000000 /dev/zero"))
	c := s.Dial(s.Dialer())
	go c.Write(make([]byte, 1<<20))
	if n, err := io.Copy(io.Discard, c); err != nil || n != 1_000_000 {
		t.Fatalf("got %d bytes, %v; want 1000000", n, err)
	}
}

// readAll connects, reads to the end, and closes.
func readAll(s *tlstest.Server) ([]byte, error) {
	c := s.Dial(s.Dialer())
	defer c.Close()
	return io.ReadAll(c)
}

// waitGone waits until there is no process of this number.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil && !zombie(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
	}
}

// zombie reports whether a process has ended, and nobody has waited for it: an
// orphan in a container without an init.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(after, "Z")
}

// startFamily connects to a program that has a child; both ignore the end of
// their input.
func startFamily(t *testing.T, s *tlstest.Server) (c net.Conn, child int) {
	c = s.Dial(s.Dialer())
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err = strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return c, child
}

const family = "sleep 1000 & echo $!; cat; wait"

func TestExecEndsTheProgramAndItsChildrenWithTheConnection(t *testing.T) {
	t.Run("reset", func(t *testing.T) {
		s := tlstest.NewServer(t, shell(family))
		c, child := startFamily(t, s)
		c.(interface{ Reset() error }).Reset()
		waitGone(t, child)
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonReset {
			t.Errorf("reason %s (%v), want reset", e.Reason, e.Err)
		}
	})
	t.Run("shutdown", func(t *testing.T) {
		s := tlstest.NewServer(t, shell(family))
		_, child := startFamily(t, s)
		s.Config.Close()
		waitGone(t, child)
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonShutdown {
			t.Errorf("reason %s (%v), want shutdown", e.Reason, e.Err)
		}
	})
	t.Run("deaf to SIGTERM", func(t *testing.T) {
		e := shell("trap '' TERM; " + family)
		e.Grace = time.Millisecond
		s := tlstest.NewServer(t, e)
		c, child := startFamily(t, s)
		c.(interface{ Reset() error }).Reset()
		waitGone(t, child)
	})
	t.Run("Kill", func(t *testing.T) {
		e := shell("trap '' TERM; " + family)
		s := tlstest.NewServer(t, e)
		c, child := startFamily(t, s)
		e.Kill()
		waitGone(t, child)
		c.Close()
		s.WaitEnded()
		if got, err := readAll(s); len(got) > 0 || err != nil {
			t.Errorf("after Kill a program has said %q, %v", got, err)
		}
	})
	t.Run("left behind", func(t *testing.T) {
		e := shell("sleep 1000 & echo $!")
		e.Grace = time.Millisecond
		s := tlstest.NewServer(t, e)
		c, child := startFamily(t, s)
		io.Copy(io.Discard, c)
		c.Close()
		waitGone(t, child)
		if e := s.WaitEnded(); e.Reason != tlsserver.ReasonDone {
			t.Errorf("reason %s (%v), want done", e.Reason, e.Err)
		}
	})
}

func TestExecBoundsItsProcesses(t *testing.T) {
	e := shell("echo here; cat")
	e.MaxProcesses = 1
	s := tlstest.NewServer(t, e)
	first := s.Dial(s.Dialer())
	if _, err := io.ReadFull(first, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(s); len(got) > 0 || err != nil {
		t.Errorf("one too many got %q, %v, want a clean end", got, err)
	}
	if e := s.WaitEnded(); e.Reason != "limit:processes" {
		t.Errorf("reason %s, want limit:processes", e.Reason)
	}
	first.CloseWrite()
	io.Copy(io.Discard, first)
	first.Close()
	s.WaitEnded()
	next := s.Dial(s.Dialer())
	next.CloseWrite()
	if got, err := io.ReadAll(next); string(got) != "here\n" || err != nil {
		t.Errorf("after the first has ended: %q, %v", got, err)
	}
}

func TestExecTellsTheProgramWhoIsThere(t *testing.T) {
	e := &service.Exec{Path: "/usr/bin/env", Args: []string{"env"}, Env: []string{"HOME=/nowhere", "TCPS_PASSPHRASE=secret", "TCPS_PEER_CN=forged"}}
	s := tlstest.NewUnstartedServer(t, e)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	c := s.Dial(s.DialerAs("app", "uri:spiffe://localhost/app"))
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(c.LocalAddr().String())
	for _, want := range []string{
		"HOME=/nowhere", "TCPS_PEER_ADDRESS=" + host, "TCPS_PEER_PORT=" + port, "TCPS_PEER_VERIFIED=1", "TCPS_PEER_IDENTITY=app",
		"TCPS_PEER_CN=app", "TCPS_PEER_URI=spiffe://localhost/app", "TCPS_TLS_VERSION=TLS 1.3", "TCPS_TLS_SNI=localhost", "TCPS_CONNECTION_ID=" + c.ID(),
	} {
		if !strings.Contains("\n"+string(got), "\n"+want+"\n") {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"secret", "forged", "TCPS_PEER_OU", "TCPS_TLS_ALPN"} {
		if strings.Contains(string(got), unwanted) {
			t.Errorf("%s stands in\n%s", unwanted, got)
		}
	}
}
