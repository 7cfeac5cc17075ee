package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// soon bounds what should come at once.
const soon = 20 * time.Second

// says is a plain target that says its name, and then listens to the end.
func says(t *testing.T, name string) *tlstest.Server {
	t.Helper()
	s := tlstest.NewUnstartedServer(t, service.Greet(name, service.Discard()))
	s.StartPlain()
	return s
}

// closedPort is a port of 127.0.0.1 that nobody listens on while the test runs:
// a connection of our own goes out from it.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// tunnel is a plain tunnel to targets; its events come from the channel.
func tunnel(t *testing.T, targets *service.Targets) (*tlstest.Server, <-chan service.TargetEvent) {
	t.Helper()
	events := make(chan service.TargetEvent, 100)
	targets.Observe = func(e service.TargetEvent) {
		if _, ok := e.(service.TargetDialled); !ok { // that is for who counts them
			events <- e
		}
	}
	s := tlstest.NewUnstartedServer(t, &service.Forward{Targets: targets})
	s.StartPlain()
	return s, events
}

// through is what a target says to a client that sends nothing; it waits for
// the tunnel's end of the connection.
func through(t *testing.T, s *tlstest.Server) (string, tlsserver.Ended) {
	t.Helper()
	c := s.Dial(&tlsclient.Dialer{})
	c.SetDeadline(time.Now().Add(soon))
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v, want a clean end", got, err)
	}
	return string(got), s.WaitEnded()
}

func wantThrough(t *testing.T, s *tlstest.Server, want ...string) {
	t.Helper()
	for i, name := range want {
		if got, e := through(t, s); got != name || e.Reason != tlsserver.ReasonDone {
			t.Errorf("client %d: %q, reason %s (%v); want %q", i+1, got, e.Reason, e.Err, name)
		}
	}
}

func nextEvent(t *testing.T, events <-chan service.TargetEvent) service.TargetEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(soon):
		t.Fatal("nothing is told of the targets")
		return nil
	}
}

// Nothing reaches a target but what clients want of it: no check, and no client
// that has not shaken hands.
func TestATargetIsDialledAfterTheHandshakeOnceAClient(t *testing.T) {
	var dialled atomic.Int32
	target := tlstest.NewUnstartedServer(t, service.Greet("x", service.Discard()))
	target.Config.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if _, ok := e.(tlsserver.Opened); ok {
			dialled.Add(1)
		}
	})
	target.StartPlain()
	targets := service.NewTargets(target.Endpoint)
	running(t, targets)
	front := tlstest.NewServer(t, &service.Forward{Targets: targets})
	for range 3 {
		silent, err := net.Dial("tcp", front.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	for range 2 {
		c := front.Dial(front.Dialer())
		c.SetDeadline(time.Now().Add(soon))
		io.WriteString(c, "abc")
		c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "x" || err != nil {
			t.Errorf("a client read %q, %v", got, err)
		}
		if e := target.WaitEnded(); e.Conn.BytesRead() != 3 {
			t.Errorf("the target was visited by somebody who said %d bytes, %v", e.Conn.BytesRead(), e.Err)
		}
	}
	front.Config.Close()
	if n := dialled.Load(); n != 2 {
		t.Errorf("the target was dialled %d times for 2 clients", n)
	}
}

func TestConnectionsGoToTheTargetsInTurn(t *testing.T) {
	s, _ := tunnel(t, service.NewTargets(says(t, "a").Endpoint, says(t, "b").Endpoint, says(t, "c").Endpoint))
	wantThrough(t, s, "a", "b", "c", "a", "b", "c")
}

func TestFirstGoesToTheFirst(t *testing.T) {
	targets := service.NewTargets(says(t, "a").Endpoint, says(t, "b").Endpoint)
	targets.Balance = service.First
	s, _ := tunnel(t, targets)
	wantThrough(t, s, "a", "a", "a")
}

// holds opens a connection that stays until it is closed, and says which target
// it has.
func holds(t *testing.T, s *tlstest.Server) (*tlsclient.Conn, string) {
	t.Helper()
	c := s.Dial(&tlsclient.Dialer{})
	c.SetDeadline(time.Now().Add(soon))
	name := make([]byte, 1)
	if _, err := io.ReadFull(c, name); err != nil {
		t.Fatal(err)
	}
	return c, string(name)
}

func TestLeastGoesToTheTargetWithTheFewestConnections(t *testing.T) {
	targets := service.NewTargets(says(t, "a").Endpoint, says(t, "b").Endpoint)
	targets.Balance = service.Least
	s, _ := tunnel(t, targets)
	held := make(map[string]*tlsclient.Conn)
	for range 2 {
		c, name := holds(t, s)
		held[name] = c
	}
	if len(held) != 2 {
		t.Fatal("both went to one")
	}
	for range 3 { // each end is counted, once
		for _, free := range []string{"b", "a"} {
			held[free].Close()
			s.WaitEnded()
			c, name := holds(t, s)
			if name != free {
				t.Fatalf("went to %s, and %s has fewer", name, free)
			}
			held[free] = c
		}
	}
}

func TestAClientWhoseTargetFailsGetsTheNext(t *testing.T) {
	dead := "tcp://" + closedPort(t)
	s, events := tunnel(t, service.NewTargets(dead, says(t, "b").Endpoint))
	wantThrough(t, s, "b", "b", "b")
	if failed, ok := nextEvent(t, events).(service.TargetFailed); !ok || failed.Endpoint != dead || failed.Err == nil {
		t.Errorf("told of %v, want that %s fails", failed, dead)
	}
	if len(events) != 0 {
		t.Errorf("told of %v too", <-events)
	}
}

func TestAClientThatNoTargetTakesIsToldByACleanClose(t *testing.T) {
	one, two := "tcp://"+closedPort(t), "tcp://"+closedPort(t)
	s, _ := tunnel(t, service.NewTargets(one, two))
	for range 3 { // the last is never left out
		got, e := through(t, s)
		if got != "" || e.Reason != "target:failed" {
			t.Errorf("%q, reason %s; want nothing, and target:failed", got, e.Reason)
		}
		for _, tried := range []string{one, two} {
			if strings.Count(e.Err.Error(), "connect to "+tried+": ") != 1 {
				t.Errorf("%v: %s is not named once", e.Err, tried)
			}
		}
	}
}

func TestAHandshakeThatFailsTakesATargetOut(t *testing.T) {
	foreign, good := tlstest.NewServer(t, service.Greet("a", nil)), tlstest.NewServer(t, service.Greet("b", service.Discard()))
	targets := service.NewTargets(foreign.Endpoint, good.Endpoint)
	targets.SetDialer(good.Dialer())
	s, events := tunnel(t, targets)
	wantThrough(t, s, "b", "b")
	if failed, ok := nextEvent(t, events).(service.TargetFailed); !ok || failed.Endpoint != foreign.Endpoint {
		t.Errorf("told of %v", failed)
	}
}

func TestATargetThatHangsGivesWayToTheNextAfterItsTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody shakes hands there
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	good := tlstest.NewServer(t, service.Greet("b", service.Discard()))
	targets := service.NewTargets("tcps://"+l.Addr().String(), good.Endpoint)
	dialer := good.Dialer()
	dialer.Timeout = time.Second // the good one must not need it
	targets.SetDialer(dialer)
	s, events := tunnel(t, targets)
	wantThrough(t, s, "b")
	failed, ok := nextEvent(t, events).(service.TargetFailed)
	if why, is := errors.AsType[*tlsclient.Error](failed.Err); !ok || !is || why.Reason != "timeout:handshake" {
		t.Errorf("told of %v, want timeout:handshake", failed)
	}
}

// The certificate that a target is refused for is not the client's.
func TestATargetsCertificateIsNotTakenForTheClients(t *testing.T) {
	foreign := tlstest.NewServer(t, service.Greet("a", nil))
	s, _ := tunnel(t, service.NewTargets(foreign.Endpoint))
	_, e := through(t, s)
	if e.Reason != "target:untrusted" || e.Certificate() != nil {
		t.Errorf("reason %s, certificate %v; want target:untrusted and none", e.Reason, e.Certificate())
	}
}

func TestSessionsAreResumedPerTargetAndNotAcrossDialers(t *testing.T) {
	var servers []*tlstest.Server
	first := tlstest.NewUnstartedServer(t, service.Greet("x", service.Discard()))
	for range 2 { // one certificate, keys for tickets of their own
		s := tlstest.NewUnstartedServer(t, service.Greet("x", service.Discard()))
		s.Trust, s.Authority = first.Trust, first.Authority
		s.Start()
		servers = append(servers, s)
	}
	targets := service.NewTargets(servers[0].Endpoint, servers[1].Endpoint)
	targets.SetDialer(first.Dialer())
	s, _ := tunnel(t, targets)
	want := func(resumed bool) {
		t.Helper()
		for i, server := range servers {
			wantThrough(t, s, "x")
			if cs := server.WaitEnded().Conn.TLS(); cs == nil || cs.DidResume != resumed {
				t.Errorf("target %d: %+v, want resumed %v", i+1, cs, resumed)
			}
		}
	}
	want(false)
	want(true)
	want(true)
	targets.SetDialer(first.Dialer())
	want(false)
	want(true)
}

// running runs the checks until the test ends.
func running(t *testing.T, targets *service.Targets) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { targets.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestAFailingCheckTakesATargetOutBeforeAnyClient(t *testing.T) {
	noTLS := says(t, "220 no TLS\r\n")
	good := tlstest.NewServer(t, service.Greet("b", service.Discard()))
	for check, failing := range map[service.Check]string{
		service.CheckTCP: "tcps://" + closedPort(t),
		service.CheckTLS: "tcps://" + noTLS.Addr,
	} {
		targets := service.NewTargets(failing, good.Endpoint)
		targets.Check, targets.CheckEvery = check, time.Hour
		targets.SetDialer(good.Dialer())
		s, events := tunnel(t, targets)
		running(t, targets)
		if failed, ok := nextEvent(t, events).(service.TargetFailed); !ok || failed.Endpoint != failing {
			t.Errorf("told of %v", failed)
		}
		wantThrough(t, s, "b")
	}
}

func TestAGoodCheckPutsATargetBack(t *testing.T) {
	dir, err := os.MkdirTemp("", "target")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	targets := service.NewTargets("unix://"+path, says(t, "b").Endpoint)
	targets.Balance, targets.Check, targets.CheckEvery = service.First, service.CheckTCP, 10*time.Millisecond
	s, events := tunnel(t, targets)
	running(t, targets)
	if _, ok := nextEvent(t, events).(service.TargetFailed); !ok {
		t.Fatal("a dead target is not told of")
	}
	back := &tlsserver.Server{Handler: service.Greet("a", service.Discard())}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- back.ServePlain(context.Background(), l) }()
	defer func() { back.Close(); <-served }()
	if e, ok := nextEvent(t, events).(service.TargetBack); !ok || e.Endpoint != "unix://"+path || e.After <= 0 {
		t.Fatalf("told of %v, want that it is back", e)
	}
	wantThrough(t, s, "a", "a")
}

// A server that is closed while a target is dialled has ended, not the target.
func TestTheEndOfTheServerIsNotTheTargetsFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody shakes hands there
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, events := tunnel(t, service.NewTargets("tcps://"+l.Addr().String()))
	s.Dial(&tlsclient.Dialer{})
	reached, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close()
	s.Config.Close()
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonShutdown || !errors.Is(e.Err, context.Canceled) {
		t.Errorf("reason %s (%v), want shutdown", e.Reason, e.Err)
	}
	if len(events) > 0 {
		t.Errorf("told of %v", <-events)
	}
}
