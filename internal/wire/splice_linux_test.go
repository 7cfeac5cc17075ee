package wire_test

import (
	"io"
	"strings"
	"testing"

	"tcps/internal/wire"
)

// A taker is a stream as the Conns of the server and the client show it.
type taker struct{ *wire.Stream }

func (w taker) ReadFrom(r io.Reader) (int64, error) {
	if n, err, ok := w.Take(r); ok {
		return n, err
	}
	return wire.Copy(w.Stream, r)
}

func TestWhatWasReadTooEarlyComesBeforeWhatIsSpliced(t *testing.T) {
	ours, peer := tcpPair(t)
	onward, end := tcpPair(t)
	src, dst := &wire.Stream{Raw: wire.NewConn(ours)}, &wire.Stream{Raw: wire.NewConn(onward)}
	early, late := strings.Repeat("early", 10_000), strings.Repeat("late", 1_000_000)
	src.Raw.Unread([]byte(early))
	go func() {
		io.WriteString(peer, late)
		peer.CloseWrite()
	}()
	go func() {
		src.CopyTo(taker{dst}, src)
		dst.CloseWrite()
	}()
	got, err := io.ReadAll(end)
	if err != nil || string(got) != early+late {
		t.Errorf("%d bytes came, %v; want %d in their order", len(got), err, len(early+late))
	}
	if n := int64(len(got)); src.BytesRead() != n || dst.BytesWritten() != n || !src.Raw.SawEOF() {
		t.Errorf("counted %d in, %d out, end %v", src.BytesRead(), dst.BytesWritten(), src.Raw.SawEOF())
	}
}

// The idiom of two copies: one side closes while the other one takes nothing.
func TestCloseDoesNotWaitForASpliceThatIsStuck(t *testing.T) {
	ours, peer := tcpPair(t)
	onward, _ := tcpPair(t)
	src, dst := &wire.Stream{Raw: newConn(ours, 1)}, &wire.Stream{Raw: newConn(onward, 1)}
	copied := make(chan error, 1)
	go func() {
		_, err := src.CopyTo(taker{dst}, src)
		copied <- err
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for block := make([]byte, 1<<20); ; {
			if _, err := peer.Write(block); err != nil {
				return
			}
		}
	}()
	for before := int64(-1); before < src.BytesRead() || src.BytesRead() < 1<<20; { // until it is stuck
		before = src.BytesRead()
	}
	src.Close()
	dst.Raw.Abort()
	if err := <-copied; err == nil {
		t.Error("the copy ended well")
	}
	dst.Close()
	<-sent
}
