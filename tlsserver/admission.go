package tlsserver

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tcps/internal/reason"
)

// admission counts who may come in, in all and by address: by the socket's as
// soon as a connection is accepted, by the client's when a trusted proxy has
// named it.
type admission struct {
	addresses  tally[netip.Prefix]
	identities tally[string]
	memory     memoryUse

	mu   sync.Mutex
	rate meter // guarded by mu
}

// admit decides, before anything is done for a connection, by what holds for all
// and by the address of its socket. On nil the count by address is held.
func (s *Server) admit(c *Conn) error {
	now := c.opened
	if s.Limits.Memory > 0 && s.admission.memory.now(now) > s.Limits.Memory {
		return limited(limitMemory, "the process has taken %d bytes, its limit", s.Limits.Memory)
	}
	if s.Limits.Rate > 0 && !s.admission.take(now, s.Limits.Rate) {
		return limited(limitRate, "%d connections have come within a second", s.Limits.Rate)
	}
	if s.ProxyProtocol.Trusts(c.stream.Raw.RemoteAddr()) {
		return nil // its header says who it is for
	}
	return s.admitAddress(c, addrOf(c.stream.Raw.RemoteAddr()), false)
}

// take counts one more connection, unless too many have come.
func (a *admission) take(now time.Time, rate int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rate.take(now, rate)
}

// admitAddress decides by the address of the client; proxy says that it is that
// of a trusted proxy, which came for itself.
func (s *Server) admitAddress(c *Conn, addr netip.Addr, proxy bool) error {
	c.judged.Store(&addr) // first: see SetAddressRules
	if err := s.addressRules.Load().judge(addr); err != nil {
		return err
	}
	if !addr.IsValid() || (proxy || addr.IsLoopback()) && !s.Limits.CountLoopback {
		return nil
	}
	key := counted(addr)
	held, full, fast := s.admission.addresses.enter(time.Now(), key, s.Limits.maxConnsPerAddress(), s.Limits.ratePerAddress())
	switch {
	case full:
		return limited(limitAddress, "%d connections are open from %s", s.Limits.maxConnsPerAddress(), shown(key))
	case fast:
		return limited(limitAddressRate, "%d connections have come from %s within a second", s.Limits.ratePerAddress(), shown(key))
	}
	c.address = held
	return nil
}

// admitProxied decides once the header of a trusted proxy was read, or none came.
func (s *Server) admitProxied(c *Conn) error {
	if c.local {
		return s.admitAddress(c, netip.Addr{}, true) // the proxy's own, as a health check
	}
	return s.admitAddress(c, addrOf(c.RemoteAddr()), c.ProxyAddr() == nil)
}

// counted is what an address counts as.
func counted(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

func shown(key netip.Prefix) string {
	if key.IsSingleIP() {
		return key.Addr().String()
	}
	return key.String()
}

// admitIdentity counts what the certificate of a client says of it.
func (s *Server) admitIdentity(c *Conn, id *Identity) error {
	if id == nil || c.identity != nil {
		return nil
	}
	held, full, _ := s.admission.identities.enter(time.Now(), id.key(), s.Limits.maxConnsPerIdentity(), noLimit)
	if full {
		return limited(limitIdentity, "%d connections of %s are open", s.Limits.MaxConnsPerIdentity, id)
	}
	c.identity = held
	return nil
}

// leaveAdmission gives back what a connection has counted for.
func (s *Server) leaveAdmission(c *Conn) {
	now := time.Now()
	if c.address != nil {
		s.admission.addresses.leave(now, c.address)
	}
	if c.identity != nil {
		s.admission.identities.leave(now, c.identity)
	}
}

func limited(which, format string, args ...any) error {
	return &reason.Error{Reason: reason.Limit(which), Err: fmt.Errorf(format, args...)}
}

// refuseAtOnce closes a connection for which nothing was done yet.
func (s *Server) refuseAtOnce(l net.Listener, nc net.Conn, err error) {
	s.observe(Refused{Listener: l.Addr(), Peer: nc.RemoteAddr(), Reason: reason.Of(err, ""), Err: err})
	nc.Close()
}
