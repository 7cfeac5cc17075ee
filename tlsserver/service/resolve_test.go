package service_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// A names is a resolver whose answer can be changed; it counts the questions.
type names struct {
	mu    sync.Mutex
	addr  string // empty: no such host; guarded by mu
	asked int    // guarded by mu
}

func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.addr == "" || host != "db.test" || network != "ip" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(n.addr)}, nil
}

func (n *names) set(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = addr
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// saysOn is says on an address and port; it ends when stop is called.
func saysOn(t *testing.T, address, name string) (port string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("listen on %s: %v", address, err)
	}
	s := &tlsserver.Server{Handler: service.Greet(name, service.Discard())}
	served := make(chan error, 1)
	go func() { served <- s.ServePlain(context.Background(), l) }()
	stop = sync.OnceFunc(func() { s.Close(); <-served })
	t.Cleanup(stop)
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, stop
}

func TestANameIsResolvedOnceInAWhileAndAfterAFailedDial(t *testing.T) {
	port, stop := saysOn(t, "127.0.0.2:0", "a")
	saysOn(t, "127.0.0.3:"+port, "b")
	resolver := &names{addr: "127.0.0.2"}
	targets := service.NewTargets("tcp://db.test:" + port)
	targets.ResolveEvery = time.Hour
	targets.SetDialer(&tlsclient.Dialer{Resolver: resolver})
	s, events := tunnel(t, targets)
	wantThrough(t, s, "a", "a", "a")
	if asked := resolver.count(); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	resolver.set("127.0.0.3")
	wantThrough(t, s, "a") // what is known still counts
	stop()
	wantThrough(t, s, "b", "b") // the client that finds it dead is not lost
	if asked := resolver.count(); asked != 2 || len(events) > 0 {
		t.Errorf("asked %d times, want twice; %d events", asked, len(events))
	}
}

func TestANameThatNoLongerResolvesKeepsItsAddressesAndIsToldOfOnce(t *testing.T) {
	port, _ := saysOn(t, "127.0.0.2:0", "a")
	resolver := &names{addr: "127.0.0.2"}
	targets := service.NewTargets("tcp://db.test:" + port)
	targets.ResolveEvery = -1 // at each dial
	targets.SetDialer(&tlsclient.Dialer{Resolver: resolver})
	s, events := tunnel(t, targets)
	wantThrough(t, s, "a", "a")
	if asked := resolver.count(); asked != 2 {
		t.Errorf("asked %d times, want at each dial", asked)
	}
	resolver.set("")
	wantThrough(t, s, "a", "a")
	if e, ok := nextEvent(t, events).(service.TargetUnresolved); !ok || e.Host != "db.test" || e.Err == nil {
		t.Errorf("told of %v", e)
	}
	if len(events) > 0 {
		t.Errorf("told of %v too", <-events)
	}
}

// A hanging is a resolver that answers its first question only.
type hanging struct {
	names
	once sync.Once
}

func (h *hanging) LookupNetIP(ctx context.Context, network, host string) (addrs []netip.Addr, err error) {
	err = context.DeadlineExceeded
	h.once.Do(func() { addrs, err = h.names.LookupNetIP(ctx, network, host) })
	if err != nil {
		<-ctx.Done()
	}
	return addrs, err
}

func TestAResolverThatHangsLeavesTimeForTheLastAddresses(t *testing.T) {
	port, _ := saysOn(t, "127.0.0.2:0", "a")
	targets := service.NewTargets("tcp://db.test:" + port)
	targets.ResolveEvery = -1 // at each dial
	targets.SetDialer(&tlsclient.Dialer{Resolver: &hanging{names: names{addr: "127.0.0.2"}}, Timeout: time.Second})
	s, _ := tunnel(t, targets)
	wantThrough(t, s, "a", "a")
}

func TestANameThatNeverResolvedIsTheTargetsFailure(t *testing.T) {
	targets := service.NewTargets("tcp://db.test:1")
	targets.SetDialer(&tlsclient.Dialer{Resolver: new(names)})
	s, _ := tunnel(t, targets)
	if _, e := through(t, s); e.Reason != "target:failed" || !strings.Contains(e.Err.Error(), "no such host") {
		t.Errorf("reason %s (%v)", e.Reason, e.Err)
	}
}
