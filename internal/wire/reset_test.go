package wire_test

import (
	"io"
	"net"
	"testing"
	"time"

	"tcps/internal/wire"
)

func TestWhatWasReadTooEarlyComesAgainFirst(t *testing.T) {
	ours, peer := tcpPair(t)
	c := wire.NewConn(ours)
	io.WriteString(peer, "header hello world")
	peer.CloseWrite()
	early := make([]byte, 12)
	if _, err := io.ReadFull(c, early); err != nil {
		t.Fatal(err)
	}
	c.Unread(early[7:])
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "hello world" {
		t.Fatalf("read %q, %v; want %q", got, err, "hello world")
	}
	if !c.SawEOF() {
		t.Error("the FIN was not seen after the bytes")
	}
}

func TestAResetReachesThePeerAsOne(t *testing.T) {
	ours, peer := tcpPair(t)
	c := wire.NewConn(ours)
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); !wire.IsReset(err) {
		t.Fatalf("the peer read %v, want a reset", err)
	}
	if err := c.Reset(); err != nil {
		t.Errorf("the second reset: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing after a reset: %v", err)
	}
}

// A lateWriter is a socket whose writes return their errors late.
type lateWriter struct {
	*net.TCPConn
	met, leave, ended chan struct{}
}

func (c *lateWriter) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	if err != nil {
		close(c.met)
		<-c.leave
	}
	return n, err
}

func (c *lateWriter) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err == io.EOF {
		close(c.ended)
	}
	return n, err
}

// The kernel has told the write of the reset, and tells the read of an end,
// before the write could say so to anybody.
func TestAReadWaitsForAWriteThatMayHaveMetAReset(t *testing.T) {
	ours, peer := tcpPair(t)
	late := &lateWriter{ours, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	c := wire.NewConn(late)
	peer.SetLinger(0)
	peer.Close()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	<-late.met
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	<-late.ended
	close(late.leave)
	if err := <-read; !wire.IsReset(err) {
		t.Errorf("the read ended with %v, want the reset", err)
	}
	<-wrote
}

// Who answers and closes resets the connection on which we go on sending: the
// answer can be read all the same, and its end.
func TestAResetAfterTheEndDoesNotHideTheEnd(t *testing.T) {
	ours, peer := tcpPair(t)
	c := wire.NewConn(ours)
	io.WriteString(peer, "answer")
	peer.Close()
	var err error
	for err == nil {
		_, err = c.Write(make([]byte, 1000))
	}
	if !wire.IsReset(err) {
		t.Errorf("writing: %v, want a reset", err)
	}
	if err := c.CloseWrite(); !wire.IsReset(err) {
		t.Errorf("CloseWrite: %v, want a reset", err)
	}
	if b, err := io.ReadAll(c); string(b) != "answer" || err != nil {
		t.Errorf("read %q, %v; want the answer and its end", b, err)
	}
}

// A deadlineCounter counts the deadlines for writing that are set.
type deadlineCounter struct {
	*net.TCPConn
	set int
}

func (c *deadlineCounter) SetWriteDeadline(t time.Time) error {
	c.set++
	return c.TCPConn.SetWriteDeadline(t)
}

// crypto/tls would give the close_notify up after five seconds, and with it the
// clean end, where the peer takes longer to read what came before.
func TestACloseNotifyWaitsForThePeerAsAnyWriteDoes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		ours, peerSocket := tcpPair(t)
		counter := &deadlineCounter{TCPConn: ours}
		s, _ := stream(t, version, counter, peerSocket, time.Hour)
		before := counter.set
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n := counter.set - before; n != 0 {
			t.Errorf("CloseWrite has set %d deadlines", n)
		}
	})
}
