package service

import (
	"errors"
	"slices"
	"sync"

	"tcps/internal/reason"
	"tcps/tlsserver"
)

// A Room is where members meet. What is said in it, and who comes and goes, has
// one order, which every member sees. MemoryRoom is one; a Room that spans
// processes can be another.
type Room interface {
	// Join makes m a member: it is welcomed, and then the others are told. The
	// caller calls leave, which tells the others, once.
	Join(m *Member) (leave func(), err error)

	// Say sends what a member says to all others, with its name in front. The
	// caller may use text again afterwards. It waits for a member whose queue is
	// full, at most a second.
	Say(m *Member, text []byte)
}

// A MemoryRoom is a Room in this process. The zero value is ready to be used;
// its fields must not be changed afterwards.
type MemoryRoom struct {
	MaxMembers int // that may be in it; more are refused with the reason limit:room. 0 or less: any number
	History    int // lines said before that a new member gets after its welcome, at most 256 KiB of them and half of its queue. 0 or less: none

	mu          sync.Mutex
	members     []*Member // guarded by mu, which also orders what is sent
	history     [][]byte  // the newest last; guarded by mu, as all below
	historySize int
}

// maxHistory bounds the bytes of a room's history.
const maxHistory = 256 << 10

var errRoomFull = tlsserver.WithReason(reason.Limit("room"), errors.New("the room has as many members as it may have"))

// Join is as in Room. Who comes and goes is told at once, also to members whose
// queues are full, which may exceed their bound by that for at most a second: a
// slow member must not hold up others at the door.
func (r *MemoryRoom) Join(m *Member) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.MaxMembers > 0 && len(r.members) >= r.MaxMembers {
		return nil, errRoomFull
	}
	m.put([]byte("Welcome " + m.name + "\n"))
	r.tellHistory(m)
	r.members = append(r.members, m)
	r.tell(m, []byte(m.name+" joined the chat\n"))
	return func() { r.leave(m) }, nil
}

func (r *MemoryRoom) leave(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.members, m)
	if i < 0 {
		return
	}
	r.members = slices.Delete(r.members, i, i+1)
	r.tell(m, []byte(m.name+" left the chat.\n"))
}

// Say is as in Room.
func (r *MemoryRoom) Say(m *Member, text []byte) {
	message := slices.Concat([]byte(m.name), []byte("> "), text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.await()
	r.tell(m, message)
	r.remember(message)
}

// await returns when no queue is full. It gives mu up while it waits for a
// member: meanwhile others join, leave, and wait too.
func (r *MemoryRoom) await() {
	for m := r.firstFull(); m != nil; m = r.firstFull() {
		r.mu.Unlock()
		m.Wait()
		r.mu.Lock()
	}
}

// tell sends a message to all but one, at once.
func (r *MemoryRoom) tell(but *Member, message []byte) {
	for _, m := range r.members {
		if m != but {
			m.put(message)
		}
	}
}

func (r *MemoryRoom) firstFull() *Member {
	for _, m := range r.members {
		if m.full.Load() {
			return m
		}
	}
	return nil
}

func (r *MemoryRoom) remember(message []byte) {
	if r.History <= 0 {
		return
	}
	r.history = append(r.history, message)
	r.historySize += len(message)
	for len(r.history) > r.History || r.historySize > maxHistory {
		r.historySize -= len(r.history[0])
		r.history[0] = nil
		r.history = r.history[1:]
	}
}

// tellHistory sends the newest lines that fit into half of the queue.
func (r *MemoryRoom) tellHistory(m *Member) {
	first, size := len(r.history), 0
	for first > 0 && size+len(r.history[first-1])+messageOverhead <= m.limit/2 {
		first--
		size += len(r.history[first]) + messageOverhead
	}
	for _, message := range r.history[first:] {
		m.put(message)
	}
}
