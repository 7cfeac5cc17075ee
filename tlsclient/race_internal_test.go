package tlsclient

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// An address that does not answer gets a quarter of a second, then the next is
// tried beside it; what comes too late is closed.
func TestASilentAddressHoldsUpTheNextForAQuarterOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		conn, err := race(t.Context(), 3, func(ctx context.Context, i int) (net.Conn, error) {
			if i < 2 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			c, _ := net.Pipe()
			return c, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if took := time.Since(start); took != 2*attemptDelay {
			t.Errorf("connected after %v, want %v", took, 2*attemptDelay)
		}
	})
}

func TestFamiliesTakeTurns(t *testing.T) {
	var addrs []netip.Addr
	for _, s := range []string{"::1", "::2", "::3", "10.0.0.1"} {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	var got []string
	for _, a := range alternate(addrs) {
		got = append(got, a.String())
	}
	if want := []string{"::1", "10.0.0.1", "::2", "::3"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}
