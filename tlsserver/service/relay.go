package service

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// What a side sent before its end arrives at the other one, however long that
// takes to read it. So it is the pump that reads from a side which finds out how
// that side has ended, and passes it on behind the last byte: an end as an end,
// a cut as an end, a reset as a reset. A pump whose writing meets a reset leaves
// it to the other one: there may be an answer on its way, and an end behind it.

// resetGrace is how long a side may take to read what came before a reset.
const resetGrace = time.Second

// A side is one end of a tunnel.
type side interface {
	net.Conn
	CloseWrite() error
	Reset() error
}

// A pump is one direction of a tunnel.
type pump struct {
	dst, src side
	stopped  chan struct{} // closed once it carries nothing any more
	wrote    error         // what writing to dst met
}

func newPump(dst, src side) *pump { return &pump{dst: dst, src: src, stopped: make(chan struct{})} }

// relay carries bytes both ways until both sides have ended, and closes both.
func relay(client, target side) error {
	there, back := newPump(target, client), newPump(client, target)
	ends := make(chan error, 2)
	var work sync.WaitGroup
	work.Go(func() { back.run(there, ends) })
	there.run(back, ends)
	work.Wait()
	work.Go(func() { client.Close() }) // at once: either may have to wait for its peer
	target.Close()
	work.Wait()
	return cmp.Or(<-ends, <-ends) // the cause comes before what follows from it
}

// run carries src's bytes and then its end to dst. The error goes to ends before
// it has any effect on the other pump.
func (p *pump) run(other *pump, ends chan<- error) {
	_, err := io.Copy(sink{p}, p.src)
	ends <- p.named(err)
	close(p.stopped)
	switch {
	case wire.IsReset(p.wrote):
		p.yield(other)
	case wire.IsReset(err):
		p.dst.Reset()
		p.src.Reset()
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF) && p.wrote == nil:
		p.dst.CloseWrite()
	default: // aborted, or TLS that went wrong: nothing is left to carry either way
		p.dst.SetDeadline(past)
		p.src.SetDeadline(past)
	}
}

// past is a deadline that is over on every clock.
var past = time.Unix(1, 0)

// yield waits for the other pump, which carries what dst has sent before it
// broke off. Meanwhile src may send on, to nobody: it might read only
// afterwards. EPIPE is a reset after dst's end; any other takes precedence over
// a src that does not read.
func (p *pump) yield(other *pump) {
	var late <-chan time.Time
	if !errors.Is(p.wrote, syscall.EPIPE) {
		late = time.After(resetGrace)
	}
	var discarding sync.WaitGroup
	discarding.Go(func() { io.Copy(io.Discard, p.src) })
	select {
	case <-other.stopped:
	case <-late:
		p.src.Reset()
	}
	p.src.SetReadDeadline(past)
	discarding.Wait()
}

// named says which side an error is about, and whether the target refuses us: in
// TLS 1.3 it does so only after the handshake. The client's own reads do not
// tell; tlsclient's errors do.
func (p *pump) named(err error) error {
	if err == nil {
		return nil
	}
	failed, ofTarget := errors.AsType[*tlsclient.Error](err)
	switch {
	case ofTarget && failed.Reason.Kind() == reason.PeerRefusedUs("").Kind():
		return tlsserver.WithReason(reason.Target(failed.Reason), err)
	case ofTarget:
		return err
	case p.wrote != nil:
		return fmt.Errorf("write to the client: %w", err)
	default:
		return fmt.Errorf("read from the client: %w", err)
	}
}

// A sink is the side that a pump writes to: it keeps what writing has met, which
// io.Copy does not tell from what reading has.
type sink struct{ p *pump }

func (s sink) Write(b []byte) (int, error) {
	n, err := s.p.dst.Write(b)
	s.p.wrote = err
	return n, err
}

// ReadFrom is for what the kernel can move by itself.
func (s sink) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.p.dst.(io.ReaderFrom).ReadFrom(r)
	s.p.wrote = err
	return n, err
}
