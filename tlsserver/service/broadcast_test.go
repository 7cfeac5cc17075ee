package service_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// A member is a client of a room.
type member struct {
	halfConn
	name  string
	lines *bufio.Reader
}

// A patient reader bounds each wait, and not the whole of what a crowd hears: that
// is most of a minute's work for one processor.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	p.SetDeadline(time.Now().Add(2 * time.Minute)) // writes wait for what others read
	return p.Conn.Read(b)
}

func joined(t *testing.T, c net.Conn) *member {
	t.Helper()
	m := &member{c.(halfConn), "", bufio.NewReader(patient{c})}
	welcome, err := m.lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	m.name = strings.TrimSuffix(strings.TrimPrefix(welcome, "Welcome "), "\n")
	if welcome != "Welcome "+m.name+"\n" {
		t.Fatalf("welcomed with %q", welcome)
	}
	return m
}

func (m *member) say(text string) { io.WriteString(m, text) }

func (m *member) want(t *testing.T, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(m.lines, got); string(got) != text {
		t.Fatalf("%s got %q, %v; want %q", m.name, got[:n], err, text)
	}
}

// wantEnd checks that nothing more comes but a clean end.
func (m *member) wantEnd(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(m.lines); len(rest) > 0 || err != nil {
		t.Errorf("%s got %q, %v; want a clean end", m.name, rest, err)
	}
}

// inEachRoom runs a test in a room over TLS, plain TCP and a Unix socket.
func inEachRoom(t *testing.T, make func() *service.Broadcast, f func(t *testing.T, enter func() *member)) {
	t.Run("tls", func(t *testing.T) {
		s := tlstest.NewServer(t, make())
		f(t, func() *member {
			c, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return joined(t, c)
		})
	})
	t.Run("plain", func(t *testing.T) {
		s := tlstest.NewUnstartedServer(t, make())
		s.StartPlain()
		f(t, func() *member { return enterPlain(t, "tcp", s.Addr) })
	})
	t.Run("unix", func(t *testing.T) {
		s := &tlsserver.Server{Handler: make()}
		l, err := tlsserver.Listen(t.Context(), "unix://"+t.TempDir()+"/s")
		if err != nil {
			t.Fatal(err)
		}
		served := goServe(s, l)
		t.Cleanup(func() { s.Close(); <-served })
		f(t, func() *member { return enterPlain(t, "unix", l.Addr().String()) })
	})
}

func goServe(s *tlsserver.Server, l net.Listener) <-chan error {
	served := make(chan error, 1)
	go func() { served <- s.ServePlain(context.Background(), l) }()
	return served
}

func enterPlain(t *testing.T, network, address string) *member {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return joined(t, c)
}

func TestARoomSpeaksTheOriginalsTexts(t *testing.T) {
	inEachRoom(t, func() *service.Broadcast { return new(service.Broadcast) }, func(t *testing.T, enter func() *member) {
		a := enter()
		b := enter()
		a.want(t, b.name+" joined the chat\n")
		c := enter()
		a.want(t, c.name+" joined the chat\n")
		b.want(t, c.name+" joined the chat\n")
		if local := a.LocalAddr(); local.Network() == "tcp" && a.name != local.String() {
			t.Errorf("%s is called %s", local, a.name)
		} else if local.Network() == "unix" && a.name+b.name+c.name != "unix:1unix:2unix:3" {
			t.Errorf("the members are called %s, %s, %s", a.name, b.name, c.name)
		}
		a.say("hi\nthere\r\n\xff\n")
		said := a.name + "> hi\n" + a.name + "> there\r\n" + a.name + "> \xff\n"
		b.want(t, said)
		b.say("\n")
		c.want(t, said+b.name+"> \n")
		b.say("last") // the sender does not get its own line, and the last one needs no newline
		b.CloseWrite()
		a.want(t, b.name+"> \n"+b.name+"> last\n"+b.name+" left the chat.\n")
		c.want(t, b.name+"> last\n"+b.name+" left the chat.\n")
		b.wantEnd(t)
		c.CloseWrite()
		a.want(t, c.name+" left the chat.\n")
		a.CloseWrite()
		a.wantEnd(t)
	})
}

func TestChunksArePassedOnAsTheyAre(t *testing.T) {
	inEachRoom(t, func() *service.Broadcast { return &service.Broadcast{Chunks: true} }, func(t *testing.T, enter func() *member) {
		a, b := enter(), enter()
		a.want(t, b.name+" joined the chat\n")
		b.say("x")
		a.want(t, b.name+"> x")
		b.say("y\nz\r\n")
		a.want(t, b.name+"> y\nz\r\n")
	})
}

func TestAMemberThatIsResetIsToldOfOnceAndItsCutLineIsNot(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, new(service.Broadcast))
	s.StartPlain()
	a, b := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	b.say("whole\ncut")
	a.want(t, b.name+" joined the chat\n"+b.name+"> whole\n")
	b.halfConn.(*net.TCPConn).SetLinger(0)
	b.Close()
	a.want(t, b.name+" left the chat.\n")
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonReset {
		t.Errorf("reason %q, want reset", e.Reason)
	}
	a.CloseWrite()
	a.wantEnd(t)
}

func TestATooLongLinePutsItsSenderOut(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{MaxLineBytes: 5})
	s.StartPlain()
	a, b := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	b.say("12345\n123456\n")
	a.want(t, b.name+" joined the chat\n"+b.name+"> 12345\n"+b.name+" left the chat.\n")
	b.wantEnd(t)
	b.Close()
	if e := s.WaitEnded(); e.Reason != "limit:line" {
		t.Errorf("reason %q, want limit:line", e.Reason)
	}
}

func TestWhoIsOneTooManyIsRefusedWithACleanEnd(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{Room: &service.MemoryRoom{MaxMembers: 1}})
	s.StartPlain()
	a := enterPlain(t, "tcp", s.Addr)
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Errorf("the second got %q, %v; want a clean end", got, err)
	}
	c.Close()
	if e := s.WaitEnded(); e.Reason != "limit:room" {
		t.Errorf("reason %q, want limit:room", e.Reason)
	}
	a.CloseWrite()
	a.wantEnd(t) // and was told of nothing
	enterPlain(t, "tcp", s.Addr)
}

func TestHistoryIsTheLastLinesThatWereSaid(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{Room: &service.MemoryRoom{History: 2}})
	s.StartPlain()
	a, b := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	b.say("1\n2\n3\n")
	a.want(t, b.name+" joined the chat\n"+b.name+"> 1\n"+b.name+"> 2\n"+b.name+"> 3\n")
	c := enterPlain(t, "tcp", s.Addr)
	a.say("4\n")
	c.want(t, b.name+"> 2\n"+b.name+"> 3\n"+a.name+"> 4\n")
}

func TestHistoryFitsIntoHalfOfTheQueue(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{QueueBytes: 1000, Room: &service.MemoryRoom{History: 1000}})
	s.StartPlain()
	a, b := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	a.want(t, b.name+" joined the chat\n")
	for i := range 100 {
		b.say(fmt.Sprintf("%03d\n", i))
		a.want(t, fmt.Sprintf("%s> %03d\n", b.name, i))
	}
	c := enterPlain(t, "tcp", s.Addr)
	n := 500 / (len(b.name) + len("> 000\n") + 64)
	for i := 100 - n; i < 100; i++ {
		c.want(t, fmt.Sprintf("%s> %03d\n", b.name, i))
	}
	if n < 3 {
		t.Errorf("only %d lines: too few to show anything", n)
	}
}

func TestNamesAndRightsComeFromCertificates(t *testing.T) {
	mayWrite, err := tlsserver.ParseRule(tlsserver.RuleCN, "al*")
	if err != nil {
		t.Fatal(err)
	}
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{MayWrite: []tlsserver.Rule{mayWrite}})
	s.Trust.ClientCAs, s.Trust.ClientAuth = s.Authority.Pool(), tlsserver.ClientAuthOptional
	s.Start()
	alice := joined(t, s.Dial(s.DialerAs("alice")))
	again := joined(t, s.Dial(s.DialerAs("alice")))
	forger := joined(t, s.Dial(s.DialerAs("bob> hi")))
	nobody := joined(t, s.Dial(s.Dialer()))
	if got := []string{alice.name, again.name, forger.name, nobody.name}; fmt.Sprint(got) != fmt.Sprintf(`[alice alice bob\x3e hi %s]`, nobody.LocalAddr()) {
		t.Errorf("the members are called %q", got)
	}
	nobody.say("one\ntwo\n")
	nobody.want(t, "* you may read only\n")
	forger.say("three\n")
	forger.want(t, nobody.name+" joined the chat\n* you may read only\n")
	again.say("four\n")
	nobody.want(t, "alice> four\n") // and was told only once
	alice.want(t, "alice joined the chat\n"+`bob\x3e hi joined the chat`+"\n"+nobody.name+" joined the chat\nalice> four\n")
}

func TestNamesFromAddressesWhereThatIsWanted(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{NameFrom: service.NameFromAddress})
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	if m := joined(t, s.Dial(s.DialerAs("alice"))); m.name != m.LocalAddr().String() {
		t.Errorf("%s is called %q", m.LocalAddr(), m.name)
	}
}

func TestADrainTellsNobodyAndItsDeadlineEndsAll(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, new(service.Broadcast))
	s.StartPlain()
	a, b := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	a.want(t, b.name+" joined the chat\n")
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- s.Config.Shutdown(ctx) }()
	a.say("still here\n")
	b.want(t, a.name+"> still here\n")
	b.CloseWrite()
	b.wantEnd(t)
	a.want(t, b.name+" left the chat.\n")
	cancel()
	<-drained
	a.wantEnd(t)
}

// heap is what is in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Members that never read hold their queues and no more: with 20 of them, and
// 10 MiB said, that is 20 queues, a longest line for each, and 4 MiB for all else.
func TestMembersThatNeverReadHoldNoMoreThanTheirQueues(t *testing.T) {
	const members, queue, maxLine, rest = 20, 1 << 20, 64 << 10, 4 << 20
	s := tlstest.NewUnstartedServer(t, &service.Broadcast{Slow: service.DropLines, QueueBytes: queue})
	s.StartPlain()
	before := heap()
	for range members {
		enterPlain(t, "tcp", s.Addr)
	}
	reader, sender := enterPlain(t, "tcp", s.Addr), enterPlain(t, "tcp", s.Addr)
	text := strings.Repeat("x", 39) + "\n"
	const lines = (10 << 20) / 40
	var senders sync.WaitGroup
	senders.Go(func() {
		w := bufio.NewWriterSize(sender, 32<<10)
		for range lines {
			w.WriteString(text)
		}
		w.Flush()
	})
	got, most := 0, int64(0)
	for got < lines {
		line, err := reader.lines.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(line), sender.name+"> ") {
			if got++; got%(lines/8) == 0 {
				most = max(most, heap()-before)
			}
		}
	}
	senders.Wait()
	if bound := int64(members*(queue+maxLine) + rest); most > bound {
		t.Errorf("the heap grew by %d bytes, want %d at most", most, bound)
	}
	t.Logf("the heap grew by %d KiB", most>>10)
}
