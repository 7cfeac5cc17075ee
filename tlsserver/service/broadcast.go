package service

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"tcps/tlsserver"
)

// Broadcast is a room: what one member says, all others get, as "NAME> TEXT".
// Who joins gets "Welcome NAME", and the others "NAME joined the chat" and, when
// it goes, "NAME left the chat.". A member leaves by ending its side; what it was
// sent until then it still gets, if it takes it within a second. The bytes that
// members say are passed on as they are; only names are made safe to print.
//
// The zero value is ready to be used. Set the fields before the first
// connection, and do not change them afterwards.
type Broadcast struct {
	// Room is where the members meet. Nil: a MemoryRoom of this Broadcast's own.
	Room Room

	// NameFrom is where names come from. Zero: the certificate, where there is
	// one, else the address.
	NameFrom NameSource

	// MaxLineBytes bounds a line without its newline: who sends a longer one is
	// put out with the reason limit:line, and nothing of it is passed on. The last
	// line needs no newline where the stream ends cleanly, and gets one; a line
	// that a reset or a truncation has cut is not passed on. 0 or less: 64 KiB.
	MaxLineBytes int

	// Chunks passes on what each read gives, as it is, instead of whole lines.
	Chunks bool

	// QueueBytes bounds what a member was sent and has not taken yet, each
	// message with 64 bytes for its place; the last message may exceed it. A full
	// queue holds back those who speak until half of it is free. A member that is
	// full for a second, or has taken nothing for one, is slow. 0 or less: 1 MiB.
	QueueBytes int

	// Slow says what becomes of slow members. Zero: DropMember.
	Slow SlowPolicy

	// MayWrite says who may speak: members whose certificate matches any of the
	// rules. What others say is discarded, and they are told so, once, with
	// "* you may read only". Empty: everybody may.
	MayWrite []tlsserver.Rule

	own    MemoryRoom
	names  namer
	counts roomCounts
}

// flushTime bounds how long a member that leaves has to take what it was sent.
const flushTime = time.Second

var readOnlyNotice = []byte("* you may read only\n")

// ServeConn is the stay of one member.
func (b *Broadcast) ServeConn(_ context.Context, c *tlsserver.Conn) error {
	m := newMember(b.names.name(c, b.NameFrom), cmp.Or(max(b.QueueBytes, 0), 1<<20), b.Slow, c.Reset)
	m.counts = &b.counts
	c.Annotate(slog.String("name", m.name))
	delivered := make(chan error, 1)
	go func() { delivered <- deliverTo(c, m) }()
	err := b.attend(c, m)
	m.close()
	c.SetWriteDeadline(time.Now().Add(flushTime))
	undelivered := <-delivered
	missing, putOut := m.outcome()
	if missing > 0 {
		c.Annotate(slog.Int("missed", missing))
	}
	switch {
	case putOut != nil:
		return putOut
	case errors.Is(err, os.ErrDeadlineExceeded): // by deliverTo
		return undelivered
	}
	return err
}

// deliverTo writes what the member is sent. If that fails nothing can come of
// reading on.
func deliverTo(c *tlsserver.Conn, m *Member) error {
	err := m.deliver(c)
	if err != nil {
		c.SetReadDeadline(past)
	}
	return err
}

// attend is the time between joining and leaving.
func (b *Broadcast) attend(c *tlsserver.Conn, m *Member) error {
	room := b.room()
	leave, err := room.Join(m)
	if err != nil {
		return err
	}
	defer leave()
	b.counts.members.Add(1)
	defer b.counts.members.Add(-1)
	say := func(text []byte) {
		b.counts.said.Add(1)
		room.Say(m, text)
	}
	if !b.mayWrite(c.Identity()) {
		tell := sync.OnceFunc(func() { m.Send(readOnlyNotice) })
		say = func([]byte) { tell() }
	}
	if b.Chunks {
		return eachChunk(c, say)
	}
	return eachLine(c, cmp.Or(max(b.MaxLineBytes, 0), 64<<10), say)
}

func (b *Broadcast) room() Room {
	if b.Room != nil {
		return b.Room
	}
	return &b.own
}

func (b *Broadcast) mayWrite(id *tlsserver.Identity) bool {
	return len(b.MayWrite) == 0 || slices.ContainsFunc(b.MayWrite, func(r tlsserver.Rule) bool { return r.Matches(id) })
}
