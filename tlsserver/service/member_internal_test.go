package service

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/internal/reason"
	"tcps/internal/wire"
	"tcps/tlsserver"
)

// A stayer is a member of a room in a bubble, and the far end of its connection.
type stayer struct {
	*Member
	lines *bufio.Reader
	leave func()
	gone  chan error // what deliver has returned
}

// stay lets a member join over a pipe, which takes nothing that is not read.
func stay(t *testing.T, r Room, name string, limit int, slow SlowPolicy) *stayer {
	t.Helper()
	ours, theirs := net.Pipe()
	s := &stayer{newMember(name, limit, slow, ours.Close), bufio.NewReader(theirs), nil, make(chan error, 1)}
	go func() { s.gone <- s.deliver(ours) }()
	var err error
	if s.leave, err = r.Join(s.Member); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.leave(); theirs.Close(); s.close(); <-s.gone })
	return s
}

// read reads to the end, and returns the number of lines through count.
func (s *stayer) read(lines *int) {
	for {
		if _, err := s.lines.ReadString('\n'); err != nil {
			return
		}
		*lines++
	}
}

func (s *stayer) want(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got, err := s.lines.ReadString('\n'); got != want+"\n" || err != nil {
			t.Fatalf("%s got %q, %v; want %q", s.name, got, err, want)
		}
	}
}

var hundredBytes = []byte(strings.Repeat("x", 99) + "\n")

func TestAFullQueueHoldsSendersForASecondAndThenItsMemberIsPutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		reader, stuck, sender := stay(t, room, "reader", 64<<10, DropMember), stay(t, room, "stuck", 64<<10, DropMember), stay(t, room, "sender", 64<<10, DropMember)
		got := 0
		go reader.read(&got)
		begin := time.Now()
		for range 10_000 {
			room.Say(sender.Member, hundredBytes)
		}
		synctest.Wait()
		if held := time.Since(begin); held != time.Second {
			t.Errorf("10,000 lines took %v, want one second for the member that does not read", held)
		}
		if want := 10_000 + 3; got != want { // Welcome, and two who joined
			t.Errorf("the member that reads got %d lines, want %d", got, want)
		}
		if _, why := stuck.outcome(); reason.Of(why, "") != "limit:slow" {
			t.Errorf("the member that does not read was ended by %v", why)
		}
		if err := <-stuck.gone; err == nil {
			t.Error("its connection is still there")
		}
		stuck.gone <- nil
	})
}

// Members that stop reading at the same time share one second, however much
// later their queues are full.
func TestSeveralSlowMembersTakeOneSecondTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		sender := stay(t, room, "sender", 64<<10, DropMember)
		for i := range 20 {
			stay(t, room, fmt.Sprint("stuck", i), (i+1)<<14, []SlowPolicy{DropMember, DropLines}[i%2])
		}
		begin := time.Now()
		for range 10_000 {
			room.Say(sender.Member, hundredBytes)
		}
		if held := time.Since(begin); held > time.Second+time.Millisecond {
			t.Errorf("20 members that do not read took %v, want a second", held)
		}
	})
}

func TestABurstLosesNothingAtAMemberThatReadsWithinTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		reader, sender := stay(t, room, "reader", 256<<10, DropMember), stay(t, room, "sender", 64<<10, DropMember)
		got := make(chan int)
		go func() {
			var n, bytes int
			for n < 20_000+2 {
				line, err := reader.lines.ReadString('\n')
				if err != nil {
					break
				}
				n++
				if bytes += len(line); bytes > 16<<10 { // 160 KiB in a second
					bytes = 0
					time.Sleep(100 * time.Millisecond)
				}
			}
			got <- n
		}()
		for range 20_000 {
			room.Say(sender.Member, hundredBytes)
		}
		if n := <-got; n != 20_000+2 {
			t.Errorf("it got %d lines, want all 20,002", n)
		}
	})
}

func TestDropLinesSaysHowManyWereMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		slow, sender := stay(t, room, "slow", 1<<10, DropLines), stay(t, room, "sender", 64<<10, DropLines)
		slow.want(t, "Welcome slow", "sender joined the chat")
		begin := time.Now()
		const lines = 100
		for i := range lines {
			room.Say(sender.Member, fmt.Appendf(nil, "%d\n", i))
		}
		if held := time.Since(begin); held != time.Second {
			t.Errorf("held for %v, want a second for all lines together", held)
		}
		for range 3 { // it reads all, and so has a second again
			line, next := "", 0
			for ; ; next++ {
				line, _ = slow.lines.ReadString('\n')
				if line != fmt.Sprintf("sender> %d\n", next) {
					break
				}
			}
			if want := fmt.Sprintf("* %d lines missed\n", lines-next); line != want {
				t.Fatalf("after line %d it got %q, want %q", next-1, line, want)
			}
			synctest.Wait()
			begin = time.Now()
			for i := range lines {
				room.Say(sender.Member, fmt.Appendf(nil, "%d\n", i))
			}
			if held := time.Since(begin); held != time.Second {
				t.Errorf("held for %v, want a second again", held)
			}
			synctest.Wait()
		}
		if missing, why := slow.outcome(); missing == 0 || why != nil {
			t.Errorf("missed %d, ended by %v", missing, why)
		}
	})
}

func TestOneLineMissedIsSaidInTheSingular(t *testing.T) {
	if got := string(missedNotice(1)) + string(missedNotice(2)); got != "* 1 line missed\n* 2 lines missed\n" {
		t.Errorf("got %q", got)
	}
}

// While senders are held, others come and go at once.
func TestJoinsAndLeavesGoThroughWhileSendersAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		stay(t, room, "stuck", 1<<10, DropMember)
		sender, goer := stay(t, room, "sender", 64<<10, DropMember), stay(t, room, "goer", 64<<10, DropMember)
		begin := time.Now()
		var senders sync.WaitGroup
		for range 5 {
			senders.Go(func() {
				for range 20 {
					room.Say(sender.Member, hundredBytes)
				}
			})
		}
		synctest.Wait()
		goer.leave()
		comer := stay(t, room, "comer", 64<<10, DropMember)
		comer.want(t, "Welcome comer")
		if held := time.Since(begin); held != 0 {
			t.Errorf("who comes and goes was held for %v", held)
		}
		senders.Wait()
		if held := time.Since(begin); held != time.Second {
			t.Errorf("all of them took %v, want a second", held)
		}
	})
}

// What is queued at the end of a member is still written.
func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := new(MemoryRoom)
		s := stay(t, room, "s", 1<<20, DropMember)
		other := stay(t, room, "other", 1<<20, DropMember)
		for range 100 {
			room.Say(other.Member, []byte("hi\n"))
		}
		s.leave()
		s.close()
		s.want(t, "Welcome s", "other joined the chat")
		for range 100 {
			s.want(t, "other> hi")
		}
		if err := <-s.gone; err != nil {
			t.Error(err)
		}
		s.gone <- nil
	})
}

func TestASmallMessageIsGatheredAndALargeOneIsNotCopied(t *testing.T) {
	large := make([]byte, 2*wire.BufferSize)
	buf := make([]byte, 0, wire.BufferSize)
	if piece, n := gather(buf, [][]byte{[]byte("a"), []byte("b"), large}); n != 2 || string(piece) != "ab" {
		t.Errorf("gathered %d: %q", n, piece)
	}
	if piece, n := gather(buf, [][]byte{large, []byte("b")}); n != 1 || &piece[0] != &large[0] {
		t.Errorf("gathered %d", n)
	}
}

func TestNamesAreSafeAndStayDifferent(t *testing.T) {
	for name, want := range map[string]string{
		"alice":             "alice",
		"Zoë Müller":        "Zoë Müller",
		"alice> hi":         `alice\x3e hi`,
		`alice\x3e hi`:      `alice\\x3e hi`,
		"a\nbob> b":         `a\nbob\x3e b`,
		"\x1b[2Ja":          `\x1b[2Ja`,
		"a\u202eb":          `a\u202eb`,
		"a\xffb":            `a\xffb`,
		" a ":               `\x20a\x20`,
		"127.0.0.1:8120":    "127.0.0.1:8120",
		"spiffe://home/a b": "spiffe://home/a b",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("alice", "alice> hi")
	f.Add(`a\`, "a\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		safeA, safeB := safeName(a), safeName(b)
		if strings.ContainsAny(safeA, ">\n\r\x1b") {
			t.Errorf("%q became %q", a, safeA)
		}
		if a != b && safeA == safeB {
			t.Errorf("%q and %q both became %q", a, b, safeA)
		}
	})
}

func TestACertificatesNameIsTheMostHuman(t *testing.T) {
	for want, id := range map[string]*tlsserver.Identity{
		"":              nil,
		"alice":         {CommonName: "alice", URIs: []string{"spiffe://a/b"}},
		"spiffe://a/b":  {CommonName: " ", DNSNames: []string{"a.test"}, URIs: []string{"spiffe://a/b"}},
		"a.test":        {DNSNames: []string{"a.test"}},
		"a@example.com": {EmailAddresses: []string{"a@example.com"}},
	} {
		if got := certificateName(id); got != want {
			t.Errorf("%+v is called %q, want %q", id, got, want)
		}
	}
}

func TestLinesAreWholeAndBounded(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, test := range []struct {
		name, in string
		max      int
		want     []string
		reason   tlsserver.Reason
	}{
		{"lines", "a\nb\r\n\n", 10, []string{"a\n", "b\r\n", "\n"}, "done"},
		{"last without newline", "a\nb", 10, []string{"a\n", "b\n"}, "done"},
		{"nothing", "", 10, nil, "done"},
		{"longest", "12345\n12345", 5, []string{"12345\n", "12345\n"}, "done"},
		{"too long", "ok\n123456\nok\n", 5, []string{"ok\n"}, "limit:line"},
		{"too long at the end", "123456", 5, nil, "limit:line"},
		{"longer than the buffer", long + "\n" + long, 10_000, []string{long + "\n", long + "\n"}, "done"},
		{"longer than buffer and bound", long + "\n", 9_999, nil, "limit:line"},
		{"not UTF-8", "\xff\x00\n", 10, []string{"\xff\x00\n"}, "done"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			err := eachLine(strings.NewReader(test.in), test.max, func(line []byte) { got = append(got, string(line)) })
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) || reason.Of(err, "") != test.reason {
				t.Errorf("got %.40q, %v; want %.40q and %s", got, err, test.want, test.reason)
			}
		})
	}
}

func TestALineThatWasCutIsNotPassedOn(t *testing.T) {
	for _, cause := range []error{tlsserver.ErrTruncated, net.ErrClosed} {
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "whole\npay bob 1")
			w.CloseWithError(cause)
		}()
		var got []string
		err := eachLine(r, 100, func(line []byte) { got = append(got, string(line)) })
		if len(got) != 1 || got[0] != "whole\n" || err != cause {
			t.Errorf("got %q, %v; want the whole line only, and %v", got, err, cause)
		}
	}
}
