package service_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"

	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// BenchmarkBroadcast is what a room of 100 receivers over TLS costs a line that
// one member says, the receivers' part included: their end is in this process.
// In bursts a sender writes 64 lines at once.
func BenchmarkBroadcast(b *testing.B) {
	for _, burst := range []int{1, 64} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) { benchmarkRoom(b, 100, burst) })
	}
}

func benchmarkRoom(b *testing.B, receivers, burst int) {
	s := tlstest.NewServer(b, new(service.Broadcast))
	heard := make(chan struct{}, receivers)
	for range receivers {
		c := s.Dial(s.Dialer())
		lines := bufio.NewReader(c)
		lines.ReadSlice('\n') // it has joined
		go func() {
			for last := []byte("> last\n"); ; {
				line, err := lines.ReadSlice('\n')
				if err != nil {
					return
				}
				if bytes.HasSuffix(line, last) {
					heard <- struct{}{}
				}
			}
		}()
	}
	sender := s.Dial(s.Dialer())
	text := bytes.Repeat([]byte("a line of 32 bytes, with its end\n"), burst-1)
	text = append(text, "last\n"...)
	b.ReportAllocs()
	for b.Loop() {
		sender.Write(text)
		for range receivers {
			<-heard
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers*burst), "ns/delivery")
	go io.Copy(io.Discard, sender)
}
