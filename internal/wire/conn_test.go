package wire_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tcps/internal/wire"
)

// lastBytes is a transport that returns its last bytes together with io.EOF.
type lastBytes struct {
	net.Conn
	bytes string
}

func (c *lastBytes) Read(b []byte) (int, error) {
	n := copy(b, c.bytes)
	c.bytes = c.bytes[n:]
	return n, io.EOF
}

func TestTheFINIsReportedByItself(t *testing.T) {
	c := wire.NewConn(&lastBytes{bytes: "abc"})
	b := make([]byte, 10)
	if n, err := c.Read(b); n != 3 || err != nil || c.SawEOF() {
		t.Errorf("read %d, %v, SawEOF %v; want the bytes alone", n, err, c.SawEOF())
	}
	if n, err := c.Read(b); n != 0 || err != io.EOF || !c.SawEOF() {
		t.Errorf("then %d, %v, SawEOF %v; want the end", n, err, c.SawEOF())
	}
	if c.Received() != 3 {
		t.Errorf("Received is %d, want 3", c.Received())
	}
}

func TestWhatWaitsIsSeenAndNotTaken(t *testing.T) {
	ours, peer := tcpPair(t)
	c := wire.NewConn(ours)
	if c.Waiting() {
		t.Error("something waits before anything was sent")
	}
	io.WriteString(peer, "a")
	peer.CloseWrite()
	b := make([]byte, 1)
	if _, err := io.ReadFull(ours, b); err != nil { // until it has come
		t.Fatal(err)
	}
	if c.Waiting() {
		t.Error("an end is nothing that waits")
	}
	c.Unread(b)
	if !c.Waiting() {
		t.Error("what was given back does not wait")
	}
	if got, err := io.ReadAll(c); string(got) != "a" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	io.WriteString(ours, "bc")
	back := wire.NewConn(peer)
	if _, err := io.ReadFull(back, b); err != nil || !back.Waiting() {
		t.Errorf("the second of two bytes does not wait, %v", err)
	}
	if got, err := back.Read(make([]byte, 9)); got != 1 || err != nil {
		t.Errorf("read %d bytes, %v, after a look at them", got, err)
	}
	one, _ := net.Pipe()
	if wire.NewConn(one).Waiting() {
		t.Error("something waits in a pipe")
	}
}

func TestAbortEndsReadsAtOnceAndForGood(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, time.Hour)
		start := time.Now()
		under := make(chan error, 1)
		go func() {
			_, err := s.Read(make([]byte, 1))
			under <- err
		}()
		s.Raw.Abort()
		s.Raw.Abort() // changes nothing
		if err := <-under; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the read under way ended with %v, want net.ErrClosed", err)
		}
		io.WriteString(peer, "abc") // what comes now is not read
		for _, later := range []time.Time{{}, time.Now().Add(time.Hour)} {
			if err := s.SetReadDeadline(later); err != nil {
				t.Error(err)
			}
			if err := s.SetDeadline(later); err != nil {
				t.Error(err)
			}
			if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the deadline %v: read %d, %v; want net.ErrClosed", later, n, err)
			}
		}
		if !s.Raw.Aborted() {
			t.Error("Aborted is false")
		}
		s.Close()
		took(t, start, "Abort, and Close with a linger time of an hour,")
	})
}

func TestAbortReleasesAStuckWrite(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, _ := tcpStream(t, version, time.Hour)
		writing := &sync.WaitGroup{}
		stuck := make(chan struct{})
		wrote := make(chan error, 1)
		writing.Go(func() {
			for {
				s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if _, err := s.TLS.NetConn().(*wire.Conn).Conn.Write(make([]byte, 1<<20)); err != nil {
					break // the buffers are full
				}
			}
			s.SetWriteDeadline(time.Time{})
			close(stuck)
			_, err := s.Write(make([]byte, 1<<20))
			wrote <- err
		})
		<-stuck
		start := time.Now()
		s.Raw.Abort()
		if err := <-wrote; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the stuck write ended with %v, want net.ErrClosed", err)
		}
		s.Close()
		took(t, start, "Abort and Close with a stuck write")
		writing.Wait()
	})
}

func TestAfterAbortThePeerStillSeesACleanEnd(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, time.Hour)
		io.WriteString(s, "abc")
		s.Raw.Abort()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		if b, err := io.ReadAll(peer); string(b) != "abc" || err != nil {
			t.Errorf("the peer read %q, %v; want abc and a clean end", b, err)
		}
		peer.Close()
		<-closed
	})
}

func TestAbortDoesNotGiveALaterWriteItsTimeBack(t *testing.T) {
	ours, _ := tcpPair(t)
	c := wire.NewConn(ours)
	c.Abort()
	c.SetWriteDeadline(time.Now().Add(time.Hour))
	start := time.Now()
	for {
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			if !wire.IsTimeout(err) {
				t.Errorf("write: %v, want a timeout", err)
			}
			break
		}
	}
	took(t, start, "a write after Abort")
}

// closeOf is Close, with what it waits for.
func closeOf(t *testing.T, c *wire.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return time.Since(start)
}

func TestCloseWaitsForThePeersEndAndNoLonger(t *testing.T) {
	t.Run("a peer that ends", func(t *testing.T) {
		ours, peer := tcpPair(t)
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, peer) // up to our FIN
			peer.Write(make([]byte, 100_000))
			close(ended)
			peer.CloseWrite()
		}()
		if d := closeOf(t, newConn(ours, time.Hour)); d > soon {
			t.Errorf("Close took %v", d)
		}
		select {
		case <-ended:
		default:
			t.Error("Close did not wait for the peer's end")
		}
	})
	t.Run("a peer that never ends", func(t *testing.T) {
		ours, _ := tcpPair(t)
		if d := closeOf(t, newConn(ours, 50*time.Millisecond)); d < 50*time.Millisecond || d > soon {
			t.Errorf("Close took %v, want 50ms", d)
		}
	})
	t.Run("a peer that sends for ever", func(t *testing.T) {
		ours, peer := tcpPair(t)
		var sending sync.WaitGroup
		sending.Go(func() {
			for {
				if _, err := peer.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		})
		if d := closeOf(t, newConn(ours, 50*time.Millisecond)); d < 50*time.Millisecond || d > soon {
			t.Errorf("Close took %v, want 50ms", d)
		}
		sending.Wait()
	})
	t.Run("a peer that has ended", func(t *testing.T) {
		ours, peer := tcpPair(t)
		peer.CloseWrite()
		c := newConn(ours, time.Hour)
		c.Read(make([]byte, 1))
		if d := closeOf(t, c); d > soon {
			t.Errorf("Close took %v", d)
		}
	})
	t.Run("no wait", func(t *testing.T) {
		for _, linger := range []time.Duration{0, -1} {
			ours, _ := tcpPair(t)
			if d := closeOf(t, newConn(ours, linger)); d > soon {
				t.Errorf("Close took %v", d)
			}
		}
	})
	t.Run("SetLinger anew", func(t *testing.T) {
		ours, _ := tcpPair(t)
		c := newConn(ours, time.Hour)
		c.SetLinger(0)
		if d := closeOf(t, c); d > soon {
			t.Errorf("Close took %v", d)
		}
	})
	t.Run("Abort before", func(t *testing.T) {
		ours, _ := tcpPair(t)
		c := newConn(ours, time.Hour)
		c.Abort()
		if d := closeOf(t, c); d > soon {
			t.Errorf("Close took %v", d)
		}
	})
	t.Run("Abort meanwhile", func(t *testing.T) {
		ours, peer := tcpPair(t)
		c := newConn(ours, time.Hour)
		aborted := make(chan struct{})
		go func() {
			io.Copy(io.Discard, peer) // our FIN: Close waits now
			c.Abort()
			close(aborted)
		}()
		if d := closeOf(t, c); d > soon {
			t.Errorf("Close took %v", d)
		}
		<-aborted
	})
}

// After the peer's close_notify nothing can come that a reset could destroy.
func TestCloseDoesNotWaitAfterACloseNotify(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, time.Hour)
		peer.CloseWrite()
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		took(t, start, "Close")
	})
}

func TestTheSecondCloseDoesNothing(t *testing.T) {
	ours, _ := tcpPair(t)
	c := wire.NewConn(ours)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second Close returned %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v, want net.ErrClosed", err)
	}
}

// For the race detector, and for whatever could wait for ever.
func TestAllMethodsAtOnce(t *testing.T) {
	use := func(s *wire.Stream) {
		var all sync.WaitGroup
		all.Go(func() { io.Copy(io.Discard, onlyReader{s}) })
		all.Go(func() {
			for range 100 {
				if _, err := s.Write(make([]byte, 10_000)); err != nil {
					return
				}
			}
		})
		all.Go(func() { s.CloseWrite() })
		all.Go(func() { s.SetDeadline(time.Now().Add(time.Minute)) })
		all.Go(func() { s.SetReadDeadline(time.Time{}); s.SetWriteDeadline(time.Time{}) })
		all.Go(func() { _, _, _ = s.BytesRead(), s.BytesWritten(), s.End() })
		all.Go(func() { _, _, _ = s.Raw.SawEOF(), s.Raw.Received(), s.Raw.Aborted() })
		all.Go(s.Raw.Abort)
		all.Go(func() { s.Raw.SetLinger(time.Second) })
		for range 3 {
			all.Go(func() { s.Close() })
		}
		all.Wait()
	}
	echo := func(c net.Conn) { io.Copy(c, onlyReader{c}); c.Close() }
	start := time.Now()
	for range 10 {
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
			var peers sync.WaitGroup
			if version == 0 {
				ours, peer := tcpPair(t)
				peers.Go(func() { echo(peer) })
				use(&wire.Stream{Raw: newConn(ours, time.Hour)})
			} else {
				s, peer := tcpStream(t, version, time.Hour)
				peers.Go(func() { echo(peer) })
				use(s)
			}
			peers.Wait()
		}
	}
	took(t, start, "30 connections")
}

// The kernel tells a reset once: to the write here, and to the reads after it
// an end, which would look like one that the peer meant.
func TestAResetThatAWriteMetIsNotReadAsAnEnd(t *testing.T) {
	met := func(t *testing.T, write func([]byte) (int, error), read func([]byte) (int, error)) {
		t.Helper()
		var err error
		for err == nil { // the first write may come before the reset does
			_, err = write(make([]byte, 1000))
		}
		if !wire.IsReset(err) {
			t.Fatalf("write: %v, want a reset", err)
		}
		for range 2 {
			if _, err := read(make([]byte, 1)); err == io.EOF || !wire.IsReset(err) {
				t.Errorf("read: %v, want a reset", err)
			}
		}
	}
	reset := func(c *net.TCPConn) {
		c.SetLinger(0)
		c.Close()
	}
	versions(t, func(t *testing.T, version uint16) {
		s, peer := tcpStream(t, version, 0)
		reset(peer.NetConn().(*net.TCPConn))
		met(t, s.Write, s.Read)
		if s.End() != wire.Open {
			t.Errorf("End is %v, want none", s.End())
		}
	})
	t.Run("plain", func(t *testing.T) {
		ours, peer := tcpPair(t)
		reset(peer)
		s := &wire.Stream{Raw: wire.NewConn(ours)}
		met(t, s.Write, s.Read)
	})
	t.Run("CloseWrite", func(t *testing.T) {
		ours, peer := tcpPair(t)
		reset(peer)
		c := wire.NewConn(ours)
		if _, err := c.Read(make([]byte, 1)); !wire.IsReset(err) {
			t.Fatalf("read: %v, want the reset", err)
		}
		if err := c.CloseWrite(); err != nil && !wire.IsReset(err) {
			t.Errorf("CloseWrite: %v, want a reset", err)
		}
	})
}

func TestAReadThatComesWhileCloseWaitsReturnsAtOnce(t *testing.T) {
	ours, client := tcpPair(t)
	c := wire.NewConn(ours)
	c.SetLinger(time.Hour)
	closed := make(chan struct{})
	go func() { c.Close(); close(closed) }()
	if _, err := client.Read(make([]byte, 1)); err != io.EOF { // Close waits now
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v, want net.ErrClosed", err)
	}
	client.Close()
	<-closed
}
