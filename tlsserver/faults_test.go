package tlsserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

type panickingSource struct{}

func (panickingSource) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	panic("the source's fault")
}

func TestAPanicInTheHandshakeEndsItsOwnConnectionOnly(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Trust.ClientAuth = tlsserver.ClientAuthOptional
	s.Trust.Policy = &tlsserver.Policy{Check: func(id *tlsserver.Identity) error {
		_ = id.CommonName // nil for a client without a certificate
		return nil
	}}
	s.Start()
	other := s.Dial(s.DialerAs("alice"))
	if _, err := enter(s, clientConfig(s, 0)); err == nil {
		t.Error("a client got in past a policy that panicked")
	}
	if e := wantReason(t, s, tlsserver.ReasonFailed); !strings.Contains(e.Err.Error(), "nil pointer") {
		t.Errorf("the error is %v", e.Err)
	}
	if err := s.Config.SetTrust(&tlsserver.Trust{Source: panickingSource{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := enter(s, clientConfig(s, 0)); err == nil {
		t.Error("a client got in without a certificate to show it")
	}
	if e := wantReason(t, s, tlsserver.ReasonFailed); !strings.Contains(e.Err.Error(), "the source's fault") {
		t.Errorf("the error is %v", e.Err)
	}
	greeted(t, other)
}

func TestGoexitInAHandlerEndsItsConnection(t *testing.T) {
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(context.Context, *tlsserver.Conn) error {
		runtime.Goexit() // as t.FailNow in a test's handler
		return nil
	}))
	c := s.Dial(s.Dialer())
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the client read %v, want a clean end", err)
	}
	c.Close()
	wantReason(t, s, tlsserver.ReasonFailed)
}

func TestTheHandlersCtxEndsWhenTheConnectionHas(t *testing.T) {
	ended := make(chan error, 2)
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		context.AfterFunc(ctx, func() { ended <- ctx.Err() })
		return nil
	}))
	s.Dial(s.Dialer()).CloseWrite()
	wantReason(t, s, tlsserver.ReasonDone)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ctx.Err() = %v, want context.Canceled", err)
	}
}

// The idiom of every two-way copy: one side closes, the other is to notice.
func TestCloseUnblocksAReadAtOnce(t *testing.T) {
	got := make(chan error, 1)
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		read := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		go c.Close() // lingers, as the client does not end
		err := <-read
		if _, again := c.Read(make([]byte, 1)); !errors.Is(again, net.ErrClosed) {
			err = fmt.Errorf("a read after Close: %w", again)
		}
		got <- err
		return err
	}))
	s.Config.LingerTimeout = time.Hour
	s.Start()
	c := s.Dial(s.Dialer())
	if err := <-got; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ended with %v, want net.ErrClosed", err)
	}
	c.Close()
	wantReason(t, s, tlsserver.ReasonDone)
}

func TestTheWaitOfCloseHasItsOwnDeadline(t *testing.T) {
	stop := make(chan struct{})
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		go func() { // what a Handler may have left behind
			for {
				select {
				case <-stop:
					return
				default:
					c.SetReadDeadline(time.Now().Add(time.Hour))
				}
			}
		}()
		return nil
	}))
	s.Config.LingerTimeout = 50 * time.Millisecond
	s.Start()
	s.Dial(s.Dialer()) // and does not end
	wantReason(t, s, tlsserver.ReasonDone)
	close(stop)
}

func TestServerCloseLeavesAMomentToWhoIsLingering(t *testing.T) {
	const size = 512 << 10
	sent := make(chan struct{})
	s := tlstest.NewUnstartedServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		defer close(sent)
		io.ReadFull(c, make([]byte, 1))
		_, err := c.Write(make([]byte, size))
		return err // with unread input: closing at once would be a reset
	}))
	s.StartPlain()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.(*net.TCPConn).SetReadBuffer(2 * size)
	nc.Write(make([]byte, 100<<10))
	<-sent
	closed := make(chan struct{})
	go func() { s.Config.Close(); close(closed) }()
	if n, err := io.Copy(io.Discard, nc); n != size || err != nil {
		t.Errorf("read %d bytes, %v; want %d and a clean end", n, err, size)
	}
	nc.Close()
	<-closed
}

func TestNamesThatNobodyVouchesForDoNotComeBackByResumption(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := tlstest.NewUnstartedServer(t, greetEcho)
		s.Trust.ClientCAs = s.Authority.Pool()
		s.Start()
		alice := s.ClientCertificate("alice")
		config := withClient(clientConfig(s, version), alice)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if _, err := enter(s, config); err != nil {
			t.Fatal(err)
		}
		wantReason(t, s, "done")
		pinned := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RulePin, certs.Pin(alice.Leaf))}}
		if err := s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, Policy: pinned}); err != nil {
			t.Fatal(err)
		}
		for _, resumed := range []bool{false, true} { // pins hold on resumed sessions
			cs, err := enter(s, config)
			if err != nil || cs.DidResume != resumed {
				t.Fatalf("with the pin alone: %v, want resumed %v", err, resumed)
			}
			if id := wantReason(t, s, "done").Conn.Identity(); id.Verified || id.CommonName != "" {
				t.Errorf("resumed %v: the identity has the name %q, for which nobody vouches now", resumed, id.CommonName)
			}
		}
		other := &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RulePin, strings.Repeat("00", 32))}}
		if err := s.Config.SetTrust(&tlsserver.Trust{Source: s.Trust.Source, Policy: other}); err != nil {
			t.Fatal(err)
		}
		if _, err := enter(s, config); alertOf(err) != "bad certificate" {
			t.Errorf("another pin, resumed: %v, want a refusal", err)
		}
		wantReason(t, s, "policy:allow-pin")
	})
}

// A strangeListener cannot be a key of a map, and fails as it is told first.
type strangeListener struct {
	*pipeListener
	fail []error
	next *int
}

func (l strangeListener) Accept() (net.Conn, error) {
	if i := *l.next; i < len(l.fail) {
		*l.next++
		return nil, l.fail[i]
	}
	return l.pipeListener.Accept()
}

func TestAcceptErrorsThatPassAreWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opErr := func(errno syscall.Errno) error { return &net.OpError{Op: "accept", Net: "tcp", Err: errno} }
		l := strangeListener{newPipeListener(), []error{
			opErr(syscall.ENFILE), opErr(syscall.ECONNABORTED), opErr(syscall.EMFILE),
			opErr(syscall.ENOBUFS), opErr(syscall.ENOMEM), opErr(syscall.EPROTO),
		}, new(int)}
		var delays []time.Duration
		s := &tlsserver.Server{Handler: greetEcho, Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
			if e, ok := e.(tlsserver.AcceptFailed); ok {
				delays = append(delays, e.Delay)
			}
		})}
		served := make(chan error, 1)
		start := time.Now()
		go func() { served <- s.ServePlain(context.Background(), l) }()
		c := l.dial()
		if took, want := time.Since(start), (5+10+20+40+80+160)*time.Millisecond; took != want {
			t.Errorf("the connection after six errors was taken after %v, want %v", took, want)
		}
		hello := make([]byte, 7)
		if _, err := io.ReadFull(c, hello); err != nil || !bytes.Equal(hello, []byte("hello\r\n")) {
			t.Errorf("greeted with %q, %v", hello, err)
		}
		c.Close()
		s.Close()
		if err := <-served; !errors.Is(err, tlsserver.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if len(delays) != 6 {
			t.Errorf("the observer heard of %v", delays)
		}
	})
}

func TestAnAcceptErrorThatDoesNotPassEndsServe(t *testing.T) {
	l := strangeListener{newPipeListener(), []error{errors.New("the device is gone")}, new(int)}
	err := (&tlsserver.Server{Handler: greetEcho}).ServePlain(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), "the device is gone") {
		t.Errorf("Serve: %v, want the listener's error", err)
	}
}

func TestTheObserverHearsEachConnectionFromItsBeginToItsEnd(t *testing.T) {
	heard := make(chan string, 10)
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		switch e := e.(type) {
		case tlsserver.Opened:
			heard <- "opened"
		case tlsserver.Established:
			heard <- "established " + e.Conn.ID()
		case tlsserver.Ended:
			heard <- "ended " + string(e.Reason)
		case tlsserver.TrustChanged:
			heard <- "trust"
		}
	})
	s.Start()
	c := s.Dial(s.Dialer())
	greeted(t, c)
	for _, want := range []string{"trust", "opened", "established " + c.ID(), "ended done"} {
		if got := <-heard; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

// Package context would keep a goroutine waiting for each such func otherwise.
func TestTheHandlersCtxCallsFuncsAfterItsEnd(t *testing.T) {
	called, stopped := make(chan bool, 1), make(chan bool, 4)
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		before := runtime.NumGoroutine()
		stop := context.AfterFunc(ctx, func() { t.Error("a func was called that had been stopped") })
		context.AfterFunc(ctx, func() { called <- ctx.Err() != nil })
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		stopped <- runtime.NumGoroutine() <= before
		stopped <- stop()
		stopped <- !stop()
		c.Read(make([]byte, 1))
		<-child.Done()
		return nil
	}))
	s.Dial(s.Dialer())
	for _, what := range []string{"no goroutine waits", "the func is stopped", "but once"} {
		if !<-stopped {
			t.Errorf("want that %s", what)
		}
	}
	s.Config.Close()
	if !<-called {
		t.Error("ctx had not ended when the func was called")
	}
}
