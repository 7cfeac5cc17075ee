package service_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
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
	answer := text(100 << 10) // what the buffers of a Unix socket take
	eachPair(t, kinds, func(t *testing.T, u *passage) {
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
		eachSide(t, kinds, func(u *passage, one, other halfConn) {
			var sending sync.WaitGroup
			sending.Go(func() { io.WriteString(other, text(1<<20)) })
			sending.Go(func() { io.WriteString(one, text(1<<20)) })
			io.ReadFull(other, make([]byte, 10_000))
			reset(one)
			io.Copy(io.Discard, other)
			other.Close()
			sending.Wait()
			<-u.ended
		})
	})
	if after := sockets(t); after > before {
		t.Errorf("%d sockets are open, %d were before", after, before)
	}
}

// A countingListener counts what is read from its sockets by the program.
type countingListener struct {
	net.Listener
	read *atomic.Int64
}

type countingConn struct {
	*net.TCPConn
	read *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c.(*net.TCPConn), l.read}, nil
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (c countingConn) WriteTo(io.Writer) (int64, error) { panic("not for a Conn of ours") }

// A byteObserver counts what it sees.
type byteObserver struct{ seen *atomic.Int64 }

func (byteObserver) Observe(tlsserver.Event) {}
func (o byteObserver) ObserveData(_ *tlsserver.Conn, _ tlsserver.Direction, b []byte) {
	o.seen.Add(int64(len(b)))
}

// Plain to plain the program sees but a part of the bytes, unless somebody is to
// see them all.
func TestPlainToPlainTheKernelCopies(t *testing.T) {
	const size = 32 << 20
	want := text(size)
	for _, observed := range []bool{false, true} {
		far := tcp.listen(t)
		var read, seen atomic.Int64
		s := &tlsserver.Server{Handler: &service.Forward{Targets: service.NewTargets(tcp.endpointOf(far))}}
		if observed {
			s.Observer = byteObserver{&seen}
		}
		near := countingListener{tcp.listen(t), &read}
		served := make(chan error, 1)
		go func() { served <- s.ServePlain(t.Context(), near) }()
		client := dial(t, near, tcp, nil)
		target := accept(far, tcp, tls.Certificate{})
		var sending sync.WaitGroup
		full := make(chan struct{})
		sending.Go(func() {
			client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, _ := io.WriteString(client, want)
			close(full) // the target reads only now: bytes are waiting at the tunnel
			client.SetWriteDeadline(time.Time{})
			io.WriteString(client, want[n:])
			client.CloseWrite()
		})
		<-full
		if got, err := io.ReadAll(target); string(got) != want || err != nil {
			t.Errorf("observed %v: %d bytes came, %v", observed, len(got), err)
		}
		sending.Wait()
		target.Close()
		client.Close()
		s.Close()
		<-served
		t.Logf("observed %v: %d of %d MiB were read by the program", observed, read.Load()>>20, size>>20)
		if observed && (seen.Load() != size || read.Load() != size) {
			t.Errorf("the observer saw %d bytes, %d were read; want all %d", seen.Load(), read.Load(), size)
		}
		if !observed && read.Load() > size/2 {
			t.Errorf("%d bytes of %d went through the program", read.Load(), size)
		}
	}
}
