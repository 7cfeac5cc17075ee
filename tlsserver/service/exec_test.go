//go:build !windows

package service_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// program is an Exec; what it writes to standard error is the test's.
func program(t *testing.T, args ...string) *service.Exec {
	t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	return &service.Exec{Path: path, Args: args, Env: os.Environ(), Stderr: os.Stderr, Grace: 10 * time.Second}
}

// shell is a program that is a line for sh: it stands for any program.
func shell(t *testing.T, line string) *service.Exec { return program(t, "sh", "-c", line) }

// call starts a server and connects to it.
func call(t *testing.T, e *service.Exec) (*tlstest.Server, *tlsclient.Conn) {
	t.Helper()
	s := tlstest.NewServer(t, e)
	c := s.Dial(s.Dialer())
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return s, c
}

// readAll is what comes until a clean end.
func readAll(t *testing.T, c io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("got %d bytes, then %v; want a clean end", len(b), err)
	}
	return string(b)
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

func TestExecIsTheStreamBothWaysAndWhole(t *testing.T) {
	const size = 16 << 20
	overEach(t, program(t, "cat"), func(t *testing.T, c halfConn) {
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		sent, got := sha256.New(), sha256.New()
		wrote := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, io.TeeReader(io.LimitReader(pattern(3), size), sent))
			c.CloseWrite()
			wrote <- err
		}()
		if n, err := io.Copy(got, c); n != size || err != nil {
			t.Errorf("%d bytes came back, then %v; want %d and a clean end", n, err, size)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		if string(got.Sum(nil)) != string(sent.Sum(nil)) {
			t.Error("other bytes came back than were sent")
		}
	})
}

func TestExecGoesOnWritingAfterThePeersEnd(t *testing.T) {
	s, c := call(t, shell(t, `cat >/dev/null; echo late; echo later`))
	io.WriteString(c, "abc")
	c.CloseWrite()
	if got := readAll(t, c); got != "late\nlater\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
}

func TestExecNeverUsesAShell(t *testing.T) {
	_, c := call(t, program(t, "echo", "$HOME; id", "*", "--version"))
	if got := readAll(t, c); got != "$HOME; id * --version\n" {
		t.Errorf("got %q, want the arguments as they are", got)
	}
}

// environmentOver is the TCPS_ variables that a program gets.
func environmentOver(t *testing.T, c io.Reader) []string {
	t.Helper()
	var own []string
	for line := range strings.Lines(readAll(t, c)) {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(strings.ToUpper(name), "TCPS_") {
			own = append(own, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(own)
	return own
}

func wantVariables(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("variables:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func addresses(c net.Conn) []string {
	peer, local := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	return []string{
		"TCPS_PEER_ADDRESS=127.0.0.1", fmt.Sprintf("TCPS_PEER_PORT=%d", peer.Port),
		"TCPS_LOCAL_ADDRESS=127.0.0.1", fmt.Sprintf("TCPS_LOCAL_PORT=%d", local.Port),
	}
}

// forged is an environment that claims to be what the server says.
func forged(e *service.Exec) *service.Exec {
	e.Env = []string{
		"PATH=/usr/bin:/bin", "TCPS_PASSPHRASE=secret", "TCPS_PEER_CN=root", "TCPS_PEER_VERIFIED=1",
		"TCPS_PEER_IDENTITY=root", "TCPS_TLS_SNI=x", "TCPS_CERT=/key.pem", "tcps_peer_uri=x",
	}
	return e
}

func TestExecKnowsItsPeerFromTheEnvironment(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, forged(program(t, "env")))
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Config.NextProtos = []string{"x/1"}
	s.Start()
	d := s.DialerAs("alice", "dns:a.localhost", "dns:b.localhost", "email:a@localhost", "uri:spiffe://localhost/alice")
	d.NextProtos = []string{"x/1"}
	c := s.Dial(d)
	got := environmentOver(t, c)
	c.Close()
	conn := s.WaitEnded().Conn
	i := slices.IndexFunc(got, func(v string) bool { return strings.HasPrefix(v, "TCPS_PEER_PIN=") })
	if i < 0 {
		t.Fatalf("no pin among %q", got)
	}
	if _, err := tlsserver.ParseRule(tlsserver.RulePin, strings.TrimPrefix(got[i], "TCPS_PEER_PIN=")); err != nil {
		t.Errorf("the pin is none that a rule takes: %v", err)
	}
	wantVariables(t, slices.Delete(got, i, i+1), append(addresses(c),
		"TCPS_PEER_VERIFIED=1", "TCPS_PEER_IDENTITY=alice", "TCPS_PEER_CN=alice",
		"TCPS_PEER_DNS=a.localhost", // b.localhost is the next line
		"TCPS_PEER_EMAIL=a@localhost", "TCPS_PEER_URI=spiffe://localhost/alice",
		"TCPS_TLS_VERSION=TLS 1.3", "TCPS_TLS_SNI=localhost", "TCPS_TLS_ALPN=x/1", "TCPS_CONNECTION_ID="+conn.ID())...)
}

func TestExecKnowsNothingOfAPlainPeerButItsAddress(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, forged(program(t, "env")))
	s.StartPlain()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantVariables(t, environmentOver(t, c), addresses(c)...)
}

func TestExecDeliversTheOutputAndTellsTheExitStatus(t *testing.T) {
	s, c := call(t, shell(t, `echo sorry; exit 3`))
	if got := readAll(t, c); got != "sorry\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	wantEnd(t, s, tlsserver.ReasonFailed, `run "sh": exit status 3`)
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
	s, c := call(t, shell(t, `exec <&-; `+told))
	pid := lineOf(t, c)
	if n, err := io.Copy(c, io.LimitReader(pattern(4), 32<<20)); err != nil { // more than all buffers hold
		t.Fatalf("%d bytes sent, then %v", n, err)
	}
	tell(t, pid)
	if got := readAll(t, c); got != "end\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
}

func TestExecThatNeverReadsHoldsBackItsPeerAndIsServedToItsEnd(t *testing.T) {
	s, c := call(t, shell(t, told))
	pid := lineOf(t, c)
	sent := make(chan struct{})
	go func() {
		io.Copy(c, io.LimitReader(pattern(5), 1<<30)) // until the connection ends
		close(sent)
	}()
	tell(t, pid)
	if got := readAll(t, c); got != "end\n" {
		t.Errorf("got %q", got)
	}
	c.Close()
	<-sent
	// The client's end depends on where its last write was stuck.
	if e := s.WaitEnded(); e.Err != nil || e.Conn.BytesRead() > 1<<20 {
		t.Errorf("reason %q, %v, with %d bytes read", e.Reason, e.Err, e.Conn.BytesRead())
	}
}

func TestExecThatClosesItsOutputStillHears(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heard")
	e := shell(t, `exec >&-; cat >"$HEARD"`)
	e.Env = append(e.Env, "HEARD="+file)
	s, c := call(t, e)
	if got := readAll(t, c); got != "" {
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
	e := shell(t, `exec >&-; exec sleep 1000`)
	e.Grace = 50 * time.Millisecond
	s, c := call(t, e)
	c.CloseWrite()
	readAll(t, c)
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
	e := shell(t, fmt.Sprintf(`echo $$; exec head -c %d /dev/zero`, size))
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
	if got := readAll(t, c); len(got) != size {
		t.Errorf("%d bytes came, want %d", len(got), size)
	}
	s.Close()
	<-served
}

func TestExecThatWritesFasterThanItsPeerReadsWaits(t *testing.T) {
	const size = 32 << 20
	overEach(t, program(t, "head", "-c", fmt.Sprint(size), "/dev/zero"), func(t *testing.T, c halfConn) {
		c.SetDeadline(time.Now().Add(time.Minute))
		if n, err := io.Copy(io.Discard, c); n != size || err != nil {
			t.Errorf("%d bytes came, then %v; want %d", n, err, size)
		}
	})
}

// busy is a program with a child, which says who they are.
const busy = `sleep 1000 & echo $$ $!; wait`

func TestAResetEndsTheProgramAndItsChildren(t *testing.T) {
	s, c := call(t, shell(t, busy))
	pids := strings.Fields(lineOf(t, c))
	c.Reset()
	wantEnd(t, s, tlsserver.ReasonReset, "receive")
	wantNoneOf(t, pids...)
}

func TestCloseEndsProgramsThatIgnoreSIGTERM(t *testing.T) {
	e := shell(t, `trap "" TERM; `+busy)
	e.Grace = 50 * time.Millisecond
	s, c := call(t, e)
	pids := strings.Fields(lineOf(t, c))
	s.Config.Close()
	wantEnd(t, s, tlsserver.ReasonShutdown, "")
	wantNoneOf(t, pids...)
}

func TestSIGTERMComesFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said")
	e := shell(t, `trap 'echo bye >"$SAID"; exit' TERM; echo ready; sleep 1000 & wait`)
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
			e := shell(t, line)
			e.Grace = 100 * time.Millisecond
			s, c := call(t, e)
			pid := lineOf(t, c)
			readAll(t, c)
			c.Close()
			wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
			wantNoneOf(t, pid)
		})
	}
}

func TestWhatHasLeftTheGroupDoesNotHoldTheConnection(t *testing.T) {
	s, c := call(t, shell(t, `setsid sh -c 'echo $$; exec sleep 1000' & while ! read x; do exit; done`))
	pid := lineOf(t, c)
	io.WriteString(c, "go\n")
	readAll(t, c)
	c.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
	var left int
	fmt.Sscan(pid, &left)
	syscall.Kill(left, syscall.SIGKILL) // it may live: here it need not
}

func TestMaxProcessesRefusesOneMoreAndForgetsThoseThatEnded(t *testing.T) {
	e := shell(t, `echo in; exec cat`)
	e.MaxProcesses = 1
	s, first := call(t, e)
	lineOf(t, first)
	second := s.Dial(s.Dialer())
	if got := readAll(t, second); got != "" {
		t.Errorf("one too many got %q", got)
	}
	second.Close()
	wantEnd(t, s, "limit:processes", "1 processes run already")
	first.Close()
	wantEnd(t, s, tlsserver.ReasonDone, "<nil>")
	third := s.Dial(s.Dialer())
	if got := lineOf(t, third); got != "in" {
		t.Errorf("got %q", got)
	}
}

func TestKillEndsAllAtOnceAndLetsNoneBegin(t *testing.T) {
	e := shell(t, `trap "" TERM; `+busy)
	s, c := call(t, e)
	pids := strings.Fields(lineOf(t, c))
	e.Kill()
	readAll(t, c)
	c.Close()
	wantEnd(t, s, tlsserver.ReasonFailed, "signal: killed")
	wantNoneOf(t, pids...)
	if got := readAll(t, s.Dial(s.Dialer())); got != "" {
		t.Errorf("afterwards got %q", got)
	}
}

func TestAProgramThatCannotBeRunIsTheConnectionsFault(t *testing.T) {
	s, c := call(t, &service.Exec{Path: "/nonexistent", Args: []string{"gone"}})
	if got := readAll(t, c); got != "" {
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
	if got := readAll(t, c); got != string(want) {
		t.Errorf("descriptors %q, want %q", got, want)
	}
}
