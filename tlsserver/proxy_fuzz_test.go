package tlsserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"tcps/tlsserver"
)

// FuzzProxyHeader sends a header and more in two pieces, over TCP addresses: a
// header that the oracle takes gives its addresses and leaves the rest as it
// was, and no bytes whatever crash the server.
func FuzzProxyHeader(f *testing.F) {
	for _, header := range [][]byte{
		[]byte("PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\nabc"), []byte("PROXY UNKNOWN\r\nabc"), []byte("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"),
		append(v2(0x21, 0x11, tcp4), "abc"...), v2(0x20, 0x00, ""), v2(0x20, 0x11, "abc"), v2(0x21, 0x31, "abc"),
		checksummed(v2(0x21, 0x11, tcp4+"\x03\x00\x04\x00\x00\x00\x00")), []byte("GET / HTTP/1.1\r\n"), nil,
	} {
		for _, cut := range []uint16{0, 5, 13} {
			f.Add(header, cut)
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte, cut uint16) {
		ended := make(chan tlsserver.Ended, 1)
		var remote string
		var got []byte
		s := &tlsserver.Server{
			ProxyProtocol:    &tlsserver.ProxyProtocol{From: trustLoopback},
			LingerTimeout:    -1,
			HandshakeTimeout: 5 * time.Second,
			Handler: tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) (err error) {
				remote = c.RemoteAddr().String()
				got, err = io.ReadAll(c)
				return err
			}),
			Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
				if e, ok := e.(tlsserver.Ended); ok {
					ended <- e
				}
			}),
		}
		client, server := net.Pipe()
		l := &onceListener{conns: make(chan net.Conn, 1), addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:1"))}
		l.conns <- &addressedConn{server, l.addr}
		served := make(chan error, 1)
		go func() { served <- s.ServePlain(context.Background(), l) }()
		at := min(int(cut), len(sent))
		client.Write(sent[:at])
		client.Write(sent[at:])
		client.Close()
		e := <-ended
		s.Close()
		<-served
		if e.Err != nil && errors.Is(e.Err, io.ErrClosedPipe) {
			return
		}
		header, want, ok := oracle(sent)
		if !ok {
			if e.Reason == tlsserver.ReasonDone {
				t.Fatalf("%q was served, from %s", sent, remote)
			}
			return
		}
		if e.Reason != tlsserver.ReasonDone || !bytes.Equal(got, want) {
			t.Fatalf("%q: ended for %s (%v) with %q, want %q", sent, e.Reason, e.Err, got, want)
		}
		if header.Command.IsLocal() && remote != l.addr.String() {
			t.Fatalf("%q: from %s, which is not the socket's", sent, remote)
		}
	})
}

// oracle is go-proxyproto alone, over all that was sent.
func oracle(sent []byte) (header *proxyproto.Header, rest []byte, ok bool) {
	r := proxyprotoReader(sent)
	header, err := proxyproto.Read(r)
	if err != nil {
		return nil, nil, false
	}
	if header.Command.IsProxy() && !header.TransportProtocol.IsStream() {
		return nil, nil, false
	}
	tlvs, err := header.TLVs()
	if header.Command.IsProxy() && err != nil {
		return nil, nil, false
	}
	for _, tlv := range tlvs {
		if tlv.Type == proxyproto.PP2_TYPE_CRC32C && header.Command.IsProxy() {
			again := *header
			for i := range tlvs {
				if tlvs[i].Type == proxyproto.PP2_TYPE_CRC32C {
					tlvs[i].Value = make([]byte, len(tlvs[i].Value))
				}
			}
			again.SetTLVs(tlvs)
			b, _ := again.Format()
			if len(tlv.Value) != 4 || crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(tlv.Value) {
				return nil, nil, false
			}
		}
	}
	rest, _ = io.ReadAll(r)
	return header, rest, true
}

func proxyprotoReader(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), 1<<20) }
