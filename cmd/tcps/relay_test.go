package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// A relay is a forwarded port: what connects to it gets a connection to another
// one. It prints a line for each.
type relay struct {
	job    *job
	l      net.Listener
	to     string
	leave  chan struct{} // closed once connections may go through
	closed chan struct{}
	work   sync.WaitGroup
}

func cmdRelay(ts *testscript.TestScript, neg bool, args []string) {
	held := len(args) == 3 && args[2] == "held"
	usage(ts, neg, len(args) == 2 || held, "relay NAME PORT [held]")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	r := &relay{
		job: newJob(), l: l, to: net.JoinHostPort("127.0.0.1", args[1]),
		leave: make(chan struct{}), closed: make(chan struct{}),
	}
	r.job.stdin = &opener{open: r.leave}
	if !held {
		r.job.stdin.Close()
	}
	addJob(ts, args[0], r.job)
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	go r.run()
	ts.Defer(func() {
		close(r.closed)
		l.Close()
		<-r.job.ended
	})
}

// An opener closes a channel at the first write.
type opener struct {
	once sync.Once
	open chan struct{}
}

func (o *opener) Write(b []byte) (int, error) { return len(b), o.Close() }

func (o *opener) Close() error {
	o.once.Do(func() { close(o.open) })
	return nil
}

func (r *relay) run() {
	defer close(r.job.ended)
	defer r.work.Wait()
	for {
		conn, err := r.l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(stream{r.job, &r.job.stdout}, "connected from %s\n", conn.RemoteAddr())
		r.work.Go(func() { r.forward(conn) })
	}
}

// forward carries bytes both ways until both sides have ended, or the script.
func (r *relay) forward(near net.Conn) {
	defer near.Close()
	select {
	case <-r.leave:
	case <-r.closed:
		return
	}
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer far.Close()
	over := make(chan struct{})
	var ways sync.WaitGroup
	ways.Go(func() { carry(near, far) })
	ways.Go(func() { carry(far, near) })
	r.work.Go(func() {
		ways.Wait()
		close(over)
	})
	select {
	case <-over:
	case <-r.closed:
	}
}

// carry copies to the end of one side, and passes that end on.
func carry(to, from net.Conn) {
	io.Copy(to, from)
	to.(*net.TCPConn).CloseWrite()
}

func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 1, "freeport VARIABLE…")
	for _, name := range args {
		ts.Setenv(name, fmt.Sprint(freePort(ts)))
	}
}

// freePort binds a port without listening on it, and keeps it until the script
// is over: the system gives it to nobody else, and who asks for it by number
// can listen there.
func freePort(ts *testscript.TestScript) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	ts.Check(err)
	syscall.CloseOnExec(fd)
	ts.Defer(func() { syscall.Close(fd) })
	ts.Check(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	ts.Check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	addr, err := syscall.Getsockname(fd)
	ts.Check(err)
	return addr.(*syscall.SockaddrInet4).Port
}
