package service_test

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcps/tlsserver"
)

// taken waits until the other side's kernel has all that was sent.
func taken(t *testing.T, c halfConn) {
	t.Helper()
	raw, err := socket(c).(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for left := 1; left > 0; <-tick.C {
		raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An answer before the question has come whole: the target's kernel resets what
// is still sent to it. The client reads only once it has sent everything.
func TestTheAnswerOfATargetThatHasClosedArrives(t *testing.T) {
	answer := text(600 << 10)
	eachPair(t, kinds, func(t *testing.T, u *tunnel) {
		io.WriteString(u.target, answer)
		taken(t, u.target)
		u.target.Close()
		if _, err := io.WriteString(u.client, text(8<<20)); err != nil {
			t.Fatal(err)
		}
		u.wantAll(u.client, answer)
		u.client.Close()
		u.wantEnd(tlsserver.ReasonReset)
	})
}

func sockets(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func TestAnAbortedTunnelLeavesNoDescriptor(t *testing.T) {
	before := sockets(t)
	t.Run("tunnels", func(t *testing.T) {
		eachSide(t, kinds, func(u *tunnel, one, other halfConn) string {
			go io.WriteString(other, text(1<<20))
			io.WriteString(one, text(1<<20))
			reset(one)
			io.Copy(io.Discard, other)
			<-u.ended
			return ""
		})
	})
	if after := sockets(t); after > before {
		t.Errorf("%d sockets are open, %d were before", after, before)
	}
}

var _ net.Conn = halfConn(nil)
