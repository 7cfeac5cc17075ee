package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
	"tcps/tlsserver"
)

// An Exec is a Handler that runs a program for each connection: what the peer
// sends is the program's standard input, and what the program writes to its
// standard output goes to the peer, each with back-pressure. No shell comes
// between: the program gets its arguments as they are.
//
// The peer's end is the end of the input, and the program may go on writing.
// When the program has ended, and all that it wrote was sent, the connection is
// closed; an exit status other than 0 is the reason failed. When the connection
// has ended, the program gets SIGTERM, and SIGKILL after Grace; so does whatever
// else is in its process group (on Windows the program alone is ended, at once).
// What has left the group may live on, but without the connection.
//
// A program that closes its output ends our side at once, and may go on reading.
// With the peer's end the connection is then over: the program has Grace to exit.
//
// That the peer is gone is noticed where something is read or sent: a program
// that neither reads the input that waits for it nor writes is not ended before.
//
// Set the fields before the first connection; do not copy it.
type Exec struct {
	// Path is the program; it is not looked for anywhere.
	Path string

	// Args are its arguments; the first is the name that it is called by.
	Args []string

	// Env is the environment, as NAME=VALUE. What begins with TCPS_ is left
	// out: the variables of that name tell of the connection (see environment).
	Env []string

	// Stderr is the standard error of all the programs; they write to it at
	// the same time. Nil: what they write there is dropped.
	Stderr *os.File

	// MaxProcesses is how many connections may have a program at the same time.
	// One more is closed, with the reason limit:processes. 0: 256; negative: as
	// many as can be waited for, which is 8,000.
	MaxProcesses int

	// Grace is the time between SIGTERM and SIGKILL, that which the program has
	// to exit once the connection is over both ways, and that which others have
	// to end their output once it has exited. 0: 5 s; negative: none.
	Grace time.Duration

	mu      sync.Mutex
	entered int                    // connections that have a process, or are about to; guarded by mu
	cmds    map[*exec.Cmd]struct{} // that run; guarded by mu
	killed  bool                   // guarded by mu
}

// maxWaiting keeps away from the 10,000 threads at which Go ends a program
// (runtime/debug.SetMaxThreads): to wait for a process takes one.
const maxWaiting = 8000

func (e *Exec) maxProcesses() int {
	switch {
	case e.MaxProcesses == 0:
		return 256
	case e.MaxProcesses < 0:
		return maxWaiting
	}
	return min(e.MaxProcesses, maxWaiting)
}

func (e *Exec) grace() time.Duration {
	switch {
	case e.Grace == 0:
		return 5 * time.Second
	case e.Grace < 0:
		return time.Nanosecond // os/exec takes 0 for no bound
	}
	return e.Grace
}

// ServeConn runs the program for one connection.
func (e *Exec) ServeConn(ctx context.Context, c *tlsserver.Conn) error {
	if !e.enter() {
		return tlsserver.WithReason(reason.Limit("processes"), fmt.Errorf("run %q: %d programs run already", e.Args[0], e.maxProcesses()))
	}
	defer e.leave()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	p, err := e.run(ctx, c)
	if err != nil {
		return e.failed(err)
	}
	c.Annotate(slog.Int("pid", p.cmd.Process.Pid))
	fed, delivered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(fed)
		feed(p.stdin, c, end)
	}()
	go func() {
		defer close(delivered)
		deliver(c, &output{p.stdout, maxPipeBytes}, end)
	}()
	err = e.await(p, end, delivered, fed)
	e.awaitOutput(ctx, p, delivered)
	c.SetReadDeadline(time.Now()) // for who feeds a program that has ended
	<-fed
	if cause := context.Cause(ctx); cause != nil {
		return cause // the connection ended first
	}
	return e.failed(err)
}

// A running is a program and our ends of its pipes.
type running struct {
	cmd           *exec.Cmd
	stdin, stdout *os.File
}

// run starts the program. The pipes are ours, not os/exec's: that would cut off
// the output of a program that has exited, when the peer is slow to take it.
func (e *Exec) run(ctx context.Context, c *tlsserver.Conn) (*running, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	cmd := e.command(ctx, c)
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	if err := e.start(cmd); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	return &running{cmd, in, out}, nil
}

// await waits for the program to exit. Where both directions have ended before,
// it has Grace for that.
func (e *Exec) await(p *running, end context.CancelCauseFunc, directions ...<-chan struct{}) error {
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	for _, over := range directions {
		select {
		case err := <-exited:
			return err
		case <-over:
		}
	}
	late := time.AfterFunc(e.grace(), func() {
		end(e.failed(errors.New("it still runs, and both directions of the connection have ended")))
	})
	defer late.Stop()
	return <-exited
}

// awaitOutput waits, once the program has exited, until all that it wrote is
// delivered. Others that hold its output have Grace to end; who has left the
// group keeps nothing but its life.
func (e *Exec) awaitOutput(ctx context.Context, p *running, delivered <-chan struct{}) {
	grace := time.NewTimer(e.grace())
	defer grace.Stop()
	select {
	case <-delivered:
	case <-grace.C:
	case <-ctx.Done():
	}
	e.endGroup(p.cmd)
	p.stdout.SetReadDeadline(past)
	select {
	case <-delivered:
	case <-ctx.Done():
	}
	p.stdout.Close()
	<-delivered
	p.stdin.Close()
}

// command is the program for a connection, in a process group of its own.
func (e *Exec) command(ctx context.Context, c *tlsserver.Conn) *exec.Cmd {
	cmd := exec.CommandContext(ctx, e.Path)
	cmd.Args, cmd.Env = e.Args, environment(e.Env, c)
	if e.Stderr != nil {
		cmd.Stderr = e.Stderr
	}
	ownGroup(cmd)
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = e.grace()
	return cmd
}

// failed is how a program ended that no connection's end has ended.
func (e *Exec) failed(err error) error {
	if err == nil {
		return nil
	}
	return tlsserver.WithReason(tlsserver.ReasonFailed, fmt.Errorf("run %q: %w", e.Args[0], err))
}

// feed gives the program what the peer sends. What it does not want any more is
// read all the same, so that the peer's end is noticed.
func feed(stdin *os.File, c *tlsserver.Conn, end context.CancelCauseFunc) {
	unwanted := false
	_, err := wire.Copy(writerFunc(func(b []byte) (int, error) {
		if !unwanted {
			_, err := stdin.Write(b)
			unwanted = err != nil
		}
		return len(b), nil
	}), c)
	stdin.Close()
	switch {
	case err == nil, errors.Is(err, tlsserver.ErrTruncated): // the input's end
	case errors.Is(err, os.ErrDeadlineExceeded): // the program's
	default:
		end(err)
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// deliver gives the peer what the program writes, and the end of it. When the
// peer is gone, so must be the program.
func deliver(c *tlsserver.Conn, stdout io.Reader, end context.CancelCauseFunc) {
	_, err := wire.Copy(c, stdout)
	if err == nil {
		err = c.CloseWrite()
	}
	if err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, errors.ErrUnsupported) {
		end(err)
	}
}

// An output is a program's. Once its read deadline has passed it ends with what
// is in the pipe, whoever may still write to that.
type output struct {
	pipe *os.File
	rest int // bytes that may be read after the deadline
}

const (
	maxPipeBytes = 1 << 20                // what a pipe holds at most (pipe(7), pipe-max-size)
	emptyAfter   = 100 * time.Millisecond // a pipe from which nothing comes for so long is empty
)

func (o *output) Read(b []byte) (int, error) {
	n, err := o.pipe.Read(b)
	if !wire.IsTimeout(err) {
		return n, err
	}
	if o.rest == 0 {
		return 0, io.EOF
	}
	o.pipe.SetReadDeadline(time.Now().Add(emptyAfter))
	n, err = o.pipe.Read(b[:min(len(b), o.rest)])
	o.pipe.SetReadDeadline(past)
	o.rest -= n
	if wire.IsTimeout(err) {
		return n, io.EOF
	}
	return n, err
}

// Kill ends every program that still runs, without any grace, and lets none
// begin any more. It does not wait for them: it is for who is about to exit.
func (e *Exec) Kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killed = true
	for cmd := range e.cmds {
		killGroup(cmd.Process)
	}
}

func (e *Exec) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.killed || e.entered >= e.maxProcesses() {
		return false
	}
	e.entered++
	return true
}

func (e *Exec) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entered--
}

// start starts the program. Of our descriptors it gets only its three: Go has
// all others closed at exec.
func (e *Exec) start(cmd *exec.Cmd) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.killed {
		return errors.New("the server is about to exit")
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if e.cmds == nil {
		e.cmds = make(map[*exec.Cmd]struct{})
	}
	e.cmds[cmd] = struct{}{}
	return nil
}

// endGroup ends what the program has left behind in its group. The number of
// the group is free again once that is empty, but numbers are given out in turn.
func (e *Exec) endGroup(cmd *exec.Cmd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	killGroup(cmd.Process)
	delete(e.cmds, cmd)
}
