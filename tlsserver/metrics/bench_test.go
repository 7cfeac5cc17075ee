package metrics_test

import (
	"crypto/tls"
	"io"
	"testing"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// What counting costs a connection (resumed, so that little else does), and what a
// look at a thousand open connections costs. Client and server share the process.

func BenchmarkConnection(b *testing.B) {
	for _, name := range []string{"silent", "counted"} {
		b.Run(name, func(b *testing.B) {
			s := newCounted(b, service.Greet("x", service.Echo()))
			if name == "silent" {
				s.Config.Observer = tlsserver.ObserverFunc(func(tlsserver.Event) {})
			}
			s.Start()
			d := s.Dialer()
			d.Sessions = tls.NewLRUClientSessionCache(1)
			b.ReportAllocs()
			for b.Loop() {
				c, err := d.Dial(b.Context(), s.Endpoint)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

func BenchmarkScrape(b *testing.B) {
	s := newCounted(b, service.Echo())
	s.StartPlain()
	for range 1000 {
		say(b, s.Dial(s.Dialer()), "x")
	}
	b.ReportAllocs()
	for b.Loop() {
		s.values(b)
	}
}
