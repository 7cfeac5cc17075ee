package service

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"unicode"

	"tcps/internal/pin"
	"tcps/tlsserver"
)

// ownPrefix begins the names of the variables that tcps reads and sets. None is
// handed on: they may hold a passphrase, and none must be taken for one of ours.
const ownPrefix = "TCPS_"

// environment is base, and what is known of the connection. What is not known
// is not set; a list has one value a line.
//
//	TCPS_PEER_ADDRESS, TCPS_PEER_PORT      the peer's; not on Unix sockets
//	TCPS_LOCAL_ADDRESS, TCPS_LOCAL_PORT    what it connected to; a Unix socket's path
//	TCPS_PEER_VERIFIED                     1 where an authority vouches for the names:
//	TCPS_PEER_IDENTITY                     the peer in one word: its common name, URI, DNS name, address or pin:…
//	TCPS_PEER_CN, TCPS_PEER_OU, TCPS_PEER_DNS, TCPS_PEER_IP, TCPS_PEER_EMAIL, TCPS_PEER_URI
//	                                       the names of its certificate; OU and those after it are lists
//	TCPS_PEER_PIN                          of its public key, as --allow-pin takes it
//	TCPS_TLS_VERSION, TCPS_TLS_SNI, TCPS_TLS_ALPN
//	                                       what was negotiated, and the name it asked for
//	TCPS_CONNECTION_ID                     Conn.ID
func environment(base []string, c *tlsserver.Conn) []string {
	env := make(variables, 0, len(base)+16)
	for _, v := range base {
		if !strings.HasPrefix(strings.ToUpper(v), ownPrefix) { // Windows takes tcps_ for it too
			env = append(env, v)
		}
	}
	env.setAddress("PEER", c.RemoteAddr())
	env.setAddress("LOCAL", c.LocalAddr())
	if cs := c.TLS(); cs != nil {
		env.set("TLS_VERSION", tls.VersionName(cs.Version))
		env.set("TLS_SNI", c.ServerName())
		env.set("TLS_ALPN", cs.NegotiatedProtocol)
		env.set("CONNECTION_ID", c.ID())
	}
	if id := c.Identity(); id != nil {
		env.setIdentity(id)
	}
	return env
}

// variables are an environment, in the form of os.Environ.
type variables []string

// set adds a variable if there is a value. Values that hold control characters
// are left out: a line break would make two of one, and a NUL ends it for C.
func (v *variables) set(name string, values ...string) {
	var safe []string
	for _, value := range values {
		if value != "" && !strings.ContainsFunc(value, unicode.IsControl) {
			safe = append(safe, value)
		}
	}
	if len(safe) > 0 {
		*v = append(*v, ownPrefix+name+"="+strings.Join(safe, "\n"))
	}
}

func (v *variables) setAddress(who string, a net.Addr) {
	host, port, err := net.SplitHostPort(a.String())
	if a.Network() == "unix" || err != nil {
		if a.String() != "@" { // a socket that is bound to no name
			v.set(who+"_ADDRESS", a.String())
		}
		return
	}
	v.set(who+"_ADDRESS", host)
	v.set(who+"_PORT", port)
}

func (v *variables) setIdentity(id *tlsserver.Identity) {
	if id.Verified {
		v.set("PEER_VERIFIED", "1")
	}
	v.set("PEER_IDENTITY", id.String())
	v.set("PEER_CN", id.CommonName)
	v.set("PEER_OU", id.OrganizationalUnits...)
	v.set("PEER_DNS", id.DNSNames...)
	v.set("PEER_IP", texts(id.IPAddresses)...)
	v.set("PEER_EMAIL", id.EmailAddresses...)
	v.set("PEER_URI", id.URIs...)
	v.set("PEER_PIN", pin.String(id.Pin))
}

func texts(addrs []netip.Addr) []string {
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return s
}
