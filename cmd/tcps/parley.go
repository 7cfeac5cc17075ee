package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// kinship is the name by which tableflip hands the parley's descriptor on.
const kinship = "tcps"

// patienceOfKin bounds the wait for an answer of the other process.
const patienceOfKin = 10 * time.Second

// A note is one message of a parley, a packet of JSON. Other versions of the
// program may know more fields, or fewer.
type note struct {
	// Of the new process.
	Ask    string `json:"ask,omitempty"`
	PID    int    `json:"pid,omitempty"`    // with askWill
	Taken  string `json:"taken,omitempty"`  // the name of a socket that it has
	Failed string `json:"failed,omitempty"` // why it ends

	// Of the old one.
	Socket      string `json:"socket,omitempty"` // the name of one, whose descriptor comes along
	Systemd     bool   `json:"systemd,omitempty"`
	Service     string `json:"service,omitempty"` // whose Tickets they are
	Tickets     []byte `json:"tickets,omitempty"`
	Connections int    `json:"connections,omitempty"`
	Complete    bool   `json:"complete,omitempty"`
}

// What the new process asks for.
const (
	askWill        = "will"        // sockets and keys, and then Complete
	askHeard       = "heard"       // Complete, once all before was heard
	askConnections = "connections" // how many there are
)

// maxNote bounds a packet: a note has a name, or a list of ticket keys.
const maxNote = 16 << 10

// A parley is what two processes say to each other, packet by packet.
type parley struct{ conn *net.UnixConn }

// newParley makes one of a socket, which stays the caller's.
func newParley(file *os.File) (parley, error) {
	conn, err := net.FileConn(file)
	if err != nil {
		return parley{}, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return parley{}, errors.New("the socket between the processes is none")
	}
	return parley{unix}, nil
}

// send sends a note, and a descriptor unless that is nil.
func (p parley) send(n note, file *os.File) error {
	packet, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, _, err = p.conn.WriteMsgUnix(packet, rights(file), nil)
	return err
}

// receive waits for a note; file is the descriptor that came along, or nil.
func (p parley) receive() (n note, file *os.File, err error) {
	packet, control := make([]byte, maxNote), make([]byte, 64)
	size, controlSize, _, _, err := p.conn.ReadMsgUnix(packet, control)
	if err == nil && size == 0 {
		err = io.EOF
	}
	if err != nil {
		return note{}, nil, err
	}
	file = descriptor(control[:controlSize])
	if err := json.Unmarshal(packet[:size], &n); err != nil {
		if file != nil {
			file.Close()
		}
		return note{}, nil, fmt.Errorf("understand the other process: %w", err)
	}
	return n, file, nil
}

// ask sends a note and waits for the answer.
func (p parley) ask(n note, limit time.Duration) (answer note, err error) {
	p.conn.SetDeadline(time.Now().Add(limit))
	defer p.conn.SetDeadline(time.Time{})
	if err := p.send(n, nil); err != nil {
		return note{}, err
	}
	answer, _, err = p.receive()
	return answer, err
}

// discard drops what has come and was not received, and ends the parley.
func (p parley) discard() {
	p.conn.SetReadDeadline(time.Now().Add(patience)) // nobody writes any more: there is an end
	for {
		_, file, err := p.receive()
		if file != nil {
			file.Close()
		}
		if err != nil {
			p.conn.Close()
			return
		}
	}
}
