package service

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tcps/tlsclient"
)

// renewPatience is how long one client waits for new addresses of a host whose
// old ones are known.
const renewPatience = 2 * time.Second

// A cache is a tlsclient.Resolver that keeps what another one has found.
type cache struct {
	period func() time.Duration         // how long addresses count as current
	kept   func(host string, err error) // told when a host begins to keep its last addresses

	mu       sync.Mutex
	upstream tlsclient.Resolver // guarded by mu, as all below
	hosts    map[question]*answer
}

type question struct{ network, host string }

// An answer is what a cache knows of a host.
type answer struct {
	addrs    []netip.Addr
	at       time.Time // of the last lookup; zero: they are to be looked up anew
	renewing bool      // somebody looks them up; the others go on with these
	stale    bool      // the last lookup failed
}

// resolveWith sets who is asked; nil: the system.
func (c *cache) resolveWith(upstream tlsclient.Resolver) {
	if upstream == nil {
		upstream = net.DefaultResolver
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upstream = upstream
}

// LookupNetIP returns addresses that are current. When a lookup fails they are
// the last ones, as long as there are any.
func (c *cache) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	q := question{network, host}
	known, upstream, current := c.known(q)
	if current {
		return known, nil
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if len(known) > 0 {
		limited, cancel = context.WithTimeout(ctx, lookupPatience(ctx))
	}
	defer cancel()
	addrs, err := upstream.LookupNetIP(limited, network, host)
	return c.keep(q, addrs, err)
}

// lookupPatience leaves half of a dial's time for the addresses that are known.
func lookupPatience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return renewPatience
	}
	return min(renewPatience, time.Until(deadline)/2)
}

// known is what the cache has; unless that is current the caller is to renew it,
// and to call keep.
func (c *cache) known(q question) (addrs []netip.Addr, upstream tlsclient.Resolver, current bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.hosts[q]
	if a == nil {
		return nil, c.upstream, false
	}
	if period := c.period(); period > 0 && (a.renewing || time.Since(a.at) < period) {
		return a.addrs, c.upstream, true
	}
	a.renewing = true
	return a.addrs, c.upstream, false
}

func (c *cache) keep(q question, addrs []netip.Addr, err error) ([]netip.Addr, error) {
	c.mu.Lock()
	a := c.hosts[q]
	if a == nil && err != nil {
		c.mu.Unlock()
		return nil, err
	}
	if a == nil {
		a = new(answer)
		c.hosts[q] = a
	}
	news := err != nil && !a.stale
	a.at, a.renewing, a.stale = time.Now(), false, err != nil
	if err == nil {
		a.addrs = addrs
	}
	addrs = a.addrs
	c.mu.Unlock()
	if news {
		c.kept(q.host, err)
	}
	return addrs, nil
}

// renew looks up a host anew, after dialling it has failed. It reports whether
// there are other addresses now than there were.
func (c *cache) renew(ctx context.Context, host string) bool {
	changed := false
	for q, before := range c.expire(host) {
		addrs, err := c.LookupNetIP(ctx, q.network, q.host)
		changed = changed || err == nil && !sameAddrs(before, addrs)
	}
	return changed
}

// expire makes what is known of a host old, and returns it.
func (c *cache) expire(host string) map[question][]netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make(map[question][]netip.Addr)
	for q, a := range c.hosts {
		if q.host == host {
			a.at = time.Time{}
			known[q] = a.addrs
		}
	}
	return known
}

// sameAddrs leaves out the order, which name servers rotate.
func sameAddrs(a, b []netip.Addr) bool {
	sorted := func(addrs []netip.Addr) []netip.Addr {
		return slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
	}
	return slices.Equal(sorted(a), sorted(b))
}
