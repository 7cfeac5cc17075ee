package tlsserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/pires/go-proxyproto"

	"tcps/internal/reason"
	"tcps/internal/wire"
)

// A ProxyProtocol says which connections begin with a PROXY header, version 1
// or 2, in which a load balancer names its client
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). The header is
// read before anything else, within HandshakeTimeout; from then on the Conn's
// addresses are the client's. From all others no header is read: they could
// claim to be anybody.
type ProxyProtocol struct {
	// From are the addresses that connections with a header come from.
	From []netip.Prefix

	// Unix also trusts whoever may connect to Unix sockets.
	Unix bool

	// Optional lets connections from there do without a header, which keep
	// their own address. Otherwise they are refused, for the reason
	// proxy-header.
	Optional bool
}

// Trust adds a source: an address, a prefix such as 10.0.0.0/8, or unix.
func (p *ProxyProtocol) Trust(source string) error {
	if source == "unix" {
		p.Unix = true
		return nil
	}
	prefix, err := ParsePrefix(source)
	if err != nil {
		return err
	}
	p.From = append(p.From, prefix)
	return nil
}

// Trusts reports whether a header is read from connections of a peer, which is a
// *net.TCPAddr or a *net.UnixAddr; nil trusts nobody.
func (p *ProxyProtocol) Trusts(peer net.Addr) bool {
	if p == nil {
		return false
	}
	switch peer := peer.(type) {
	case *net.UnixAddr:
		return p.Unix
	case *net.TCPAddr:
		addr := addrOf(peer)
		for _, prefix := range p.From {
			if prefix.Contains(addr) {
				return true
			}
		}
	}
	return false
}

// The header's bounds. 107 bytes are all that version 1 can need; of version 2
// it is what go-proxyproto takes by itself: room for TLVs with a certificate.
const (
	maxHeaderV1    = 107
	headerV2Prefix = 16 // signature, command, family, length
	maxHeaderV2    = headerV2Prefix + 4096
)

// How headers begin.
var signatureV1, signatureV2 = string(proxyproto.SIGV1) + " ", string(proxyproto.SIGV2)

// addresses are what a PROXY header says, and who said so.
type addresses struct{ remote, local, proxy net.Addr }

// readProxyHeader is the first step of a connection whose sender is trusted.
func (c *Conn) readProxyHeader() error {
	r := bufio.NewReaderSize(c.stream.Raw, maxHeaderV2)
	header, err := readHeader(r)
	if c.server.ProxyProtocol.Optional && (err == errNoHeader || err == io.EOF) {
		err = nil // an end comes again, to who reads next
	}
	if err != nil {
		return headerError(err)
	}
	rest, _ := r.Peek(r.Buffered())
	c.stream.Raw.Unread(rest)
	if header != nil && header.Command.IsLocal() {
		c.local = true
	} else if header != nil {
		c.proxied.Store(&addresses{plainAddr(header.SourceAddr), plainAddr(header.DestinationAddr), c.stream.Raw.RemoteAddr()})
	}
	return nil
}

// headerError gives an error its reason. An end before the first byte is a
// health check's, not a broken header.
func headerError(err error) error {
	if err == io.EOF || wire.IsReset(err) {
		return err
	}
	why := reason.ProxyHeader
	if wire.IsTimeout(err) {
		why = reason.Timeout(string(reason.ProxyHeader))
	}
	return WithReason(why, fmt.Errorf("read PROXY header: %w", err))
}

var errNoHeader = errors.New("the connection begins with something else, and a header is required from this address")

// readHeader waits for a whole header, then has it parsed: go-proxyproto would
// refuse one that comes in pieces.
func readHeader(r *bufio.Reader) (*proxyproto.Header, error) {
	version, err := readSignature(r)
	if err != nil {
		return nil, err
	}
	whole := awaitV1
	if version == 2 {
		whole = awaitV2
	}
	raw, err := whole(r)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	header, err := proxyproto.Read(r)
	if err != nil {
		return nil, err
	}
	return header, checkHeader(header, raw)
}

// readSignature looks at as many bytes as it takes to know what they are: a
// client that says little may wait for an answer.
func readSignature(r *bufio.Reader) (version int, err error) {
	for n := 1; ; n++ {
		b, err := r.Peek(n)
		switch start := string(b); {
		case err == io.EOF && n > 1:
			return 0, errNoHeader
		case err != nil:
			return 0, err
		case start == signatureV1:
			return 1, nil
		case start == signatureV2:
			return 2, nil
		case !strings.HasPrefix(signatureV1, start) && !strings.HasPrefix(signatureV2, start):
			return 0, errNoHeader
		}
	}
}

func awaitV1(r *bufio.Reader) ([]byte, error) {
	for n := len(signatureV1) + 1; n <= maxHeaderV1; n++ {
		b, err := r.Peek(n)
		if err != nil || b[n-1] == '\n' {
			return b, err
		}
	}
	return nil, fmt.Errorf("no end of the line within %d bytes", maxHeaderV1)
}

func awaitV2(r *bufio.Reader) ([]byte, error) {
	b, err := r.Peek(headerV2Prefix)
	if err != nil {
		return nil, err
	}
	n := headerV2Prefix + int(binary.BigEndian.Uint16(b[14:]))
	if n > maxHeaderV2 {
		return nil, fmt.Errorf("a header of %d bytes, more than %d", n, maxHeaderV2)
	}
	return r.Peek(n)
}

// checkHeader is what go-proxyproto leaves to its callers. What a LOCAL header
// holds is to be ignored (2.2).
func checkHeader(header *proxyproto.Header, raw []byte) error {
	if header.Command.IsLocal() {
		return nil
	}
	if !header.TransportProtocol.IsStream() {
		return errors.New("addresses of datagrams, on a stream")
	}
	if header.Version == 1 {
		return nil
	}
	tlvs, err := header.TLVs()
	if err != nil {
		return err
	}
	for _, tlv := range tlvs {
		if tlv.Type == proxyproto.PP2_TYPE_CRC32C && !hasChecksum(raw, tlv.Value) {
			return errors.New("the checksum is wrong")
		}
	}
	return nil
}

// hasChecksum computes CRC32C over the header with the checksum's own bytes as
// zeros (2.2.3), wherever they are.
func hasChecksum(raw, sum []byte) bool {
	if len(sum) != crc32.Size {
		return false
	}
	tlv := string(append([]byte{byte(proxyproto.PP2_TYPE_CRC32C), 0, crc32.Size}, sum...))
	zeros := string([]byte{byte(proxyproto.PP2_TYPE_CRC32C), 0, crc32.Size, 0, 0, 0, 0})
	zeroed := strings.Replace(string(raw), tlv, zeros, 1)
	return crc32.Checksum([]byte(zeroed), crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(sum)
}

// plainAddr writes an IPv4 address as such, where it came as an IPv6 one.
func plainAddr(a net.Addr) net.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port()))
	}
	return a
}
