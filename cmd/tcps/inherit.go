package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"tcps/internal/endpoint"
	"tcps/tlsserver"
)

// An inheritance is the sockets of services that are to end: those that begin in
// their place take them over, so that no client is refused between.
type inheritance struct {
	left  map[string][]net.Listener // by inherited, those that nobody has taken over
	anew  listenFunc                // where there is nothing to take over
	taken []heirloom
}

// An heirloom is a socket that has two listeners for a while.
type heirloom struct {
	before, after net.Listener
	endpoint      endpoint.Endpoint
}

func inherit(gone []*unit, anew listenFunc) *inheritance {
	h := &inheritance{left: make(map[string][]net.Listener), anew: anew}
	for _, u := range gone {
		for i, e := range u.endpoints {
			h.left[inherited(u, e)] = append(h.left[inherited(u, e)], u.listeners[i].Listener)
		}
	}
	return h
}

// inherited is what a socket is known by. A port that the system chooses is one
// service's own. The unit is nil for a socket of the process itself.
func inherited(u *unit, e endpoint.Endpoint) string {
	if u != nil && !e.IsUnix() && e.Port == "0" {
		return socketOf(e) + " of " + u.called
	}
	return socketOf(e)
}

// listen takes a socket over, or listens anew where there is none.
func (h *inheritance) listen(ctx context.Context, u *unit, e endpoint.Endpoint) (net.Listener, error) {
	socket := inherited(u, e)
	if len(h.left[socket]) == 0 {
		l, err := h.anew(ctx, u, e)
		if errors.Is(err, syscall.EADDRINUSE) && h.holds(e) {
			return nil, failure(err, "a service that is to end listens on that port by another address: take it out, send SIGHUP, and only then put this one in")
		}
		return l, err
	}
	before := h.left[socket][0]
	after, err := tlsserver.TakeOver(before, e.String())
	if err != nil {
		return nil, err
	}
	h.left[socket] = h.left[socket][1:]
	h.taken = append(h.taken, heirloom{before, after, e})
	return after, nil
}

// holds reports whether a service that is to end listens on an endpoint's port.
func (h *inheritance) holds(e endpoint.Endpoint) bool {
	for _, listeners := range h.left {
		for _, l := range listeners {
			if tcp, ok := l.Addr().(*net.TCPAddr); ok && !e.IsUnix() && fmt.Sprint(tcp.Port) == e.Port {
				return true
			}
		}
	}
	return false
}

// settle makes the taken sockets those of their heirs for good: who had them may
// close, and the file of a Unix socket stays. An error is about its mode or owner.
func (h *inheritance) settle() (err error) {
	for _, one := range h.taken {
		err = errors.Join(err, tlsserver.Settle(one.before, one.after, one.endpoint.String()))
	}
	return err
}
