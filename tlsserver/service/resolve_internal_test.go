package service

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A slowResolver answers after a time that can be changed, each time with the
// next address.
type slowResolver struct {
	takes time.Duration
	asked byte
}

func (r *slowResolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	r.asked++
	addr := netip.AddrFrom4([4]byte{10, 0, 0, r.asked})
	select {
	case <-time.After(r.takes):
		return []netip.Addr{addr}, nil
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "timed out", Name: host, IsTimeout: true}
	}
}

func cacheOf(r *slowResolver) (c *cache, kept *int) {
	kept = new(int)
	c = &cache{
		hosts:  make(map[question]*answer),
		period: func() time.Duration { return 30 * time.Second },
		kept:   func(string, error) { *kept++ },
	}
	c.resolveWith(r)
	return c, kept
}

func wantAddr(t *testing.T, c *cache, want byte) {
	t.Helper()
	addrs, err := c.LookupNetIP(t.Context(), "ip", "db.test")
	if err != nil || len(addrs) != 1 || addrs[0].As4()[3] != want {
		t.Fatalf("%v, %v; want 10.0.0.%d", addrs, err, want)
	}
}

func TestAddressesAreLookedUpAnewAfterTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := cacheOf(&slowResolver{})
		wantAddr(t, c, 1)
		time.Sleep(30*time.Second - time.Nanosecond)
		wantAddr(t, c, 1)
		time.Sleep(time.Nanosecond)
		wantAddr(t, c, 2)
	})
}

func TestAResolverThatHangsHoldsUpOneClientForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slowResolver{}
		c, kept := cacheOf(r)
		wantAddr(t, c, 1)
		time.Sleep(time.Minute)
		r.takes = time.Hour
		done := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			c.LookupNetIP(t.Context(), "ip", "db.test")
			done <- time.Since(start)
		}()
		synctest.Wait()
		wantAddr(t, c, 1) // the others go on at once
		if time.Since(start) != 0 {
			t.Error("another client waits too")
		}
		if took := <-done; took != renewPatience {
			t.Errorf("the one that asks waits %v, want %v", took, renewPatience)
		}
		wantAddr(t, c, 1)
		if r.asked != 2 || *kept != 1 {
			t.Errorf("asked %d times, told %d times; want 2 and 1", r.asked, *kept)
		}
		time.Sleep(time.Minute)
		r.takes = 0
		wantAddr(t, c, 3)
	})
}
