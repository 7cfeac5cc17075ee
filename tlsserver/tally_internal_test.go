package tlsserver

import (
	"net/netip"
	"testing"
	"time"
)

func TestATokenBucketHoldsWhatComesInASecond(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name string
		rate int
		at   []time.Duration // after start
		want string          // y: there is a token; n: there is none
	}{
		{"as many at once", 3, []time.Duration{0, 0, 0, 0}, "yyyn"},
		{"one a second", 1, []time.Duration{0, 999 * time.Millisecond, time.Second, time.Second}, "ynyn"},
		{"one comes back after its time", 4, []time.Duration{0, 0, 0, 0, 249 * time.Millisecond, 250 * time.Millisecond, 251 * time.Millisecond}, "yyyynyn"},
		{"all come back after a second", 2, []time.Duration{0, 0, 0, time.Second, time.Second, time.Second}, "yynyyn"},
		{"no more after a long time", 2, []time.Duration{0, 0, time.Hour, time.Hour, time.Hour}, "yyyyn"},
		{"who is refused takes nothing", 2, []time.Duration{0, 0, 0, 0, 0, 500 * time.Millisecond}, "yynnny"},
	} {
		var m meter
		got := ""
		for _, at := range c.at {
			if m.take(start.Add(at), c.rate) {
				got += "y"
			} else {
				got += "n"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// However many addresses come, and however fast, memory is bounded.
func TestATallyRemembersABoundedNumberOfAddresses(t *testing.T) {
	var tally tally[netip.Prefix]
	now := time.Now()
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	open, _, _ := tally.enter(now, address(0), 1, 1)
	for i := 1; i < 3*maxRemembered; i++ {
		e, full, fast := tally.enter(now, address(i), 1, 1)
		if full || fast {
			t.Fatalf("address %d was refused at its first connection", i)
		}
		tally.leave(now, e)
	}
	if n := len(tally.entries); n > maxRemembered+1 {
		t.Errorf("%d addresses are remembered, want at most %d", n, maxRemembered+1)
	}
	if _, full, _ := tally.enter(now, address(0), 1, 1); !full {
		t.Error("an address with an open connection was forgotten")
	}
	if _, _, fast := tally.enter(now, address(3*maxRemembered-1), 1, 1); !fast {
		t.Error("the address that came last was forgotten")
	}
	tally.leave(now, open)
	e, _, _ := tally.enter(now.Add(time.Hour), address(1), 1, 1)
	tally.leave(now.Add(2*time.Hour), e)
	if n := len(tally.entries); n != 0 {
		t.Errorf("%d addresses are remembered of which nothing is open and nothing came for an hour", n)
	}
}

func BenchmarkTally(b *testing.B) {
	var tally tally[netip.Prefix]
	addr := netip.MustParsePrefix("192.0.2.7/32")
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		e, _, _ := tally.enter(now, addr, noLimit, noLimit)
		tally.leave(now, e)
	}
}
