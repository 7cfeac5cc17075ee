package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cloudflare/tableflip"

	"tcps/internal/endpoint"
)

// A lineage is a process' place between the one before it and the one after it.
type lineage struct {
	program  string              // the file that is started
	upgrader *tableflip.Upgrader // nil: there are no upgrades
	why      error               // then

	elder *elder // nil: the process was not started by an upgrade
	heir  *heir  // that has come up; nil: none has. Only upgrade sets it
}

// newLineage finds out who has started the process. It can be called once.
func newLineage(timeout time.Duration) (*lineage, error) {
	l := &lineage{program: startedAs()}
	if runtime.GOOS != "linux" {
		l.why = errors.New("this system has no upgrades")
		return l, nil
	}
	if l.upgrader, l.why = tableflip.New(tableflip.Options{UpgradeTimeout: timeout}); l.why != nil {
		return l, nil
	}
	if !l.upgrader.HasParent() {
		return l, nil
	}
	closeInPrograms()
	var err error
	if l.elder, err = newElder(l.upgrader.Fds); err != nil {
		return nil, failure(fmt.Errorf("take over from the process before: %w", err))
	}
	return l, nil
}

// startedAs is the file that the program was started from, by the name that it
// was called by if that is its name: it may be a link that leads elsewhere later.
func startedAs() string {
	file, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	called, err := exec.LookPath(os.Args[0])
	if err == nil {
		called, err = filepath.Abs(called)
	}
	if err != nil {
		return file
	}
	one, oneErr := os.Stat(called)
	other, otherErr := os.Stat(file)
	if oneErr == nil && otherErr == nil && os.SameFile(one, other) {
		return called
	}
	return file
}

// listen takes over a socket that the process before has left; nil: it has not.
func (l *lineage) listen(name string, e endpoint.Endpoint) (net.Listener, error) {
	if l.elder == nil {
		return nil, nil
	}
	return l.elder.listen(name, e)
}

// tickets are the keys that the process before has left to a service.
func (l *lineage) tickets(service string) []byte {
	if l.elder == nil {
		return nil
	}
	return l.elder.tickets[service]
}

// ready tells the process before that this one serves. The errors are about the
// mode and the owner of sockets.
func (l *lineage) ready() error {
	if l.upgrader == nil {
		return nil
	}
	var err error
	if l.elder != nil {
		err = l.elder.thank()
	}
	return errors.Join(err, l.upgrader.Ready())
}

// failed tells the process before why this one does not come up.
func (l *lineage) failed(err error) {
	if l.elder != nil {
		l.elder.send(note{Failed: err.Error()}, nil)
	}
}

// elderDrains reports whether the process before is still there, and how many
// connections it has.
func (l *lineage) elderDrains() (pid, connections int, drains bool) {
	if l.elder == nil {
		return 0, 0, false
	}
	connections, err := l.elder.connections()
	return l.elder.pid, connections, err == nil
}

// end lets no upgrade begin any more, and ends one that has.
func (l *lineage) end() {
	if l.upgrader != nil {
		l.upgrader.Stop()
	}
}

// upgrade starts the next process and leaves it a will; connections counts those
// that this one still has. On an error nothing has changed.
func (l *lineage) upgrade(w will, connections func() int) error {
	if l.upgrader == nil {
		return l.why
	}
	l.awaitElder()
	h, err := newHeir(l.upgrader.Fds)
	if err != nil {
		return err
	}
	go h.serve(w, connections)
	os.Args[0] = l.program // tableflip starts that
	if err := l.upgrader.Upgrade(); err != nil {
		return h.disown(err)
	}
	h.accept()
	l.heir = h
	return nil
}

// awaitElder waits for the end of the process before if it is about to come.
func (l *lineage) awaitElder() {
	if l.elder == nil {
		return
	}
	if left, err := l.elder.connections(); err != nil || left == 0 {
		ctx, stop := context.WithTimeout(context.Background(), 3*patience)
		defer stop()
		l.upgrader.WaitForParent(ctx) // if it does not, the upgrade says so
	}
}

// leftTo reports whether the next process has taken a socket over.
func (l *lineage) leftTo(name string) bool {
	return l.heir != nil && l.heir.has(name)
}
