package service_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
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

// run lets the speakers speak and returns what each member heard, each line as
// speaker × linesEach + number, in the order in which it came.
func (c *crowd) run() [][]int {
	heard := make([][]int, readers)
	var all sync.WaitGroup
	for i, m := range c.members {
		want := linesInAll
		if i < speakers {
			want -= linesEach
			all.Go(func() { speak(m, i) })
		}
		heard[i] = make([]int, 0, want)
		all.Go(func() { heard[i] = hear(c.t, m, heard[i]) })
	}
	all.Wait()
	return heard
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

func hear(t *testing.T, m *member, heard []int) []int {
	for len(heard) < cap(heard) {
		line, err := m.lines.ReadSlice('\n')
		if err != nil {
			t.Errorf("%s, after %d lines: %v", m.name, len(heard), err)
			return heard
		}
		if _, text, ok := bytes.Cut(line, []byte("> "+padding)); ok {
			n := 0
			for _, digit := range text[:5] {
				n = 10*n + int(digit-'0')
			}
			heard = append(heard, n)
		}
	}
	return heard
}

// checkOrder checks that all heard the same in one order, each speaker's own
// lines apart, and each speaker's lines in the order in which it said them.
func checkOrder(t *testing.T, heard [][]int) {
	t.Helper()
	order := heard[readers-1]
	if len(order) != linesInAll {
		t.Fatalf("the last member heard %d lines, want %d", len(order), linesInAll)
	}
	for i, lines := range heard {
		want := order
		if i < speakers {
			want = slices.DeleteFunc(slices.Clone(order), func(n int) bool { return n/linesEach == i })
		}
		if !slices.Equal(lines, want) {
			t.Errorf("member %d heard another order than member %d", i, readers-1)
		}
	}
	next := make([]int, speakers)
	for _, n := range order {
		if speaker := n / linesEach; n%linesEach != next[speaker] {
			t.Fatalf("speaker %d: line %d came where %d should", speaker, n%linesEach, next[speaker])
		}
		next[n/linesEach]++
	}
}

func TestEveryMemberSeesOneOrderAndNothingIsMissing(t *testing.T) {
	checkOrder(t, gather(t).run())
}

// 20 members that never read are put out, 20 others are reset at any moment:
// the rest misses nothing, and is told of each end once.
func TestSlowAndResetMembersHarmNobody(t *testing.T) {
	c := gather(t)
	witness := c.enter()
	bad := make(map[string]int) // name: how often it was said to have left
	for range 20 {
		bad[c.enter().name] = 0
	}
	var resets sync.WaitGroup
	for range 20 {
		m := c.enter()
		bad[m.name] = 0
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
	left := make(chan map[string]int)
	go func() { left <- witness.countEnds(bad) }()
	checkOrder(t, c.run())
	resets.Wait()
	for name, times := range <-left {
		if times != 1 {
			t.Errorf("%s was said to have left %d times", name, times)
		}
	}
}

// countEnds reads until all of the members have left.
func (m *member) countEnds(left map[string]int) map[string]int {
	for missing := len(left); missing > 0; {
		line, err := m.lines.ReadString('\n')
		if err != nil {
			return left
		}
		name, ok := strings.CutSuffix(line, " left the chat.\n")
		if _, known := left[name]; ok && known {
			left[name]++
			missing--
		}
	}
	return left
}
