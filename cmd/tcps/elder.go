package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/cloudflare/tableflip"

	"tcps/internal/endpoint"
	"tcps/tlsserver"
)

// An elder is the process before this one, as that one sees it.
type elder struct {
	parley
	pid     int
	sockets map[string][]*os.File // that nobody has taken yet
	systemd []*os.File
	taken   []heirloom
	names   []string // of taken
	tickets map[string][]byte
}

// newElder asks for the will.
func newElder(fds *tableflip.Fds) (*elder, error) {
	file, err := fds.File(kinship)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, errors.New("it has left nothing: is it another program?")
	}
	defer file.Close()
	p, err := newParley(file)
	if err != nil {
		return nil, err
	}
	e := &elder{parley: p, pid: os.Getppid(), sockets: make(map[string][]*os.File), tickets: make(map[string][]byte)}
	return e, e.inherit()
}

func (e *elder) inherit() error {
	e.conn.SetDeadline(time.Now().Add(patienceOfKin))
	defer e.conn.SetDeadline(time.Time{})
	if err := e.send(note{Ask: askWill, PID: os.Getpid()}, nil); err != nil {
		return err
	}
	for {
		n, file, err := e.receive()
		switch {
		case err != nil:
			return err
		case n.Complete:
			return nil
		case n.Socket != "" && file == nil:
			return fmt.Errorf("the socket %s did not come: are there too few descriptors?", n.Socket)
		case n.Socket != "" && n.Systemd:
			e.systemd = append(e.systemd, file)
		case n.Socket != "":
			e.sockets[n.Socket] = append(e.sockets[n.Socket], file)
		case n.Tickets != nil:
			e.tickets[n.Service] = n.Tickets
		}
	}
}

func (e *elder) listen(name string, at endpoint.Endpoint) (net.Listener, error) {
	left := e.sockets[name]
	if len(left) == 0 {
		return nil, nil
	}
	l, err := tlsserver.Adopt(left[0])
	if err != nil {
		return nil, err
	}
	left[0].Close()
	e.sockets[name] = left[1:]
	e.taken, e.names = append(e.taken, heirloom{nil, l, at}), append(e.names, name)
	return l, nil
}

// thank makes what was taken this process' own, and closes what was not: what
// happens to the files of those is for the process before to say.
func (e *elder) thank() (err error) {
	for i, one := range e.taken {
		err = errors.Join(err, tlsserver.Settle(nil, one.after, one.endpoint.String()), e.send(note{Taken: e.names[i]}, nil))
	}
	for _, files := range e.sockets {
		for _, file := range files {
			file.Close()
		}
	}
	e.taken, e.sockets, e.tickets = nil, nil, nil
	_, asked := e.ask(note{Ask: askHeard}, patienceOfKin)
	return errors.Join(err, asked)
}

func (e *elder) connections() (int, error) {
	n, err := e.ask(note{Ask: askConnections}, patience)
	return n.Connections, err
}
