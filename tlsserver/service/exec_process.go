package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"tcps/internal/wire"
	"tcps/tlsserver"
)

// A process is the program that runs for one connection, and its group.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File // our end, as stdout
	stdout *os.File
	grace  time.Duration

	exited chan struct{} // closed once it was waited for
	over   chan struct{} // closed once its group has ended
}

// start starts the program. Of our descriptors it gets only its three: Go has
// all others closed at exec.
func (e *Exec) start(c *tlsserver.Conn) (*process, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("run %q: %w", e.Args[0], err)
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("run %q: %w", e.Args[0], err)
	}
	defer theirOut.Close()
	cmd := &exec.Cmd{Path: e.Path, Args: e.Args, Env: environment(e.Env, c), Stdin: theirIn, Stdout: theirOut}
	if e.Stderr != nil {
		cmd.Stderr = e.Stderr
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("run %q: %w", e.Args[0], err)
	}
	return &process{cmd: cmd, stdin: in, stdout: out, grace: e.grace(), exited: make(chan struct{}), over: make(chan struct{})}, nil
}

// errServed is the cause of the end of a connection that ended as it should.
var errServed = errors.New("served")

// serve copies in both directions until the connection and the process have
// ended, each with the other. The cause is the first that went wrong.
func (p *process) serve(ctx context.Context, c *tlsserver.Conn) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	fed, delivered := make(chan struct{}), make(chan struct{})
	go p.wait()
	go func() { p.feed(c, end); close(fed) }()
	go func() { p.deliver(c, end, fed); close(delivered) }()

	p.supervise(ctx)
	p.stdout.SetReadDeadline(past) // before over is closed: then the reader sets its own
	close(p.over)
	<-delivered
	c.SetReadDeadline(past)
	p.stdin.Close()
	<-fed
	if cause := context.Cause(ctx); cause != nil && cause != errServed {
		return cause
	}
	return p.status()
}

// wait reaps the program.
func (p *process) wait() {
	p.cmd.Wait() // its error is in ProcessState
	close(p.exited)
}

// status is how the program has ended; nil: well.
func (p *process) status() error {
	if p.cmd.ProcessState.Success() {
		return nil
	}
	return tlsserver.WithReason(tlsserver.ReasonFailed, fmt.Errorf("run %q: %s", p.cmd.Args[0], p.cmd.ProcessState))
}

// feed gives the program what the peer sends. A stream that was cut ends its
// input too: what came before is whole records.
func (p *process) feed(c *tlsserver.Conn, end context.CancelCauseFunc) {
	_, err := wire.Copy(&input{file: p.stdin}, c)
	p.stdin.Close()
	if err != nil && !errors.Is(err, tlsserver.ErrTruncated) {
		end(fmt.Errorf("receive: %w", err))
	}
}

// An input is the program's. Once the program has closed it, what still comes
// is dropped: the peer must neither be held up by it, nor end unnoticed.
type input struct {
	file   *os.File
	closed bool
}

func (i *input) Write(b []byte) (int, error) {
	if !i.closed {
		if _, err := i.file.Write(b); err != nil {
			i.file.Close()
			i.closed = true
		}
	}
	return len(b), nil
}

// deliver sends the peer what the program writes, then the end of it, and ends
// the connection when the program has ended too.
func (p *process) deliver(c *tlsserver.Conn, end context.CancelCauseFunc, fed <-chan struct{}) {
	_, err := wire.Copy(c, &output{file: p.stdout, over: p.over})
	p.stdout.Close() // who still writes to it hears of it
	if err == nil {
		err = c.CloseWrite()
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		end(fmt.Errorf("send: %w", err))
		return
	}
	select {
	case <-p.exited:
		end(errServed)
		return
	case <-fed:
	}
	late := time.NewTimer(p.grace)
	defer late.Stop()
	select {
	case <-p.exited:
		end(errServed)
	case <-late.C:
		end(tlsserver.WithReason(tlsserver.ReasonFailed,
			fmt.Errorf("run %q: still runs %v after both directions of the connection have ended", p.cmd.Args[0], p.grace)))
	}
}

// An output is the program's: until its end, or, once the program and its
// group are over but others hold it open, what is left in the pipe.
type output struct {
	file *os.File
	over <-chan struct{}
	rest int // read since it is over
}

const (
	maxPipeBytes = 1 << 20                // what a pipe holds at most (pipe(7), pipe-max-size)
	emptyAfter   = 100 * time.Millisecond // a pipe from which nothing comes for so long is empty
)

func (o *output) Read(b []byte) (int, error) {
	if !isClosed(o.over) {
		n, err := o.file.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		<-o.over // it was woken to go on as follows
	}
	if o.rest >= maxPipeBytes {
		return 0, io.EOF
	}
	o.file.SetReadDeadline(time.Now().Add(emptyAfter))
	n, err := o.file.Read(b)
	o.rest += n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, io.EOF
	}
	return n, err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// supervise returns when the program and its group have ended: by themselves,
// or because the connection has, which is the end of ctx.
func (p *process) supervise(ctx context.Context) {
	select {
	case <-p.exited:
	case <-ctx.Done():
	}
	if p.groupEnds(ctx) {
		return
	}
	terminate(p.cmd.Process)
	if !p.groupEnds(context.Background()) {
		kill(p.cmd.Process)
		p.groupEnds(context.Background())
	}
	<-p.exited
}

// groupEnds waits for it, at most for the grace and until ctx ends.
func (p *process) groupEnds(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, p.grace)
	defer stop()
	exited := p.exited
	again := time.NewTicker(20 * time.Millisecond) // nothing tells that a group has ended
	defer again.Stop()
	for {
		if isClosed(p.exited) && !groupLeft(p.cmd.Process) {
			return true
		}
		select {
		case <-exited:
			exited = nil
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}

// kill ends the group, unless it is over: its number may be another's then.
func (p *process) kill() {
	if !isClosed(p.over) {
		kill(p.cmd.Process)
	}
}
