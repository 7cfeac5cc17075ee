package wire

import (
	"io"
	"sync"
)

// BufferSize is the largest that one read of a tls.Conn fills: one record
// (RFC 8446, 5.1).
const BufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([BufferSize]byte) }}

// Buffer takes a buffer from a pool, and Release gives it back.
func Buffer() *[BufferSize]byte { return buffers.Get().(*[BufferSize]byte) }

// Release: see Buffer.
func Release(b *[BufferSize]byte) { buffers.Put(b) }

// Copy is io.Copy with a buffer from a pool, and neither io.WriterTo nor
// io.ReaderFrom: a buffer of its own for each connection would be most of what
// a connection costs.
func Copy(dst io.Writer, src io.Reader) (int64, error) {
	return copyThen(dst, src, func() (int64, error) { return 0, nil })
}

// CopyTo is Copy from r, which reads from s. Whenever a read has filled the
// buffer, what else is there goes to dst without a copy, if that can take it:
// another plain stream, whose ReadFrom gives its Handover to Take.
func (s *Stream) CopyTo(dst io.Writer, r io.Reader) (int64, error) {
	taker, ok := dst.(io.ReaderFrom)
	if !ok || s.TLS != nil || !s.Raw.canSplice() {
		return Copy(dst, r)
	}
	h := &Handover{from: s}
	defer h.put()
	return copyThen(dst, r, func() (int64, error) { return h.give(taker) })
}

// copyThen copies, and calls more after each read that has filled the buffer.
func copyThen(dst io.Writer, src io.Reader, more func() (int64, error)) (written int64, err error) {
	buf := Buffer()
	defer Release(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			w, err := dst.Write(buf[:n])
			written += int64(w)
			if err != nil {
				return written, err
			}
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		if n == len(buf) {
			w, err := more()
			written += w
			if err != nil {
				return written, err
			}
		}
	}
}

// A Handover is bytes in a pipe of the kernel's, on their way from one plain
// stream to another. Who does not know it finds nothing in it to read.
type Handover struct {
	from  *Stream
	pipe  *pipe // nil: none yet, or none any more
	known bool  // Take was called
	over  bool  // nobody takes it
}

// Read returns io.EOF.
func (h *Handover) Read([]byte) (int, error) { return 0, io.EOF }

// give hands over what has come, until nothing more is there.
func (h *Handover) give(taker io.ReaderFrom) (total int64, err error) {
	if !h.known && !h.over { // ask with nothing to lose
		_, err := taker.ReadFrom(h)
		h.over = !h.known
		if err != nil {
			return 0, err
		}
	}
	for !h.over {
		if h.pipe == nil {
			h.pipe = getPipe()
		}
		if h.pipe == nil || h.from.Raw.fill(h.pipe) == 0 {
			break
		}
		h.from.in.Add(int64(h.pipe.held))
		n, err := taker.ReadFrom(h)
		total += n
		if err != nil {
			return total, err
		}
	}
	h.put() // the next bytes may be long in coming
	return total, nil
}

func (h *Handover) put() {
	if h.pipe != nil {
		putPipe(h.pipe)
		h.pipe = nil
	}
}

// Take writes what r has to s without a copy if it is a Handover, and s can;
// ok is false otherwise, and nothing was written.
func (s *Stream) Take(r io.Reader) (n int64, err error, ok bool) {
	h, ok := r.(*Handover)
	if !ok || s.TLS != nil || !s.Raw.canSplice() {
		return 0, nil, false
	}
	h.known = true
	if h.pipe == nil || h.pipe.held == 0 {
		return 0, nil, true
	}
	n, err = s.Raw.drain(h.pipe)
	s.out.Add(n)
	if err != nil {
		err = s.broken("write", err)
	}
	return n, err, true
}
