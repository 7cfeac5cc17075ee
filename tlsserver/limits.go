package tlsserver

import (
	"runtime"
	"time"
)

// Limits bound what connections may cost, together and each. Zero fields: the
// defaults that each names; negative: no limit.
//
// Who counts by address: the client that a PROXY header names, never the proxy.
// Connections from loopback addresses, over Unix sockets, and from addresses
// whose PROXY headers are trusted, without one, do not count by address, unless
// CountLoopback is set. An IPv6 client is its prefix of 64 bits: that many
// addresses one machine has for the asking (RFC 6177).
type Limits struct {
	// MaxConns is how many connections may be open. Default: what the limit of
	// descriptors leaves after a reserve of one in sixteen, at least 32 of them.
	MaxConns int

	// MaxConnsPerAddress is how many may be open from one address. Default: a
	// quarter of MaxConns.
	MaxConnsPerAddress int

	// MaxConnsPerIdentity is how many may be open of one certificate: its
	// subject and names, so that a renewed one counts as the same. Default: no
	// limit.
	MaxConnsPerIdentity int

	// Rate is how many connections a second may come, and as many at once after
	// a pause. Default: no limit.
	Rate int

	// RatePerAddress is Rate for one address. Default: 200.
	RatePerAddress int

	// CountLoopback has loopback addresses and trusted proxies count too.
	CountLoopback bool

	// MaxHellos is how many connections may wait for their ClientHello. When
	// they run short the one that has waited longest is put out, so slow
	// clients never keep others out. Default: 10,000.
	MaxHellos int

	// MaxHandshakes is how many handshakes may be worked on at once, from the
	// ClientHello on; those that wait for the peer do not count. One more
	// waits for its turn, within its HandshakeTimeout. Default: 256 for each
	// processor.
	MaxHandshakes int

	// Memory is how many bytes the process may take from the system: beyond,
	// new connections are refused, and the open ones live on. It helps to have
	// runtime/debug.SetMemoryLimit a little below, so that what nobody uses any
	// more does not count. Default: no limit.
	Memory int64

	// FirstByteTimeout ends a connection on which, so long after its handshake,
	// neither side has sent a byte. Default: none, as of the three that follow:
	// tunnels carry silent connections, and long ones.
	FirstByteTimeout time.Duration

	// IdleTimeout ends a connection on which nothing has come or gone for so long.
	IdleTimeout time.Duration

	// WriteTimeout ends a connection whose peer has taken nothing for so long
	// though there is something to take.
	WriteTimeout time.Duration

	// MaxAge ends a connection so long after it was accepted. All four are looked
	// at every quarter of the shortest one, and at least every second.
	MaxAge time.Duration

	// Bandwidth is how many bytes a second a connection may send, and as many
	// receive, TLS' own ones included. Default: no limit.
	Bandwidth int
}

func (l Limits) maxHellos() int { return countOrDefault(l.MaxHellos, 10_000) }
func (l Limits) maxHandshakes() int {
	return countOrDefault(l.MaxHandshakes, 256*runtime.GOMAXPROCS(0))
}
func (l Limits) maxConns() int { return countOrDefault(l.MaxConns, DefaultMaxConns()) }
func (l Limits) maxConnsPerAddress() int {
	return countOrDefault(l.MaxConnsPerAddress, max(1, l.maxConns()/4))
}
func (l Limits) maxConnsPerIdentity() int { return countOrDefault(l.MaxConnsPerIdentity, noLimit) }
func (l Limits) ratePerAddress() int      { return countOrDefault(l.RatePerAddress, 200) }

// Effective are the limits that hold in this process: defaults stand where there
// were zeros, and -1 where there is no limit; of durations zero is none.
func (l Limits) Effective() Limits {
	l.MaxConns, l.MaxConnsPerAddress, l.MaxConnsPerIdentity = shownLimit(l.maxConns()), shownLimit(l.maxConnsPerAddress()), shownLimit(l.maxConnsPerIdentity())
	l.RatePerAddress, l.MaxHellos, l.MaxHandshakes = shownLimit(l.ratePerAddress()), shownLimit(l.maxHellos()), shownLimit(l.maxHandshakes())
	for _, field := range []*int{&l.Rate, &l.Bandwidth} {
		if *field <= 0 {
			*field = -1
		}
	}
	if l.Memory <= 0 {
		l.Memory = -1
	}
	return l
}

func shownLimit(n int) int {
	if n == noLimit {
		return -1
	}
	return n
}

const noLimit = int(^uint(0) >> 1)

func countOrDefault(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return noLimit
	}
	return n
}

// DefaultMaxConns is the default of Limits.MaxConns in this process.
func DefaultMaxConns() int {
	descriptors := maxDescriptors()
	return max(1, descriptors-max(32, descriptors/16))
}

// The names of the limits, as in the reason limit:WHICH.
const (
	limitConns       = "connections"
	limitAddress     = "address"
	limitIdentity    = "identity"
	limitRate        = "rate"
	limitAddressRate = "address-rate"
	limitHellos      = "hellos"
	limitDescriptors = "descriptors"
	limitMemory      = "memory"
)
