//go:build !windows

package service_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// call starts a server and connects to it.
func call(t *testing.T, e *service.Exec) (*tlstest.Server, *tlsclient.Conn) {
	t.Helper()
	s := tlstest.NewServer(t, e)
	c := s.Dial(s.Dialer())
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return s, c
}

// whole is what comes until a clean end.
func whole(t *testing.T, c io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("got %d bytes, then %v; want a clean end", len(b), err)
	}
	return string(b)
}

// program is an Exec; what it writes to standard error is the test's.
func program(t *testing.T, args ...string) *service.Exec {
	t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	return &service.Exec{Path: path, Args: args, Env: os.Environ(), Stderr: os.Stderr, Grace: 10 * time.Second}
}

// lineOf reads a line, byte by byte.
func lineOf(t *testing.T, c io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
}

func wantEnd(t *testing.T, s *tlstest.Server, why tlsserver.Reason, text string) {
	t.Helper()
	if e := s.WaitEnded(); e.Reason != why || !strings.Contains(fmt.Sprint(e.Err), text) {
		t.Errorf("reason %q, error %v; want %q, and %q in the error", e.Reason, e.Err, why, text)
	}
}

// runs reports whether a process is there and has not ended.
func runs(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func wantNoneOf(t *testing.T, pids ...string) {
	t.Helper()
	for _, pid := range pids {
		if runs(pid) {
			t.Errorf("process %s still runs", pid)
		}
	}
}

// told is a program that ends when it gets SIGUSR1; it says who it is first.
const told = `trap 'echo end; exit 0' USR1; echo $$; sleep 1000 >/dev/null 2>&1 & wait`

func tell(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = syscall.Kill(n, syscall.SIGUSR1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestExecThatClosesItsInputHoldsUpNobody(t *testing.T) {
	s, c := call(t, shell(`exec <&-; `+told))
	pid := lineOf(t, c)
	if n, err := io.Copy(c, io.LimitReader(pattern(4), 32<<20)); err != nil { // more than all buffers hold
		t.Fatalf("%d bytes sent, then %v", n, err)
	}
	tell(t, pid)
	if got := whole(t, c); got != "end\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
}

func TestExecThatNeverReadsIsServedToItsEnd(t *testing.T) {
	s, c := call(t, shell(told))
	pid := lineOf(t, c)
	sent := make(chan struct{})
	go func() {
		io.Copy(c, io.LimitReader(pattern(5), 1<<30)) // until the connection ends
		close(sent)
	}()
	tell(t, pid)
	if got := whole(t, c); got != "end\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	<-sent
	if e := s.WaitEnded(); e.Err != nil { // done, or truncated, if the client's last write was stuck
		t.Errorf("reason %q, %v", e.Reason, e.Err)
	}
}

func TestExecThatClosesItsOutputStillHears(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heard")
	e := shell(`exec >&-; cat >"$HEARD"`)
	e.Env = append(e.Env, "HEARD="+file)
	s, c := call(t, e)
	if got := whole(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	io.WriteString(c, "still here")
	c.CloseWrite()
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
	if heard, err := os.ReadFile(file); string(heard) != "still here" {
		t.Errorf("heard %q, %v", heard, err)
	}
}

func TestExecThatOutlivesBothDirectionsIsEnded(t *testing.T) {
	e := shell(`exec >&-; exec sleep 1000`)
	e.Grace = 50 * time.Millisecond
	s, c := call(t, e)
	c.CloseWrite()
	whole(t, c)
	c.Close()
	wantEnd(t, s, tlsserver.ReasonFailed, "still runs")
}

// A pipeListener has one connection without any buffer: what is written to it
// waits until it is read.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func TestExecThatHasEndedLosesNothingToASlowPeer(t *testing.T) {
	const size = 60_000 // what the program's pipe holds
	e := shell(fmt.Sprintf(`echo $$; exec head -c %d /dev/zero`, size))
	e.Grace = time.Millisecond // the peer has all the time it wants
	s := &tlsserver.Server{Handler: e}
	l := pipeListener{make(chan net.Conn, 1)}
	c, theirs := net.Pipe()
	defer c.Close()
	l.conns <- theirs
	close(l.conns)
	served := make(chan error, 1)
	go func() { served <- s.ServePlain(t.Context(), l) }()
	pid := lineOf(t, c)
	for again := time.NewTicker(time.Millisecond); runs(pid); <-again.C {
	}
	if got := whole(t, c); len(got) != size {
		t.Errorf("%d bytes came, want %d", len(got), size)
	}
	s.Close()
	<-served
}

func TestSIGTERMComesFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said")
	e := shell(`trap 'echo bye >"$SAID"; exit' TERM; echo ready; sleep 1000 & wait`)
	e.Env = append(e.Env, "SAID="+file)
	s, c := call(t, e)
	lineOf(t, c)
	s.Config.Close()
	if said, err := os.ReadFile(file); string(said) != "bye\n" {
		t.Errorf("said %q, %v", said, err)
	}
}

func TestWhatAProgramLeavesBehindIsEnded(t *testing.T) {
	for name, line := range map[string]string{
		"with its output open": `sleep 1000 & echo $!`,
		"without it":           `sleep 1000 >/dev/null 2>&1 & echo $!`,
	} {
		t.Run(name, func(t *testing.T) {
			e := shell(line)
			e.Grace = 100 * time.Millisecond
			s, c := call(t, e)
			pid := lineOf(t, c)
			whole(t, c)
			c.Close()
			wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
			wantNoneOf(t, pid)
		})
	}
}

func TestWhatHasLeftTheGroupDoesNotHoldTheConnection(t *testing.T) {
	s, c := call(t, shell(`setsid sh -c 'echo $$; exec sleep 1000' & while ! read x; do exit; done`))
	pid := lineOf(t, c)
	io.WriteString(c, "go\n")
	whole(t, c)
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
	var left int
	fmt.Sscan(pid, &left)
	syscall.Kill(left, syscall.SIGKILL) // it may live: here it need not
}

func TestAProgramThatCannotBeRunIsTheConnectionsFault(t *testing.T) {
	s, c := call(t, &service.Exec{Path: "/nonexistent", Args: []string{"gone"}})
	if got := whole(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	c.Close()
	e := s.WaitEnded()
	if e.Reason != tlsserver.ReasonFailed || !errors.Is(e.Err, os.ErrNotExist) {
		t.Errorf("reason %q, %v", e.Reason, e.Err)
	}
}

func TestAProgramGetsNoDescriptorButItsThree(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc")
	}
	// Beside 0, 1, 2 and the folder that ls reads, there may be what this
	// process was started with, and every other program gets from it too.
	want, err := exec.Command("ls", "/proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, c := call(t, program(t, "ls", "/proc/self/fd"))
	if got := whole(t, c); got != string(want) {
		t.Errorf("descriptors %q, want %q", got, want)
	}
}
