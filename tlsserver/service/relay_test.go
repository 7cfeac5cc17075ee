package service_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func text(size int) string {
	b, _ := io.ReadAll(io.LimitReader(pattern(uint64(size)), int64(size)))
	return string(b)
}

// Who ends first, from and to what, and what the other one is sending then to
// a reader that begins only after that end has come through.
func TestHalfCloseGoesThrough(t *testing.T) {
	const ask = "asked"
	for _, flight := range []struct {
		name, answer string
	}{{"nothing in flight", "answered"}, {"4 MiB in flight", text(4 << 20)}} {
		half := func(first, second func(*passage) halfConn) func(t *testing.T, u *passage) {
			return func(t *testing.T, u *passage) {
				var sending sync.WaitGroup
				sending.Go(func() { io.WriteString(second(u), flight.answer) })
				io.WriteString(first(u), ask)
				first(u).CloseWrite()
				u.wantAll(second(u), ask)
				done := make(chan struct{})
				go func() { sending.Wait(); second(u).CloseWrite(); close(done) }()
				u.wantAll(first(u), flight.answer)
				<-done
				if e := u.wantEnd(tlsserver.ReasonDone); e.Err != nil {
					t.Errorf("the error is %v", e.Err)
				}
			}
		}
		client := func(u *passage) halfConn { return u.client }
		target := func(u *passage) halfConn { return u.target }
		t.Run(flight.name, func(t *testing.T) {
			t.Run("the client first", func(t *testing.T) { eachPair(t, kinds, half(client, target)) })
			t.Run("the target first", func(t *testing.T) { eachPair(t, kinds, half(target, client)) })
			t.Run("both at once", func(t *testing.T) {
				eachPair(t, kinds, func(t *testing.T, u *passage) {
					var all sync.WaitGroup
					for _, c := range []halfConn{u.client, u.target} {
						all.Go(func() {
							io.WriteString(c, flight.answer)
							c.CloseWrite()
						})
						all.Go(func() { u.wantAll(c, flight.answer) })
					}
					all.Wait()
					u.wantEnd(tlsserver.ReasonDone)
				})
			})
		})
	}
}

func TestWhatWasSentBeforeAFullCloseArrives(t *testing.T) {
	want := text(200 << 10) // what buffers take: nobody reads yet
	eachPair(t, kinds, func(t *testing.T, u *passage) {
		io.WriteString(u.client, want)
		u.client.Close()
		u.wantAll(u.target, want)
		u.target.Close()
		<-u.ended
	})
}

func Test256MiBEachWayAtOnce(t *testing.T) {
	const size = 256 << 20
	for _, pair := range [][2]kind{{tls13, tls13}, {tcp, tcp}} {
		t.Run(pair[0].name, func(t *testing.T) {
			u := newTunnel(t, pair[0], pair[1])
			var all sync.WaitGroup
			sums := make(chan []byte, 4)
			for i, c := range []halfConn{u.client, u.target} {
				all.Go(func() {
					sum := sha256.New()
					if _, err := io.Copy(c, io.TeeReader(io.LimitReader(pattern(7), size), sum)); err != nil {
						t.Errorf("side %d: %v", i, err)
					}
					c.CloseWrite()
					sums <- sum.Sum(nil)
				})
				all.Go(func() {
					sum := sha256.New()
					if n, err := io.Copy(sum, c); n != size || err != nil {
						t.Errorf("side %d got %d bytes, %v", i, n, err)
					}
					sums <- sum.Sum(nil)
				})
			}
			all.Wait()
			want := <-sums
			for range 3 {
				if !bytes.Equal(<-sums, want) {
					t.Error("other bytes came than were sent")
				}
			}
			if e := u.wantEnd(tlsserver.ReasonDone); e.Conn.BytesRead() != size || e.Conn.BytesWritten() != size {
				t.Errorf("counted %d in, %d out", e.Conn.BytesRead(), e.Conn.BytesWritten())
			}
		})
	}
}

// eachSide runs a test with either side as the one that breaks off.
func eachSide(t *testing.T, kinds []kind, f func(u *passage, one, other halfConn)) {
	t.Run("client", func(t *testing.T) {
		eachPair(t, kinds, func(t *testing.T, u *passage) { f(u, u.client, u.target) })
	})
	t.Run("target", func(t *testing.T) {
		eachPair(t, kinds, func(t *testing.T, u *passage) { f(u, u.target, u.client) })
	})
}

func (u *passage) wantBlamed(e tlsserver.Ended, one halfConn) {
	u.t.Helper()
	name := "read from the client: "
	if one == u.target {
		name = "read from " + u.endpoint
	}
	if e.Err == nil || !strings.HasPrefix(e.Err.Error(), name) {
		u.t.Errorf("the error is %v, want it to begin with %q", e.Err, name)
	}
}

func TestAResetOnOneSideIsOneOnTheOther(t *testing.T) {
	eachSide(t, []kind{tls12, tls13, tcp}, func(u *passage, one, other halfConn) {
		io.WriteString(one, "abc")
		if _, err := io.ReadFull(other, make([]byte, 3)); err != nil {
			u.t.Fatal(err)
		}
		reset(one)
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			u.t.Errorf("the other side read %v, want a reset", err)
		}
		u.wantBlamed(u.wantEnd(tlsserver.ReasonReset), one)
	})
}

func TestAResetClosesAUnixSocketAtOnce(t *testing.T) {
	u := newTunnel(t, tcp, unixKind)
	reset(u.client)
	if n, err := u.target.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v; want an end", n, err)
	}
	u.wantEnd(tlsserver.ReasonReset)
}

// The side that is to hear of the reset sends without an end and reads nothing:
// its pump is stuck behind what it does not read.
func TestAResetReachesASideThatReadsNothing(t *testing.T) {
	eachSide(t, []kind{tls13, tcp}, func(u *passage, one, other halfConn) {
		broken := make(chan error, 1)
		go func() {
			for block := make([]byte, 64<<10); ; {
				if _, err := other.Write(block); err != nil {
					broken <- err
					return
				}
			}
		}()
		var drinking sync.WaitGroup
		drinking.Go(func() { io.Copy(io.Discard, one) })
		for block := make([]byte, 1<<20); ; {
			socket(one).SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := one.Write(block); err != nil {
				break // the buffers are full
			}
		}
		reset(one)
		if err := <-broken; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			u.t.Errorf("the other side's writing ended with %v, want a reset", err)
		}
		drinking.Wait()
		u.wantEnd(tlsserver.ReasonReset)
	})
}

func TestACutIsAnEndOnTheOtherSideAndNamed(t *testing.T) {
	cut := func(u *passage, one, other halfConn) {
		if _, secure := one.(*tls.Conn); !secure {
			u.client.Close()
			u.target.Close()
			return
		}
		want := text(100 << 10)
		io.WriteString(one, want)
		socket(one).CloseWrite()
		u.wantAll(other, want)
		io.WriteString(other, "on") // the other way still works
		other.CloseWrite()
		u.wantAll(one, "on")
		u.wantBlamed(u.wantEnd(tlsserver.ReasonTruncated), one)
	}
	eachSide(t, kinds, cut)
}

func TestTheServersCloseEndsATunnelThatIsStuckBothWays(t *testing.T) {
	eachPair(t, []kind{tls13, tcp, unixKind}, func(t *testing.T, u *passage) {
		var stuck sync.WaitGroup
		for _, c := range []halfConn{u.client, u.target} {
			stuck.Go(func() {
				for block := make([]byte, 1<<20); ; {
					socket(c).SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			})
		}
		stuck.Wait()
		start := time.Now()
		u.server.Close()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		u.wantEnd(tlsserver.ReasonShutdown)
	})
}

func TestTheServersCloseIsACleanEndForBothSides(t *testing.T) {
	eachPair(t, kinds, func(t *testing.T, u *passage) {
		io.WriteString(u.client, "abc")
		io.ReadFull(u.target, make([]byte, 3))
		closed := make(chan struct{})
		go func() { u.server.Close(); close(closed) }()
		for _, c := range []halfConn{u.client, u.target} { // neither ends by itself meanwhile
			u.wantAll(c, "")
		}
		<-closed
		u.wantEnd(tlsserver.ReasonShutdown)
	})
}

func TestATunnelCostsTwoGoroutines(t *testing.T) {
	const n = 20
	open := func() {
		u := newTunnel(t, tcp, tcp)
		for _, way := range [][2]halfConn{{u.client, u.target}, {u.target, u.client}} {
			io.WriteString(way[0], "x")
			io.ReadFull(way[1], make([]byte, 1))
		}
	}
	open()
	before := runtime.NumGoroutine()
	for range n {
		open()
	}
	// Each has a server of its own here, with one that accepts; others' may come and go.
	if per := float64(runtime.NumGoroutine()-before) / n; per > 3.5 {
		t.Errorf("%.1f goroutines a tunnel, want 2 and the one that accepts", per)
	}
}

func BenchmarkTunnel(b *testing.B) {
	for _, pair := range [][2]kind{{tls13, tcp}, {tcp, tls13}, {tls13, tls13}, {tcp, tcp}} {
		b.Run(pair[0].name+" to "+pair[1].name, func(b *testing.B) {
			u := newTunnel(b, pair[0], pair[1])
			block := make([]byte, 1<<20)
			var reading sync.WaitGroup
			reading.Go(func() { io.Copy(io.Discard, struct{ io.Reader }{u.target}) })
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := u.client.Write(block); err != nil {
					b.Fatal(err)
				}
			}
			u.client.CloseWrite()
			reading.Wait()
			u.target.Close()
		})
	}
}

// In TLS 1.3 a target refuses us only after the handshake, as we see it.
func TestATargetThatRefusesUsLateIsBlamedAndTheClientEndsCleanly(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, service.Echo())
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	forward := &service.Forward{Targets: service.NewTargets(s.Endpoint)}
	forward.Targets.SetDialer(s.Dialer())
	front := tlstest.NewServer(t, forward)
	c := front.Dial(front.Dialer())
	if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
		t.Errorf("the client read %q, %v; want a clean end", got, err)
	}
	c.Close()
	if e := front.WaitEnded(); e.Reason != "target:peer-refused-us:certificate_required" {
		t.Errorf("the reason is %s, %v", e.Reason, e.Err)
	}
}
