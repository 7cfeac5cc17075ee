package tlsserver_test

import (
	"crypto/tls"
	"io"
	"testing"

	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// Client and server share the process, so both are in the figures.

func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name            string
		resume, require bool
	}{{"full", false, false}, {"resumed", true, false}, {"mutual", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := tlstest.NewUnstartedServer(b, service.Greet("x", service.Echo()))
			if c.require {
				s.Trust.ClientCAs = s.Authority.Pool()
			}
			s.Start()
			config := clientConfig(s, tls.VersionTLS13)
			if c.resume {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			if c.require {
				withClient(config, s.ClientCertificate("client"))
			}
			b.ReportAllocs()
			for b.Loop() {
				conn, err := tls.Dial("tcp", s.Addr, config)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				conn.Close()
			}
		})
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"64B", 64}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			s := tlstest.NewServer(b, service.Echo())
			conn := s.Dial(s.Dialer())
			out, in := make([]byte, c.size), make([]byte, c.size)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				wrote := make(chan error, 1)
				go func() {
					_, err := conn.Write(out)
					wrote <- err
				}()
				if _, err := io.ReadFull(conn, in); err != nil {
					b.Fatal(err)
				}
				if err := <-wrote; err != nil {
					b.Fatal(err)
				}
			}
			conn.Close()
		})
	}
}
