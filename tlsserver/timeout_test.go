package tlsserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
)

func TestAConnectionThatNeverSpeaksIsGoneAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{})
		start := time.Now()
		c := b.listener.dial()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the silent client read %v, want the server's end", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the silent client was put out after %v, want the default of 10s", took)
		}
		if e := <-b.ended; e.Reason != "timeout:hello" {
			t.Errorf("reason %q, want timeout:hello", e.Reason)
		}
		b.close()
	})
}

func TestAConnectionThatDribblesItsHelloIsGoneAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{HandshakeTimeout: 3 * time.Second})
		hello := captureHello(t)
		start := time.Now()
		c := b.listener.dial()
		for i := range hello {
			if _, err := c.Write(hello[i : i+1]); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("a byte a second was taken for %v, want at most the timeout of 3s", took)
		}
		if e := <-b.ended; e.Reason != "timeout:hello" {
			t.Errorf("reason %q, want timeout:hello", e.Reason)
		}
		b.close()
	})
}

func TestAHandshakeThatStallsAfterItsHelloIsGoneAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{})
		c := b.listener.dial()
		go c.Write(captureHello(t))
		start := time.Now()
		io.Copy(io.Discard, c) // takes the server's flight, and answers nothing
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the stalled handshake ended after %v, want 10s", took)
		}
		if e := <-b.ended; e.Reason != "timeout:handshake" {
			t.Errorf("reason %q, want timeout:handshake", e.Reason)
		}
		b.close()
	})
}

func TestTheHandshakeDeadlineDoesNotReachIntoTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{})
		c := tls.Client(b.listener.dial(), b.config())
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		hello := make([]byte, 7)
		io.ReadFull(c, hello)
		time.Sleep(24 * time.Hour)
		go io.WriteString(c, "abc")
		echo := make([]byte, 3)
		if _, err := io.ReadFull(c, echo); err != nil || string(echo) != "abc" {
			t.Errorf("after a silent day: %q, %v; want abc", echo, err)
		}
		c.Close()
		<-b.ended
		b.close()
	})
}

func TestANegativeHandshakeTimeoutIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{HandshakeTimeout: -1})
		nc := b.listener.dial()
		time.Sleep(time.Hour)
		c := tls.Client(nc, b.config())
		if err := c.Handshake(); err != nil {
			t.Errorf("a handshake after an hour: %v", err)
		}
		go io.Copy(io.Discard, c)
		synctest.Wait()
		b.close()
	})
}

func TestSlowHellosNeverKeepGoodClientsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{MaxHellos: 3, MaxHandshakes: 1}})
		var silent []net.Conn
		for range 5 {
			silent = append(silent, b.listener.dial())
		}
		synctest.Wait()
		for i := range 2 { // five wait, three may: the two oldest give way at once
			if e := <-b.ended; e.Reason != "limit:hellos" {
				t.Errorf("silent client %d: reason %q, want limit:hellos", i, e.Reason)
			}
			if _, err := silent[i].Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("silent client %d is not put out: %v", i, err)
			}
		}
		start := time.Now()
		c := tls.Client(b.listener.dial(), b.config()) // the only handshake slot is free: waiting takes none
		if err := c.Handshake(); err != nil {
			t.Fatalf("a good client among silent ones: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the good client waited %v for the silent ones", took)
		}
		go io.Copy(io.Discard, c)
		b.close()
	})
}

// A gatedSource has a certificate when its gate is open: the work of a
// handshake, made as slow as the test wants it.
type gatedSource struct {
	certs.Source
	gate chan struct{}
}

func (g gatedSource) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	<-g.gate
	return g.Source.Certificate(hello)
}

// gate makes the bubble's handshakes wait for the channel that it returns.
func (b *bubble) gate(t *testing.T) chan struct{} {
	t.Helper()
	source, err := b.authority.Source([]string{"localhost"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := gatedSource{source, make(chan struct{})}
	if err := b.SetTrust(&tlsserver.Trust{Source: g}); err != nil {
		t.Fatal(err)
	}
	return g.gate
}

// shake shakes hands in the background, and then reads to the end.
func (b *bubble) shake() <-chan error {
	done := make(chan error, 1)
	go func() {
		c := tls.Client(b.listener.dial(), b.config())
		done <- c.Handshake()
		io.Copy(io.Discard, c)
		c.Close()
	}()
	return done
}

func TestAFullHandshakePoolMakesTheNextOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{MaxHandshakes: 1}})
		gate := b.gate(t)
		first := b.shake()
		synctest.Wait() // the first has the slot
		second := b.shake()
		synctest.Wait()
		time.Sleep(5 * time.Second)
		gate <- struct{}{} // one certificate: who asks for it holds the slot
		if err := <-first; err != nil {
			t.Errorf("first: %v", err)
		}
		synctest.Wait()
		select {
		case err := <-second:
			t.Errorf("the second has ended (%v), and nobody let it", err)
		default:
		}
		gate <- struct{}{}
		if err := <-second; err != nil {
			t.Errorf("second, after its turn: %v", err)
		}
		b.close()
	})
}

func TestWhoWaitsForAHandshakeSlotIsGoneAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{MaxHandshakes: 1}})
		gate := b.gate(t)
		first := b.shake()
		synctest.Wait()
		second := b.shake()
		time.Sleep(11 * time.Second)
		if e := <-b.ended; e.Reason != "timeout:handshake" {
			t.Errorf("reason %q (%v), want timeout:handshake", e.Reason, e.Err)
		}
		if err := <-second; err == nil {
			t.Error("the second came through without a slot")
		}
		gate <- struct{}{} // the first is past its deadline too
		<-first
		<-b.ended
		third := b.shake()
		gate <- struct{}{}
		if err := <-third; err != nil { // slot and turn were given back
			t.Errorf("after the others are gone: %v", err)
		}
		b.close()
	})
}

func TestPeersThatStallAfterTheirHelloHoldNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{Limits: tlsserver.Limits{MaxHandshakes: 1}})
		for range 5 {
			c := b.listener.dial()
			go func() {
				c.Write(captureHello(t))
				io.Copy(io.Discard, c) // takes the server's flight, and answers nothing
			}()
		}
		synctest.Wait()
		start := time.Now()
		if err := <-b.shake(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a good client waited %v for stalled ones", took)
		}
		b.close()
	})
}

// captureHello is a ClientHello as crypto/tls sends it.
func captureHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	go tls.Client(client, &tls.Config{ServerName: "localhost"}).Handshake()
	buf := make([]byte, 16<<10)
	n, err := server.Read(buf)
	if err != nil {
		t.Error(err)
	}
	server.Close()
	client.Close()
	return buf[:n]
}

func TestTicketKeysChangeEveryTwelveHoursAndTwoOldOnesStillDecrypt(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			name    string
			after   time.Duration
			resumes bool
		}{
			{"at once", time.Minute, true},
			{"one key later", 13 * time.Hour, true},
			{"two keys later", 25 * time.Hour, true},
			{"three keys later", 37 * time.Hour, false},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBubble(t, &tlsserver.Server{})
					config := b.config()
					config.MaxVersion = version
					config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					visitPipe(t, b, config)
					for waited := time.Duration(0); waited < c.after; waited += time.Hour {
						time.Sleep(time.Hour)
						visitPipe(t, b, b.config()) // others come and go, so the keys change on time
					}
					if got := visitPipe(t, b, config); got != c.resumes {
						t.Errorf("resumed %v after %v, want %v", got, c.after, c.resumes)
					}
					b.close()
				})
			})
		}
	}
}

func TestTicketKeysAreGoneAfterALongSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, &tlsserver.Server{})
		config := b.config()
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		visitPipe(t, b, config)
		time.Sleep(36 * time.Hour) // nobody came: the key was not changed, and is too old all the same
		if visitPipe(t, b, config) {
			t.Error("a session of 36 hours ago was resumed, its key should be gone")
		}
		b.close()
	})
}

// visitPipe reads the greeting and ends; it reports whether it was resumed.
func visitPipe(t *testing.T, b *bubble, config *tls.Config) bool {
	t.Helper()
	c := tls.Client(b.listener.dialBuffered(), config)
	if err := c.Handshake(); err != nil {
		t.Fatalf("%v; the server says: %v", err, (<-b.ended).Err)
	}
	hello := make([]byte, 7)
	if _, err := io.ReadFull(c, hello); err != nil { // with TLS 1.3 the ticket comes before it
		t.Fatal(err)
	}
	c.Close()
	<-b.ended
	return c.ConnectionState().DidResume
}

func TestAClientsCertificateExpiresForResumedSessionsToo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, &tlsserver.Server{})
			source, err := b.authority.Source([]string{"localhost"}, 90*24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.SetTrust(&tlsserver.Trust{Source: source, ClientCAs: b.authority.Pool()}); err != nil {
				t.Fatal(err)
			}
			config := withClient(b.config(), issue(t, b.authority, certs.Request{Names: []string{"alice"}, Client: true, For: time.Hour}))
			config.MaxVersion = version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			visitPipe(t, b, config)
			if !visitPipe(t, b, config) {
				t.Error("the second visit was not resumed")
			}
			time.Sleep(2 * time.Hour)
			c := tls.Client(b.listener.dialBuffered(), config)
			_, err = c.Read(make([]byte, 1))
			if alertOf(err) != "expired certificate" {
				t.Errorf("%s: an expired client: %v, want the alert expired certificate", tls.VersionName(version), err)
			}
			c.Close()
			if e := <-b.ended; e.Reason != "expired" {
				t.Errorf("%s: reason %q (%v), want expired", tls.VersionName(version), e.Reason, e.Err)
			}
			b.close()
		})
	}
}
