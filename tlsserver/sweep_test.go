package tlsserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"tcps/tlsserver"
)

// endedFor waits for the end of a connection, and checks when and why it came.
func (b *bubble) endedFor(t *testing.T, want tlsserver.Reason, within, start time.Duration) {
	t.Helper()
	e := <-b.ended
	if e.Reason != want || e.Err == nil {
		t.Errorf("the connection ended for %q (%v), want %q", e.Reason, e.Err, want)
	}
	if e.Duration < start || e.Duration > start+within {
		t.Errorf("it ended after %v, want %v to %v", e.Duration, start, start+within)
	}
}

func TestAConnectionOnWhichNobodySpeaksEndsAtTheFirstByteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{FirstByteTimeout: 8 * time.Second}, Handler: silent})
		spoken := tls.Client(b.listener.dial(), b.config())
		spoken.Write([]byte("a"))
		c := tls.Client(b.listener.dial(), b.config())
		c.Handshake()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client read %v, want a close_notify", err)
		}
		b.endedFor(t, "timeout:first-byte", 2*time.Second, 8*time.Second)
		time.Sleep(time.Hour)
		spoken.Close()
		if e := <-b.ended; e.Reason != tlsserver.ReasonDone {
			t.Errorf("who has spoken ended for %q", e.Reason)
		}
		b.close()
	})
}

// silent reads, and says nothing.
var silent = tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
})

func TestAnIdleConnectionEndsAtTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{IdleTimeout: 20 * time.Second}})
		c := tls.Client(b.listener.dial(), b.config())
		io.ReadFull(c, make([]byte, len("hello\r\n")))
		for range 10 {
			time.Sleep(18 * time.Second)
			if err := echoed(c); err != nil {
				t.Fatalf("a connection that says something every 18 seconds: %v", err)
			}
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client read %v, want a close_notify", err)
		}
		b.endedFor(t, "timeout:idle", 2*time.Second, 200*time.Second)
		b.close()
	})
}

func TestAPeerThatTakesNothingEndsAtTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{
			Limits: tlsserver.Limits{WriteTimeout: 10 * time.Second},
			Handler: tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
				_, err := c.Write(make([]byte, 1<<20))
				if err == nil {
					_, err = io.Copy(io.Discard, c)
				}
				return err
			}),
		})
		slow := tls.Client(b.listener.dial(), b.config())
		slow.Handshake()
		for range 64 { // a record every nine seconds
			time.Sleep(9 * time.Second)
			if _, err := io.ReadFull(slow, make([]byte, 16<<10)); err != nil {
				t.Fatalf("a client that takes something every nine seconds: %v", err)
			}
		}
		time.Sleep(time.Hour) // all was taken: nothing waits
		slow.Close()
		if e := <-b.ended; e.Reason != tlsserver.ReasonDone {
			t.Errorf("who has taken everything ended for %q (%v)", e.Reason, e.Err)
		}
		tls.Client(b.listener.dial(), b.config()).Handshake()
		b.endedFor(t, "timeout:write", 2*time.Second, 10*time.Second)
		b.close()
	})
}

func TestAConnectionEndsAtItsMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{MaxAge: time.Minute}})
		c := tls.Client(b.listener.dial(), b.config())
		io.ReadFull(c, make([]byte, len("hello\r\n")))
		for echoed(c) == nil {
			time.Sleep(time.Second)
		}
		b.endedFor(t, "timeout:age", 2*time.Second, time.Minute)
		b.close()
	})
}

func TestWithoutTimeLimitsASilentConnectionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Handler: silent})
		c := tls.Client(b.listener.dial(), b.config())
		c.Handshake()
		time.Sleep(1000 * time.Hour)
		c.Close()
		if e := <-b.ended; e.Reason != tlsserver.ReasonDone {
			t.Errorf("a connection that was silent for a thousand hours ended for %q", e.Reason)
		}
		b.close()
	})
}

// The limits hold for what other servers were given too.
func TestTimeLimitsHoldBehindListener(t *testing.T) {
	s := newLimited(t, tlsserver.Limits{IdleTimeout: 300 * time.Millisecond})
	inner := listen(t)
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	ended := make(chan tlsserver.Ended, 1)
	s.Config.Observer = tlsserver.ObserverFunc(func(e tlsserver.Event) {
		if e, ok := e.(tlsserver.Ended); ok {
			ended <- e
		}
	})
	web := &http.Server{Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() { served <- web.Serve(s.Config.Listener(inner)) }()
	s.Addr = inner.Addr().String()
	c := dialTLS(t, s.Server, clientConfig(s.Server, tls.VersionTLS13))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection got a byte")
	}
	if e := <-ended; e.Reason != "timeout:idle" {
		t.Errorf("it ended for %q (%v), want timeout:idle", e.Reason, e.Err)
	}
	web.Close()
	<-served
	s.Config.Close()
}
