package wire

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe should hold: as much as Linux gives to anybody.
const pipeSize = 1 << 20

// A pipe holds bytes on their way from one socket to another. net splices too,
// but holds a pipe while nothing comes, and does not tell an error of reading
// from one of writing.
type pipe struct {
	ends    [2]int // to read from, to write to
	held    int    // bytes in it
	cleanup runtime.Cleanup
}

var pipes sync.Pool

// getPipe is nil where there are no descriptors left.
func getPipe() *pipe {
	if p, ok := pipes.Get().(*pipe); ok {
		return p
	}
	p := &pipe{}
	if err := syscall.Pipe2(p.ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil
	}
	unix.FcntlInt(uintptr(p.ends[1]), unix.F_SETPIPE_SZ, pipeSize) // a smaller one serves as well
	p.cleanup = runtime.AddCleanup(p, closeEnds, p.ends)
	return p
}

// putPipe keeps an empty pipe for others; it is closed when the pool lets go of
// it. A full one nobody can use any more.
func putPipe(p *pipe) {
	if p.held == 0 {
		pipes.Put(p)
		return
	}
	p.cleanup.Stop()
	closeEnds(p.ends)
}

func closeEnds(ends [2]int) {
	syscall.Close(ends[0])
	syscall.Close(ends[1])
}

// canSplice reports whether the kernel can move bytes from and to the socket, and
// may, as fast as it goes.
func (c *Conn) canSplice() bool {
	_, ok := c.Conn.(syscall.Conn)
	return ok && c.in == nil
}

// fill moves what has come into an empty pipe, without waiting. Ends and errors
// are left for Read to find, which the kernel tells of a reset but once.
func (c *Conn) fill(p *pipe) int {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.unread) > 0 || c.noMore || c.isClosed() {
		return 0
	}
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0
	}
	raw.Read(func(fd uintptr) bool {
		n, failed := syscall.Splice(int(fd), nil, p.ends[1], nil, pipeSize, unix.SPLICE_F_NONBLOCK)
		p.held, err = int(max(n, 0)), failed // n is an int64 or an int
		return true
	})
	c.noteReset(err)
	c.received.Add(int64(p.held))
	return p.held
}

// drain writes what a pipe holds to the socket.
func (c *Conn) drain(p *pipe) (written int64, err error) {
	c.writing.RLock()
	defer c.writing.RUnlock()
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	c.writes.Add(1)
	defer c.written.Add(1)
	waiting := raw.Write(func(fd uintptr) bool {
		for p.held > 0 {
			n, failed := syscall.Splice(p.ends[0], nil, int(fd), nil, p.held, unix.SPLICE_F_NONBLOCK)
			err = failed
			switch {
			case n > 0:
				p.held -= int(n)
				written += int64(n)
				c.sent.Add(n)
			case err == syscall.EAGAIN:
				return false
			case err != syscall.EINTR:
				return true
			}
		}
		return true
	})
	switch {
	case waiting != nil: // closed, or past its deadline
		return written, waiting
	case p.held > 0:
		c.noteReset(err)
		return written, &net.OpError{Op: "write", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("splice", err)}
	}
	return written, nil
}
