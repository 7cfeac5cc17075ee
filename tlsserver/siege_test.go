package tlsserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/tlsserver"
)

// Two thousand clients that send their hello a byte a second hold up nobody, and
// are gone at their deadline; where there is not room for all of them the oldest
// are gone at once. "make slow-peers" measures the same on sockets.
func TestTwoThousandClientsThatDribbleHoldUpNobody(t *testing.T) {
	const peers = 2000
	for _, c := range []struct {
		name   string
		limits tlsserver.Limits
		evicts tlsserver.Reason
		room   int
	}{
		{"room for all", tlsserver.Limits{MaxConns: 2 * peers}, "", peers},
		{"few connections", tlsserver.Limits{MaxConns: peers / 4}, "limit:connections", peers/4 - 1},
		{"few hellos", tlsserver.Limits{MaxConns: 2 * peers, MaxHellos: peers / 4}, "limit:hellos", peers/4 - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, &tlsserver.Server{Limits: c.limits})
				var dribbling sync.WaitGroup
				hello := captureHello(t)
				for range peers {
					client := b.listener.dial()
					dribbling.Go(func() { dribble(client, hello) })
				}
				put := make(map[tlsserver.Reason]int)
				atOnce := max(0, peers-c.room-1) // one more has to go for the ordinary client
				for range atOnce {
					put[(<-b.ended).Reason]++
				}
				time.Sleep(5 * time.Second)
				start := time.Now()
				visitOrdinary(t, b)
				if took := time.Since(start); took != 0 {
					t.Errorf("the ordinary client waited %v", took)
				}
				for range peers + 1 - atOnce {
					put[(<-b.ended).Reason]++
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("the last one was put out %v after its deadline", took-5*time.Second)
				}
				if put["done"] != 1 || put["timeout:hello"] != c.room || put[c.evicts] != peers-c.room {
					t.Errorf("the reasons are %v, want %d timeout:hello, and %d %s", put, c.room, peers-c.room, c.evicts)
				}
				b.close()
				dribbling.Wait()
			})
		})
	}
}

// dribble writes a byte a second until the server has enough.
func dribble(c net.Conn, hello []byte) {
	defer c.Close()
	for i := range hello {
		if _, err := c.Write(hello[i : i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// visitOrdinary is greeted, and ends.
func visitOrdinary(t *testing.T, b *bubble) {
	t.Helper()
	c := tls.Client(b.listener.dial(), b.config())
	if _, err := io.ReadFull(c, make([]byte, len("hello\r\n"))); err != nil {
		t.Fatalf("an ordinary client: %v", err)
	}
	c.Close()
}
