//go:build !windows

package service_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

func wantWhole(t *testing.T, c io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); string(got) != want || err != nil {
		t.Fatalf("got %q, %v; want %q and a clean end", got, err, want)
	}
}

func wantReason(t *testing.T, s *tlstest.Server, why tlsserver.Reason, text string) {
	t.Helper()
	if e := s.WaitEnded(); e.Reason != why || !strings.Contains(fmt.Sprint(e.Err), text) {
		t.Errorf("reason %q, error %v; want %q, and %q in the error", e.Reason, e.Err, why, text)
	}
}

func TestAProgramThatClosesItsOutputEndsOurSideAndStillHears(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heard")
	e := shell(`exec >&-; cat >"$HEARD"`)
	e.Env = append(e.Env, "HEARD="+file)
	s, c := call(t, e)
	wantWhole(t, c, "") // while it runs
	io.WriteString(c, "still here")
	c.Close()
	wantReason(t, s, tlsserver.ReasonDone, "<nil>")
	if heard, err := os.ReadFile(file); string(heard) != "still here" {
		t.Errorf("heard %q, %v", heard, err)
	}
}

func TestAProgramThatOutlivesBothDirectionsIsEnded(t *testing.T) {
	e := shell(`exec >&-; exec sleep 1000`)
	e.Grace = 50 * time.Millisecond
	s, c := call(t, e)
	c.CloseWrite()
	wantWhole(t, c, "")
	c.Close()
	wantReason(t, s, tlsserver.ReasonFailed, `run "sh": it still runs`)
}

func TestSIGTERMComesFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said")
	e := shell(`trap 'echo bye >"$SAID"; exit' TERM; echo ready; sleep 1000 & wait`)
	e.Env = append(e.Env, "SAID="+file)
	s, c := call(t, e)
	if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	s.Config.Close()
	if said, err := os.ReadFile(file); string(said) != "bye\n" {
		t.Errorf("said %q, %v", said, err)
	}
}

// What has left the group lives on, and neither its silence nor its flood holds
// the connection; what the program itself wrote is delivered.
func TestWhatHasLeftTheGroupDoesNotHoldTheConnection(t *testing.T) {
	for does, script := range map[string]string{"is silent": "exec sleep 1000", "floods": "echo begin; exec yes"} {
		t.Run(does, func(t *testing.T) {
			e := shell(`setsid sh -c 'echo $$; ` + script + `' & read x; exit`)
			e.Grace = time.Millisecond
			s, c := call(t, e)
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			left, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(left, syscall.SIGKILL) // a flood meets SIGPIPE, silence does not
			io.WriteString(c, "go\n")
			if _, err := io.Copy(io.Discard, in); err != nil {
				t.Fatal(err)
			}
			c.Close()
			wantReason(t, s, tlsserver.ReasonDone, "<nil>")
		})
	}
}

// A peer that takes its time gets all of the pipe although something else still
// holds that open.
func TestTheRestOfAnOutputThatIsHeldOpenIsDelivered(t *testing.T) {
	const size = 8_000_000
	e := shell(fmt.Sprintf(`setsid sh -c 'exec sleep 1000' & echo $!; exec head -c %d /dev/zero`, size))
	e.Grace = time.Millisecond
	s, c := call(t, e)
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if left, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
		defer syscall.Kill(left, syscall.SIGKILL)
	}
	if n, err := io.Copy(io.Discard, in); n != size || err != nil {
		t.Errorf("%d bytes came, then %v; want %d and a clean end", n, err, size)
	}
	c.Close()
	wantReason(t, s, tlsserver.ReasonDone, "<nil>")
}

func TestAProgramThatCannotBeRunIsTheConnectionsFault(t *testing.T) {
	s, c := call(t, &service.Exec{Path: "/nonexistent", Args: []string{"gone"}})
	wantWhole(t, c, "")
	c.Close()
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonFailed || !errors.Is(e.Err, os.ErrNotExist) {
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
	_, c := call(t, shell("exec ls /proc/self/fd"))
	wantWhole(t, c, string(want))
}
