package service_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// The numbers of the room's promise.
const (
	readers, speakers = 200, 10 // the speakers are among the readers
	linesInAll        = 20_000
	linesEach         = linesInAll / speakers
)

// A crowd is a room with its readers: some of them over TLS, most of them not.
type crowd struct {
	t       *testing.T
	plain   string // address
	members []*member
}

func gather(t *testing.T) *crowd {
	t.Helper()
	room := new(service.Broadcast)
	s := tlstest.NewServer(t, room)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := &tlsserver.Server{Handler: room, LingerTimeout: -1}
	served := goServe(plain, smallBuffers{l})
	t.Cleanup(func() { plain.Close(); <-served })
	c := &crowd{t: t, plain: l.Addr().String()}
	for i := range readers {
		if i%20 != 0 {
			c.members = append(c.members, c.enter())
			continue
		}
		conn, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c.members = append(c.members, joined(t, conn))
	}
	return c
}

func (c *crowd) enter() *member {
	m := enterPlain(c.t, "tcp", c.plain)
	m.halfConn.(*net.TCPConn).SetReadBuffer(32 << 10)
	return m
}

// smallBuffers keep the kernel from hiding that a member does not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		c.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return c, err
}

// A record is what one member heard: the sum of it all, and of some members each
// line that was said, as speaker × linesEach + number, in the order in which it
// came.
type record struct {
	sum   []byte
	lines []uint16
}

// run lets the speakers speak, and returns what each member heard since all have
// joined: others came after the crowd, and so many of them leave meanwhile.
func (c *crowd) run(others, leaving int) []record {
	records := make([]record, readers)
	var all sync.WaitGroup
	for i, m := range c.members {
		joins, want := readers-1-i+others, linesInAll+leaving
		if i < speakers {
			want -= linesEach
			all.Go(func() { speak(m, i) })
		}
		parse := i < speakers || i == readers-1 // the rest is too many for that
		all.Go(func() { records[i] = hear(c.t, m, joins, want, parse) })
	}
	all.Wait()
	return records
}

// A line is longer than it must be, so that all of them are more than a queue
// and the kernel's buffers hold.
var padding = strings.Repeat("-", 60)

func speak(m *member, speaker int) {
	w := bufio.NewWriterSize(m, 4<<10)
	for n := range linesEach {
		fmt.Fprintf(w, "%s%05d\n", padding, speaker*linesEach+n)
	}
	w.Flush()
}

// hear passes over those who join, and then takes so many lines.
func hear(t *testing.T, m *member, joins, want int, parse bool) (r record) {
	for range joins {
		if line, err := m.lines.ReadSlice('\n'); !bytes.HasSuffix(line, []byte(" joined the chat\n")) {
			t.Errorf("%s heard %q, %v; want who joined", m.name, line, err)
			return r
		}
	}
	sum := sha256.New()
	all := bufio.NewReaderSize(io.TeeReader(m.lines, sum), 64<<10)
	for n := 0; n < want; {
		block, err := all.ReadSlice('\n')
		if !parse {
			rest, _ := all.Peek(all.Buffered())
			n += bytes.Count(rest, []byte("\n"))
			all.Discard(len(rest))
		}
		if err != nil {
			t.Errorf("%s, after %d lines: %v", m.name, n, err)
			return r
		}
		n++
		if _, text, ok := bytes.Cut(block, []byte("> "+padding)); ok && parse {
			number, _ := strconv.Atoi(string(text[:5]))
			r.lines = append(r.lines, uint16(number))
		}
	}
	r.sum = sum.Sum(nil)
	return r
}

// checkOrder checks that all heard the same in one order, each speaker's own
// lines apart, and each speaker's lines in the order in which it said them.
func checkOrder(t *testing.T, records []record) {
	t.Helper()
	last := records[readers-1]
	if len(last.lines) != linesInAll {
		t.Fatalf("the last member heard %d lines, want %d", len(last.lines), linesInAll)
	}
	for i, r := range records {
		same := bytes.Equal(r.sum, last.sum)
		if i < speakers {
			same = slices.Equal(r.lines, slices.DeleteFunc(slices.Clone(last.lines), func(n uint16) bool { return int(n)/linesEach == i }))
		}
		if !same {
			t.Errorf("member %d heard another order than member %d", i, readers-1)
		}
	}
	next := make([]int, speakers)
	for _, n := range last.lines {
		speaker, number := int(n)/linesEach, int(n)%linesEach
		if number != next[speaker] {
			t.Fatalf("speaker %d: line %d came where %d should", speaker, number, next[speaker])
		}
		next[speaker]++
	}
}

func TestEveryMemberSeesOneOrderAndNothingIsMissing(t *testing.T) {
	checkOrder(t, gather(t).run(0, 0))
}

// 20 members that never read are put out, 20 others are reset at any moment:
// the rest misses nothing, and is told of each end once. The heap grows by no
// more than a queue and a longest line for each that does not read, half a queue
// for each that does, as it may lag behind, with places for lines that all share,
// and 32 MiB for the buffers of 240 connections and what the test itself keeps.
func TestSlowAndResetMembersHarmNobody(t *testing.T) {
	const bound = 20*(1<<20+64<<10) + (readers+20)<<19 + 32<<20
	before := heap()
	c := gather(t)
	witness := c.enter()
	bad := make(map[string]int) // name: how often it was said to have left
	for range 20 {
		bad[c.enter().name] = 0
	}
	var fragile []*member
	for range 20 {
		m := c.enter()
		bad[m.name] = 0
		fragile = append(fragile, m)
	}
	var resets sync.WaitGroup
	for _, m := range fragile {
		resets.Go(func() {
			for range rand.IntN(linesInAll) {
				if _, err := m.lines.ReadSlice('\n'); err != nil {
					return
				}
			}
			m.say("cut")
			m.halfConn.(*net.TCPConn).SetLinger(0)
			m.Close()
		})
	}
	most := make(chan int64)
	go func() { most <- witness.countEnds(bad) - before }()
	checkOrder(t, c.run(1+len(bad), len(bad)))
	resets.Wait()
	grown := <-most
	t.Logf("the heap grew by %d KiB", grown>>10)
	if grown > bound {
		t.Errorf("the heap grew by %d bytes, want %d at most", grown, bound)
	}
	for name, times := range bad {
		if times != 1 {
			t.Errorf("%s was said to have left %d times", name, times)
		}
	}
}

// countEnds reads until all of the members have left, and returns the most that
// was in use meanwhile.
func (m *member) countEnds(left map[string]int) (most int64) {
	lines := 0
	for missing := len(left); missing > 0; lines++ {
		if lines%(linesInAll/8) == 0 {
			most = max(most, heap())
		}
		line, err := m.lines.ReadString('\n')
		if err != nil {
			return most
		}
		name, ok := strings.CutSuffix(line, " left the chat.\n")
		if _, known := left[name]; ok && known {
			left[name]++
			missing--
		}
	}
	return most
}
