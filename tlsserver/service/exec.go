package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"tcps/internal/reason"
	"tcps/tlsserver"
)

// An Exec is a Handler that runs a program for each connection: what the peer
// sends is the program's standard input, and what the program writes to its
// standard output is sent to the peer, each with back-pressure. Never a shell
// comes between: the program gets its arguments as they are.
//
// The peer's end is the end of the input, and the program may go on writing.
// When the program has ended and all that it wrote was sent, the connection is
// closed; an exit status other than 0 is the reason failed. When the connection
// has ended, so has the program: it and whatever else is in its process group
// get SIGTERM, and after Grace SIGKILL (on Windows the program alone is ended,
// at once). Only what has left the group (setsid) may outlive it.
//
// That the peer is gone is noticed where something is read or sent: a program
// that neither reads its input, which is full, nor writes, is not ended before.
//
// Set the fields before the first connection; do not copy it.
type Exec struct {
	// Path is the program. It should be absolute.
	Path string

	// Args are its arguments; the first is the name that it is called by.
	Args []string

	// Env is the environment, as NAME=VALUE, without what begins with TCPS_:
	// there stands instead what is known of the connection (see environment).
	Env []string

	// Stderr is the standard error of all the programs; they write to it at
	// the same time. Nil: what they write there is dropped.
	Stderr *os.File

	// MaxProcesses is how many connections may have a program at the same time.
	// One more is closed, with the reason limit:processes. 0: 256; negative:
	// 8,000, since each takes a thread and Go allows 10,000.
	MaxProcesses int

	// Grace is the time between SIGTERM and SIGKILL, and that which the program
	// has to exit once both directions of the connection have ended, or others
	// of its group to end their output once it has exited. 0: 5 s; negative:
	// none.
	Grace time.Duration

	mu      sync.Mutex
	entered int                   // connections that have a process, or are about to; guarded by mu
	running map[*process]struct{} // guarded by mu
	killed  bool                  // guarded by mu
	started int64                 // programs, ever; guarded by mu
}

// maxThreads keeps away from the number of threads at which Go ends a program
// (runtime/debug.SetMaxThreads): to wait for a process takes one.
const maxThreads = 8000

func (e *Exec) maxProcesses() int {
	switch {
	case e.MaxProcesses == 0:
		return 256
	case e.MaxProcesses < 0:
		return maxThreads
	}
	return min(e.MaxProcesses, maxThreads)
}

func (e *Exec) grace() time.Duration {
	if e.Grace == 0 {
		return 5 * time.Second
	}
	return max(e.Grace, 0)
}

// ServeConn runs the program for one connection.
func (e *Exec) ServeConn(ctx context.Context, c *tlsserver.Conn) error {
	if !e.enter() {
		return tlsserver.WithReason(reason.Limit("processes"), fmt.Errorf("run %q: %d programs run already", e.Args[0], e.maxProcesses()))
	}
	defer e.leave()
	p, err := e.start(c)
	if err != nil {
		return tlsserver.WithReason(whyNotStarted(err), err)
	}
	e.add(p)
	defer e.remove(p)
	c.Annotate(slog.Int("pid", p.cmd.Process.Pid))
	return p.serve(ctx, c)
}

// Kill ends every program that still runs, without any grace, and lets none
// begin any more. It does not wait for them: it is for who is about to exit.
func (e *Exec) Kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killed = true
	for p := range e.running {
		p.kill()
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

func (e *Exec) add(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil {
		e.running = make(map[*process]struct{})
	}
	e.running[p] = struct{}{}
	e.started++
	if e.killed {
		p.kill()
	}
}

// remove forgets a process whose group is over: its number may be another's soon.
func (e *Exec) remove(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, p)
}

// whyNotStarted is failed where it is the program's fault; that the system gives
// no more processes is not.
func whyNotStarted(err error) tlsserver.Reason {
	if errors.Is(err, syscall.EAGAIN) {
		return reason.Limit("processes")
	}
	if why := reason.Of(err, ""); why == reason.Descriptors {
		return why
	}
	return tlsserver.ReasonFailed
}
