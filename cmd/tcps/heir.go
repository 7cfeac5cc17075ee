package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/cloudflare/tableflip"
)

// An heir is the process after this one, as this one sees it.
type heir struct {
	parley
	theirs *os.File      // its end of the parley; closed when it has it, or is gone
	over   chan struct{} // closed when serve has returned

	mu     sync.Mutex
	pid    int             // guarded by mu, as all below
	taken  map[string]bool // sockets, by their names
	failed string          // why it did not come up
}

// newHeir prepares the parley with a process that is about to be started.
func newHeir(fds *tableflip.Fds) (*heir, error) {
	ours, theirs, err := parleyPair()
	if err != nil {
		return nil, err
	}
	h := &heir{theirs: theirs, over: make(chan struct{}), taken: make(map[string]bool)}
	if h.parley, err = newParley(ours); err == nil {
		err = fds.AddFile(kinship, theirs)
	}
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("prepare the next process: %w", err)
	}
	return h, nil
}

// serve answers what the heir asks, until it is gone or disowned.
func (h *heir) serve(w will, connections func() int) {
	defer close(h.over)
	for {
		n, _, err := h.receive()
		if err != nil {
			return
		}
		switch {
		case n.Ask == askWill:
			h.set(func() { h.pid = n.PID })
			err = h.leave(w)
		case n.Ask == askHeard:
			err = h.send(note{Complete: true}, nil)
		case n.Ask == askConnections:
			err = h.send(note{Connections: connections()}, nil)
		case n.Taken != "":
			h.set(func() { h.taken[n.Taken] = true })
		case n.Failed != "":
			h.set(func() { h.failed = n.Failed })
		}
		if err != nil {
			return
		}
	}
}

// leave sends the will.
func (h *heir) leave(w will) error {
	for _, one := range w.sockets {
		file, err := one.socket.File()
		if err != nil {
			return fmt.Errorf("hand on the socket %s: %w", one.name, err)
		}
		err = h.send(note{Socket: one.name, Systemd: one.systemd}, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	for service, keys := range w.tickets {
		if err := h.send(note{Service: service, Tickets: keys}, nil); err != nil {
			return err
		}
	}
	return h.send(note{Complete: true}, nil)
}

// accept is for an heir that has come up.
func (h *heir) accept() { h.theirs.Close() }

// disown ends the parley with a process that has not come up, and says why. What
// it has not fetched of the will must not stay open in the socket between.
func (h *heir) disown(err error) error {
	h.conn.Close()
	<-h.over
	if theirs, err := newParley(h.theirs); err == nil {
		theirs.discard()
	}
	h.theirs.Close()
	if h.failed != "" {
		return fmt.Errorf("%s (%w)", h.failed, err)
	}
	return err
}

func (h *heir) has(socket string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[socket]
}

func (h *heir) number() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pid
}

func (h *heir) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}
