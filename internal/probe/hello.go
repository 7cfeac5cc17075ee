package probe

import (
	"crypto/rand"
	"crypto/tls"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// A hello is what a ClientHello asks for.
type hello struct {
	version uint16 // the only one that is acceptable; up to TLS 1.2 servers may answer with an older one
	suites  []uint16
	groups  []uint16
	name    string // for SNI; empty: none

	protocols []string // for ALPN; empty: none
}

// The types and extensions that are written and read here (RFC 8446, 4.2;
// RFC 5746, 7627, 8422).
const (
	recordAlert     = 21
	recordHandshake = 22

	typeClientHello = 1
	typeServerHello = 2

	extServerName          = 0
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extExtendedMaster      = 23
	extSupportedVersions   = 43
	extKeyShare            = 51
	extRenegotiation       = 0xff01
)

// bytes encodes the hello as the first record of a connection.
func (h *hello) bytes() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(recordHandshake)
	b.AddUint16(min(h.version, tls.VersionTLS10)) // what old servers take (RFC 8446, 5.1)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(typeClientHello)
		b.AddUint24LengthPrefixed(h.addTo)
	})
	return b.Bytes()
}

func (h *hello) addTo(b *cryptobyte.Builder) {
	var random [64]byte
	rand.Read(random[:])
	b.AddUint16(min(h.version, tls.VersionTLS12))
	b.AddBytes(random[:32])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		if h.version == tls.VersionTLS13 { // for what stands in between (RFC 8446, D.4)
			b.AddBytes(random[32:])
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, h.suites) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) }) // no compression
	if h.version > ssl30 {
		b.AddUint16LengthPrefixed(h.addExtensions)
	}
}

func (h *hello) addExtensions(b *cryptobyte.Builder) {
	name := strings.TrimSuffix(h.name, ".")
	if _, err := netip.ParseAddr(name); name != "" && err != nil { // SNI has no addresses (RFC 6066, 3)
		addExtension(b, extServerName, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			})
		})
	}
	if len(h.protocols) > 0 {
		addExtension(b, extALPN, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, name := range h.protocols {
					b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
				}
			})
		})
	}
	addExtension(b, extSupportedGroups, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, h.groups) })
	})
	if h.version >= tls.VersionTLS12 {
		addExtension(b, extSignatureAlgorithms, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, signatures) })
		})
	}
	if h.version == tls.VersionTLS13 {
		addExtension(b, extSupportedVersions, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(tls.VersionTLS13) })
		})
		// Without a key the server has to say which group it wants one of
		// (RFC 8446, 4.2.8), whether or not we could make it.
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(0) })
		return
	}
	addExtension(b, extPointFormats, func(b *cryptobyte.Builder) {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
	})
	addExtension(b, extExtendedMaster, func(*cryptobyte.Builder) {})
	addExtension(b, extRenegotiation, func(b *cryptobyte.Builder) { b.AddUint8(0) })
}

func addExtension(b *cryptobyte.Builder, number uint16, content cryptobyte.BuilderContinuation) {
	b.AddUint16(number)
	b.AddUint16LengthPrefixed(content)
}

func addAll(b *cryptobyte.Builder, values []uint16) {
	for _, v := range values {
		b.AddUint16(v)
	}
}
