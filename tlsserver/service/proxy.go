package service

import (
	"crypto/tls"
	"net"
	"unicode/utf8"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"tcps/tlsserver"
)

// proxyHeader is the PROXY header for a connection, of version 1 or 2. Of a
// client without an IP address it says only that there is one (UNKNOWN, LOCAL).
func proxyHeader(version byte, c *tlsserver.Conn) ([]byte, error) {
	header := proxyproto.HeaderProxyFromAddrs(version, ofTCP(c.RemoteAddr()), ofTCP(c.LocalAddr()))
	if version == 2 {
		tlvs, err := proxyTLVs(c)
		if err != nil {
			return nil, err
		}
		if err := header.SetTLVs(tlvs); err != nil {
			return nil, err
		}
	}
	return header.Format()
}

// OwnProxyHeader is a PROXY header of version 1 or 2 for a connection of our own,
// from source to destination; it is fit for Dialer.Preamble. Where they are not both
// of TCP it is LocalProxyHeader.
func OwnProxyHeader(version byte, source, destination net.Addr) ([]byte, error) {
	return proxyproto.HeaderProxyFromAddrs(version, ofTCP(source), ofTCP(destination)).Format()
}

// LocalProxyHeader is a PROXY header of version 1 or 2 that names no client: for
// connections of our own (2.2). Of version 0 there is none.
func LocalProxyHeader(version byte) []byte {
	if version == 0 {
		return nil
	}
	header, err := OwnProxyHeader(version, nil, nil)
	if err != nil {
		panic(err) // it has nothing that could be wrong
	}
	return header
}

// ofTCP leaves out the addresses of Unix sockets: what few receivers know.
func ofTCP(a net.Addr) net.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp
	}
	return nil
}

// proxyTLVs are what was agreed on with the client in TLS, or what a client
// that is passed on has asked for.
func proxyTLVs(c *tlsserver.Conn) ([]proxyproto.TLV, error) {
	var tlvs []proxyproto.TLV
	cs := c.TLS()
	if cs != nil {
		tlvs = appendTLV(tlvs, proxyproto.PP2_TYPE_ALPN, cs.NegotiatedProtocol)
	}
	tlvs = appendTLV(tlvs, proxyproto.PP2_TYPE_AUTHORITY, c.ServerName())
	if cs == nil {
		return tlvs, nil
	}
	ssl, err := sslTLV(cs, c.Identity()).Marshal()
	return append(tlvs, ssl), err
}

// unverified is what stands for a client without a verified certificate: the
// number is OpenSSL's for an error that it does not name.
const unverified = 1

// sslTLV says what HAProxy says, in OpenSSL's names. A certificate that was
// shown in an earlier connection is the session's (2.2.6).
func sslTLV(cs *tls.ConnectionState, id *tlsserver.Identity) tlvparse.PP2SSL {
	ssl := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, Verify: unverified}
	ssl.TLV = appendTLV(ssl.TLV, proxyproto.PP2_SUBTYPE_SSL_VERSION, sslVersions[cs.Version])
	if id != nil {
		ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_SESS
		if !cs.DidResume {
			ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_CONN
		}
		if id.Verified {
			ssl.Verify = 0
		}
		ssl.TLV = appendTLV(ssl.TLV, proxyproto.PP2_SUBTYPE_SSL_CN, id.CommonName)
	}
	ssl.TLV = appendTLV(ssl.TLV, proxyproto.PP2_SUBTYPE_SSL_CIPHER, cipherName(cs.CipherSuite))
	return ssl
}

// maxTLV bounds a name that a client chose, so that every receiver has room for
// the header. No name of DNS and no protocol is longer.
const maxTLV = 255

// appendTLV leaves out what is empty, no text, or too long: a name that was cut
// would be another one.
func appendTLV(tlvs []proxyproto.TLV, kind proxyproto.PP2Type, value string) []proxyproto.TLV {
	if value == "" || len(value) > maxTLV || !utf8.ValidString(value) {
		return tlvs
	}
	return append(tlvs, proxyproto.TLV{Type: kind, Value: []byte(value)})
}

var sslVersions = map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}

// cipherName is OpenSSL's name of a suite. Those of TLS 1.3 have only IANA's.
func cipherName(id uint16) string {
	switch id {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-ECDSA-AES128-GCM-SHA256"
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-RSA-AES128-GCM-SHA256"
	case tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-ECDSA-AES256-GCM-SHA384"
	case tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-RSA-AES256-GCM-SHA384"
	case tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return "ECDHE-ECDSA-CHACHA20-POLY1305"
	case tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return "ECDHE-RSA-CHACHA20-POLY1305"
	}
	return tls.CipherSuiteName(id)
}
