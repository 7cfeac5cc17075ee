package tlsclient_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"tcps/tlsclient"
)

// dnsFor answers every question for an address with 127.0.0.1 or ::1 (RFC 1035,
// 4.1), as a name server that has both.
func dnsFor(t *testing.T) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(dnsAnswer(buf[:n]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func dnsAnswer(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5 // the root label, type and class
	address := netip.MustParseAddr("127.0.0.1").AsSlice()
	if kind := binary.BigEndian.Uint16(query[end-4:]); kind == 28 {
		address = netip.IPv6Loopback().AsSlice()
	}
	answer := append([]byte(nil), query[:end]...)
	copy(answer[2:12], []byte{0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0})
	answer = append(answer, 0xc0, 12)
	answer = append(answer, query[end-4:end]...)
	answer = append(answer, 0, 0, 0, 60, 0, byte(len(address)))
	return append(answer, address...)
}

// A name with an address of each family is reached on the one that answers.
func TestANameWithBothFamiliesIsReachedOnTheOneThatAnswers(t *testing.T) {
	system := net.DefaultResolver
	net.DefaultResolver = dnsFor(t)
	t.Cleanup(func() { net.DefaultResolver = system })
	for _, answers := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(answers, "0"))
		if err != nil {
			t.Skipf("no %s on this machine: %v", answers, err)
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&tlsclient.Dialer{LingerTimeout: -1}).Dial(t.Context(), "tcp://both.test:"+port)
		if err != nil {
			t.Errorf("where only %s answers: %v", answers, err)
		} else {
			if got := addrOf(c.RemoteAddr()).Unmap().String(); got != answers {
				t.Errorf("reached %s, want %s", got, answers)
			}
			c.Close()
		}
		l.Close()
	}
}
