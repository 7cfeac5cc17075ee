package wire_test

import (
	"io"
	"testing"

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
