//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A slowTrial measures the handshakes of an ordinary client, one after another,
// while many connections send their ClientHello a byte a second.
type slowTrial struct {
	program  string
	state    string
	roots    *x509.CertPool
	peers    int
	rounds   int
	visits   int
	worst    float64
	ordinary net.Dialer // from an address of its own: by address it counts apart
}

func slowPeers(ctx context.Context, args []string) error {
	t := slowTrial{ordinary: net.Dialer{LocalAddr: loopback(200_000), Timeout: patience}}
	flags := flag.NewFlagSet("slow-peers", flag.ExitOnError)
	flags.StringVar(&t.program, "tcps", "bin/tcps", "`PROGRAM` to try")
	flags.IntVar(&t.peers, "peers", 2000, "`NUMBER` of slow connections")
	flags.IntVar(&t.rounds, "rounds", 2, "`NUMBER` of times that idle and beset are measured in turn")
	flags.IntVar(&t.visits, "visits", 400, "`NUMBER` of handshakes that are measured each time, 25 a second")
	flags.Float64Var(&t.worst, "worst", 3, "`RATIO` of the medians that is still good")
	flags.Parse(args)
	var err error
	if t.state, err = os.MkdirTemp("", "tcps-slow-peers"); err != nil {
		return err
	}
	defer os.RemoveAll(t.state)
	if t.roots, err = authority(ctx, t.program, t.state); err != nil {
		return err
	}
	for _, c := range []struct {
		name      string
		addresses int
		flags     []string
	}{
		{"from one address", 1, nil},
		{"from one address, counted", 1, []string{"--count-loopback"}},
		{"from as many addresses, counted", t.peers, []string{"--count-loopback"}},
		{"more than there is room for", t.peers, []string{"--max-connections", fmt.Sprint(t.peers / 2)}},
	} {
		if err := t.run(ctx, c.name, c.addresses, c.flags); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// loopback is the nth address of 127.0.0.0/8, the usual one first.
func loopback(n int) *net.TCPAddr {
	n++
	return &net.TCPAddr{IP: net.IPv4(127, byte(n>>16), byte(n>>8), byte(n))}
}

// run measures with a server of its own.
func (t *slowTrial) run(ctx context.Context, name string, addresses int, flags []string) error {
	s, err := startServer(t.program, append([]string{"--state", t.state}, append(flags, "echo")...)...)
	if err != nil {
		return err
	}
	defer s.stop()
	var idle, beset []time.Duration
	for range t.rounds {
		if err := t.measure(ctx, s.addr, &idle); err != nil {
			return err
		}
		if err := t.besiege(ctx, s, addresses, &beset); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ratio := float64(at(beset, 50)) / float64(at(idle, 50))
	fmt.Printf("%d slow peers, %s:\n", t.peers, name)
	for _, m := range []struct {
		when  string
		times []time.Duration
	}{{"idle", idle}, {"beset", beset}} {
		fmt.Printf("  %-6s %d handshakes: median %v, 90 %% within %v, 99 %% within %v, all within %v\n", m.when, len(m.times),
			at(m.times, 50), at(m.times, 90), at(m.times, 99), at(m.times, 100))
	}
	fmt.Printf("  ratio of the medians %.2f; the server's reasons: %v\n", ratio, s.reasons)
	if ratio > t.worst {
		return fmt.Errorf("an ordinary handshake takes %.2f times as long, want %.2f at most", ratio, t.worst)
	}
	return nil
}

// besiege measures while all the slow peers are there.
func (t *slowTrial) besiege(ctx context.Context, s *server, addresses int, times *[]time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	var drippers sync.WaitGroup
	defer drippers.Wait()
	defer cancel()
	hello, err := clientHello()
	if err != nil {
		return err
	}
	var come atomic.Int64
	all := make(chan struct{})
	for i := range t.peers {
		d := &dripper{addr: s.addr, from: loopback(i % addresses), hello: hello, come: func() {
			if come.Add(1) == int64(t.peers) {
				close(all)
			}
		}}
		drippers.Go(func() { d.run(ctx) })
	}
	select {
	case <-all:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("only %d of %d slow peers have connected after %v", come.Load(), t.peers, patience)
	}
	return t.measure(ctx, s.addr, times)
}

// measure makes full handshakes, each proved by a byte that comes back: 25 a
// second, so that what is measured is no queue of their own.
func (t *slowTrial) measure(ctx context.Context, addr string, times *[]time.Duration) error {
	for range t.visits {
		begun := time.Now()
		raw, err := t.ordinary.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		raw.SetDeadline(begun.Add(patience))
		c := tls.Client(raw, &tls.Config{RootCAs: t.roots, ServerName: "localhost"})
		if err := c.Handshake(); err != nil {
			return fmt.Errorf("an ordinary client: %w", err)
		}
		if _, err := c.Write([]byte{1}); err != nil {
			return fmt.Errorf("an ordinary client: %w", err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return fmt.Errorf("an ordinary client: %w", err)
		}
		took := time.Since(begun)
		c.Close()
		*times = append(*times, took)
		if !pause(ctx, time.Second/25) {
			return ctx.Err()
		}
	}
	return nil
}

// at is a percentile.
func at(times []time.Duration, percent int) time.Duration {
	slices.Sort(times)
	return times[max(0, (len(times)*percent+99)/100-1)].Round(time.Microsecond)
}

// A dripper sends its hello a byte a second, and comes again when it is put out.
type dripper struct {
	addr  string
	from  net.Addr
	hello []byte
	come  func() // called once, when it is connected
}

func (d *dripper) run(ctx context.Context) {
	dial := net.Dialer{LocalAddr: d.from, Timeout: patience}
	come := sync.OnceFunc(d.come)
	for ctx.Err() == nil {
		c, err := dial.DialContext(ctx, "tcp", d.addr)
		if err == nil {
			come()
			d.drip(ctx, c)
		} else {
			pause(ctx, time.Second/10)
		}
	}
}

func (d *dripper) drip(ctx context.Context, c net.Conn) {
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0) // else the ports of the machine run short
	for _, b := range d.hello {
		if _, err := c.Write([]byte{b}); err != nil || !pause(ctx, time.Second) {
			return
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clientHello is what a client of crypto/tls says first.
func clientHello() ([]byte, error) {
	client, server := net.Pipe()
	defer server.Close()
	go tls.Client(client, &tls.Config{ServerName: "localhost"}).Handshake()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	return b[:n], err
}
