package starttls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// A Login is what a MySQL client sends to log in (HandshakeResponse41), but for
// its answer to the scramble: that was ours, so it means nothing to the target.
type Login struct {
	seq          byte
	capabilities uint32
	maxPacket    uint32
	charset      byte
	user         []byte
	database     []byte
	attributes   []byte // with their length in front
}

var errLogin = errors.New("the client's login is malformed")

// readLogin reads a client's login, which has the sequence number seq.
func readLogin(r io.Reader, seq byte) (*Login, error) {
	got, payload, err := readPacket(r, myMaxLogin)
	if err != nil {
		return nil, err
	}
	if got != seq {
		return nil, errLogin
	}
	l := &Login{seq: seq}
	if err := l.parse(payload); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Login) parse(payload []byte) error {
	if len(payload) < mySSLRequest {
		return errLogin
	}
	capabilities := binary.LittleEndian.Uint32(payload)
	l.maxPacket, l.charset = binary.LittleEndian.Uint32(payload[4:]), payload[8]
	if len(payload) == mySSLRequest {
		return errors.New("the client asks for TLS where it was not offered")
	}
	if capabilities&myNeeded != myNeeded {
		return errors.New("the client is too old: it knows no authentication plugins")
	}
	f := fields{rest: payload[mySSLRequest:], ok: true}
	l.user = f.string()
	if capabilities&myPluginAuthLong != 0 {
		f.take(f.length())
	} else {
		f.take(f.byte())
	}
	if capabilities&myConnectWithDB != 0 {
		l.database = f.string()
	}
	f.lastString() // the plugin's name
	if capabilities&myConnectAttrs != 0 && len(f.rest) > 0 {
		before := f.rest
		f.take(f.length())
		l.attributes = before[:len(before)-len(f.rest)]
	}
	l.capabilities = capabilities & myOffered
	if !f.ok {
		return errLogin
	}
	return nil
}

// fields reads a payload; ok ends with the first that is not there.
type fields struct {
	rest []byte
	ok   bool
}

func (f *fields) take(n uint64) []byte {
	if !f.ok || n > uint64(len(f.rest)) {
		f.ok, f.rest = false, nil
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) byte() uint64 { return f.number(1) }

func (f *fields) number(size int) uint64 {
	var n uint64
	for i, b := range f.take(uint64(size)) {
		n |= uint64(b) << (8 * i)
	}
	return n
}

// length is a length-encoded integer.
func (f *fields) length() uint64 {
	switch first := f.byte(); first {
	case 0xfc:
		return f.number(2)
	case 0xfd:
		return f.number(3)
	case 0xfe:
		return f.number(8)
	case 0xff, 0xfb: // an error, a NULL
		f.ok = false
		return 0
	default:
		return first
	}
}

// string ends with a 0.
func (f *fields) string() []byte {
	end := bytes.IndexByte(f.rest, 0)
	if end < 0 {
		f.ok = false
		return nil
	}
	s := f.take(uint64(end))
	f.take(1)
	return s
}

// lastString is a string whose 0 may be missing at the end of a payload: some
// clients forget it.
func (f *fields) lastString() {
	if bytes.IndexByte(f.rest, 0) < 0 {
		f.take(uint64(len(f.rest)))
		return
	}
	f.string()
}

// head is what a login begins with, and all of an SSLRequest.
func (l *Login) head(offered uint32, ssl bool) []byte {
	capabilities := l.capabilities & offered
	if ssl {
		capabilities |= mySSL
	}
	h := binary.LittleEndian.AppendUint32(nil, capabilities)
	h = binary.LittleEndian.AppendUint32(h, l.maxPacket)
	h = append(h, l.charset)
	return append(h, make([]byte, 23)...)
}

// anotherPlugin is none: a server that is not given an answer by the plugin of
// the account asks for it (AuthSwitchRequest), with its own scramble.
const anotherPlugin = "tcps_ask_again\x00"

// login is the payload for a target that offers these capabilities.
func (l *Login) login(offered uint32, ssl bool) []byte {
	b := l.head(offered, ssl)
	b = append(append(b, l.user...), 0)
	b = append(b, 0) // no answer
	if l.capabilities&offered&myConnectWithDB != 0 {
		b = append(append(b, l.database...), 0)
	}
	b = append(b, anotherPlugin...)
	if l.capabilities&offered&myConnectAttrs != 0 {
		b = append(b, l.attributesOrNone()...)
	}
	return b
}

func (l *Login) attributesOrNone() []byte {
	if l.attributes == nil {
		return []byte{0}
	}
	return l.attributes
}

// A renumberer changes the sequence numbers of packets in a login: the one side
// counts an SSLRequest that the other has not seen. Afterwards, when each
// command begins at 0 again, it only passes bytes on.
type renumberer struct {
	r    io.Reader
	add  byte                                    // modulo 256
	last func(seq, first byte) (now, after bool) // whether numbers stay as they are from this packet on, or from the next

	pending []byte // to be given out
	left    int    // of a packet's payload, after pending
	done    bool
	over    bool // done after this packet
}

// fromServer: a login ends with the first OK or ERR.
func fromServer(_, first byte) (now, after bool) { return false, first == myOK || first == myErr }

// fromClient: commands begin at 0.
func fromClient(seq, _ byte) (now, after bool) { return seq == 0, false }

func (n *renumberer) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(n.pending) == 0 && n.left == 0 && !n.done {
		if err := n.begin(); err != nil {
			return 0, err
		}
	}
	switch {
	case len(n.pending) > 0:
		k := copy(b, n.pending)
		n.pending = n.pending[k:]
		return k, nil
	case n.left > 0:
		k, err := n.r.Read(b[:min(len(b), n.left)])
		n.left -= k
		return k, err
	default:
		return n.r.Read(b)
	}
}

// begin reads the header of a packet, and the first byte of its payload.
func (n *renumberer) begin() error {
	if n.over {
		n.done = true
		return nil
	}
	head := make([]byte, myHeader+1)
	k, err := io.ReadFull(n.r, head[:myHeader])
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if err == nil && size > 0 {
		var one int
		one, err = io.ReadFull(n.r, head[myHeader:])
		k += one
	}
	if err != nil { // what there is, then the end, which comes again
		n.pending, n.done = head[:k], true
		if k > 0 {
			return nil
		}
		return err
	}
	n.pending, n.left = head[:k], k-myHeader
	n.left = size - n.left
	n.done, n.over = n.last(head[3], head[myHeader])
	if n.done {
		n.left = 0
		return nil
	}
	head[3] += n.add
	return nil
}
