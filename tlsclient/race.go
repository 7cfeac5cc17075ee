package tlsclient

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// A Resolver finds the addresses of a host. The network is ip, ip4 or ip6. It
// is called concurrently; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// attemptDelay is how long one address has before the next is tried beside it
// (RFC 8305, 5).
const attemptDelay = 250 * time.Millisecond

// isAddress reports whether a host needs no resolver.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return host == "" || err == nil
}

// dialResolved is net.Dialer.DialContext over the addresses that the Resolver
// finds.
func (d *Dialer) dialResolved(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addrs, err := d.Resolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
		if err != nil {
			return nil, err
		}
		if addrs = alternate(d.usable(addrs)); len(addrs) == 0 {
			return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
		}
		return race(ctx, len(addrs), func(ctx context.Context, i int) (net.Conn, error) {
			return dialer.DialContext(ctx, network, net.JoinHostPort(addrs[i].String(), port))
		})
	}
}

// usable leaves out the family that LocalAddr or Network excludes.
func (d *Dialer) usable(addrs []netip.Addr) []netip.Addr {
	var fit []netip.Addr
	for _, addr := range addrs {
		addr = addr.Unmap()
		switch {
		case d.LocalAddr.IsValid() && d.LocalAddr.Unmap().Is4() != addr.Is4():
		case d.Network == "tcp4" && !addr.Is4(), d.Network == "tcp6" && addr.Is4():
		default:
			fit = append(fit, addr)
		}
	}
	return fit
}

// alternate orders addresses so that the families take turns, the first one's
// first (RFC 8305, 4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var first, second, all []netip.Addr
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	for len(first)+len(second) > 0 {
		if len(first) > 0 {
			all, first = append(all, first[0]), first[1:]
		}
		first, second = second, first
	}
	return all
}

// race makes n attempts, each begun when the one before has failed or has had
// its time, and returns the first that succeeds, else the first failure.
func race(ctx context.Context, n int, attempt func(ctx context.Context, i int) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	begin := func(i int) {
		conn, err := attempt(ctx, i)
		results <- result{conn, err}
	}
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	begun, running := 0, 0
	var failures []error
	next := func() {
		if begun < n {
			go begin(begun)
			begun, running = begun+1, running+1
			timer.Reset(attemptDelay)
		}
	}
	defer func() {
		cancel()
		for ; running > 0; running-- { // they end at once
			if late := <-results; late.conn != nil {
				late.conn.Close()
			}
		}
	}()
	next()
	for running > 0 {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				return r.conn, nil
			}
			failures = append(failures, r.err)
			if ctx.Err() == nil {
				next()
			}
		case <-timer.C:
			next()
		}
	}
	return nil, failures[0]
}
