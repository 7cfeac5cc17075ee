package tlsclient_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"tcps/tlsclient"
)

// addresses is a Resolver that knows one host.
type addresses []string

func (a addresses) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if host != "db.test" || network != "ip" && network != "ip4" && network != "ip6" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var all []netip.Addr
	for _, s := range a {
		all = append(all, netip.MustParseAddr(s))
	}
	return all, nil
}

// portOn listens on an address of 127.0.0.0/8, and takes what comes.
func portOn(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no %s on this machine: %v", host, err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAllAddressesThatAResolverFindsAreTried(t *testing.T) {
	port := portOn(t, "127.0.0.3")
	d := &tlsclient.Dialer{Resolver: addresses{"::1", "127.0.0.1", "127.0.0.2", "::ffff:127.0.0.3"}, LingerTimeout: -1}
	c, err := d.Dial(t.Context(), "tcp://db.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.3" {
		t.Errorf("reached %s", got)
	}
}

func TestWhereNoAddressAnswersTheFirstFailureIsTold(t *testing.T) {
	port := portOn(t, "127.0.0.3")
	d := &tlsclient.Dialer{Resolver: addresses{"127.0.0.1", "127.0.0.2"}}
	_, err := d.Dial(t.Context(), "tcp://db.test:"+port)
	failed := wantFailure(t, err, "failed", 1, "connect to tcp://db.test:"+port+": 127.0.0.1:"+port)
	if !failed.NotReached || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v: NotReached %v", err, failed.NotReached)
	}
	_, err = d.Dial(t.Context(), "tcp://other.test:"+port)
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("%v: want what the resolver says", err)
	}
}

func TestTheFamilyOfNetworkAndLocalAddrIsDialledOnly(t *testing.T) {
	port := portOn(t, "127.0.0.1")
	for name, d := range map[string]*tlsclient.Dialer{
		"Network":   {Network: "tcp6"},
		"LocalAddr": {LocalAddr: netip.IPv6Loopback()},
	} {
		d.Resolver = addresses{"127.0.0.1"}
		_, err := d.Dial(t.Context(), "tcp://db.test:"+port)
		if _, ok := errors.AsType[*net.AddrError](err); !ok {
			t.Errorf("%s of IPv6 where there is none: %v", name, err)
		}
	}
	d := &tlsclient.Dialer{Resolver: addresses{"::1", "127.0.0.1"}, LocalAddr: netip.MustParseAddr("127.0.0.7"), LingerTimeout: -1}
	c, err := d.Dial(t.Context(), "tcp://db.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.7" {
		t.Errorf("dialled from %s", got)
	}
}
