package service

import (
	"fmt"
	"strings"
	"sync/atomic"

	"tcps/internal/terminal"
	"tcps/tlsserver"
)

// A NameSource says where the names of members come from.
type NameSource int

// The sources of names.
const (
	// NameFromCertificate is the certificate's common name, else its first URI,
	// else what Identity.String has. Who has no certificate, or one whose name is
	// longer than 256 bytes, gets the address. Members with the same certificate
	// have the same name.
	NameFromCertificate NameSource = iota

	// NameFromAddress is host:port, as in the original. On Unix sockets, where
	// peers have none, it is unix:1, unix:2 …
	NameFromAddress
)

// maxName bounds a name, which precedes each of its member's lines.
const maxName = 256

// A namer names the members of one Broadcast.
type namer struct{ unix atomic.Int64 } // peers without an address so far

func (n *namer) name(c *tlsserver.Conn, from NameSource) string {
	if from == NameFromCertificate {
		if name := safeName(certificateName(c.Identity())); name != "" && len(name) <= maxName {
			return name
		}
	}
	// A Unix socket's peer may have an address, but chose it itself.
	if addr := c.RemoteAddr(); addr.Network() != "unix" {
		return safeName(addr.String())
	}
	return fmt.Sprintf("unix:%d", n.unix.Add(1))
}

func certificateName(id *tlsserver.Identity) string {
	switch {
	case id == nil:
		return ""
	case strings.TrimSpace(id.CommonName) != "":
		return id.CommonName
	case len(id.URIs) > 0:
		return id.URIs[0]
	default:
		return id.String()
	}
}

// safeName makes a name that cannot be taken for another one, for more than a
// name, or for the end of one: what is not printable is escaped, and so are the
// > that ends a name and spaces around it. Two names never become one, because
// the backslash of an escape is itself escaped elsewhere.
func safeName(name string) string {
	name = terminal.Printable(strings.ReplaceAll(name, `\`, `\\`))
	name = strings.ReplaceAll(name, ">", `\x3e`)
	if rest, ok := strings.CutPrefix(name, " "); ok {
		name = `\x20` + rest
	}
	if rest, ok := strings.CutSuffix(name, " "); ok {
		name = rest + `\x20`
	}
	return name
}
