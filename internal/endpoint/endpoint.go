// Package endpoint parses and prints endpoints: where one listens or dials,
// written as a URL in a string.
package endpoint

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The schemes of an endpoint.
const (
	TCPS  = "tcps"  // TLS over TCP
	TCP   = "tcp"   // plain TCP
	Unix  = "unix"  // plain, over a Unix socket
	UnixS = "unixs" // TLS over a Unix socket
)

// DefaultPort is dialled and listened on when an endpoint names no port.
const DefaultPort = "8120"

// maxUnixPath is the longest path that fits into sockaddr_un on every system
// that tcps runs on (104 bytes on macOS, with the final zero).
const maxUnixPath = 103

// An Endpoint is a parsed endpoint. The zero value is not a valid one.
type Endpoint struct {
	Scheme string // one of TCPS, TCP, Unix, UnixS
	Host   string // without brackets; empty: all addresses when listening
	Port   string // decimal
	Path   string // of a Unix socket

	Mode  fs.FileMode // of a Unix socket that is listened on; 0: by the umask
	Owner string      // user, group or both as user:group; empty: unchanged
}

// Parse reads an endpoint: tcps://host:port, tcp://host:port,
// unix:///path?mode=0660&owner=user:group, unixs:///path, or, without a
// scheme, host:port or host, which mean tcps. A missing port is DefaultPort.
func Parse(s string) (Endpoint, error) {
	e, err := parse(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf("parse endpoint %q: %w", s, err)
	}
	return e, nil
}

func parse(s string) (Endpoint, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") {
			return Endpoint{}, fmt.Errorf("a path needs its scheme: write %q or %q", Unix+"://"+s, UnixS+"://"+s)
		}
		scheme, rest = TCPS, s
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case TCPS, TCP:
		return parseHostPort(scheme, rest)
	case Unix, UnixS:
		return parseUnix(scheme, rest)
	case "tls", "ssl", "https":
		return Endpoint{}, fmt.Errorf("unknown scheme %q: TLS is written tcps://", scheme)
	default:
		return Endpoint{}, fmt.Errorf("unknown scheme %q: want tcps, tcp, unix or unixs", scheme)
	}
}

func parseHostPort(scheme, rest string) (Endpoint, error) {
	if i := strings.IndexAny(rest, "/?#@ \t\r\n\x00"); i >= 0 {
		return Endpoint{}, fmt.Errorf("%q does not belong after host:port", rest[i:])
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return Endpoint{}, err
	}
	if port, err = checkPort(port); err != nil {
		return Endpoint{}, err
	}
	return Endpoint{Scheme: scheme, Host: host, Port: port}, nil
}

// splitHostPort is net.SplitHostPort with a default port, and it says how an
// IPv6 address is to be written.
func splitHostPort(s string) (host, port string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("neither a host nor a port: want host:port")
	}
	bare, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		bare, bracketed = strings.CutSuffix(bare, "]")
	}
	if addr, err := netip.ParseAddr(bare); err == nil && addr.Is6() {
		if bracketed {
			return bare, DefaultPort, nil
		}
		if !strings.HasPrefix(s, "[") {
			return "", "", fmt.Errorf("an IPv6 address needs brackets: %q", "["+s+"]:port")
		}
	}
	if !strings.ContainsAny(s, ":[]") {
		return s, DefaultPort, nil
	}
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		if addrErr, ok := err.(*net.AddrError); ok {
			return "", "", fmt.Errorf("%s: want host:port or [address]:port", addrErr.Err)
		}
		return "", "", err
	}
	if strings.ContainsAny(host, "[]") {
		return "", "", fmt.Errorf("a bracket too many in host %q", host)
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", "", fmt.Errorf("host %q is not an IPv6 address", host)
		}
	}
	return host, port, nil
}

func checkPort(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("the port is missing after the colon")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return "", fmt.Errorf("port %q is not a number", s)
	}
	if n > 65535 {
		return "", fmt.Errorf("port %d is not between 0 and 65535", n)
	}
	return strconv.FormatUint(n, 10), nil
}

func parseUnix(scheme, rest string) (Endpoint, error) {
	rest, query, hasQuery := strings.Cut(rest, "?")
	path, err := url.PathUnescape(rest)
	if err != nil {
		return Endpoint{}, fmt.Errorf("path %q: a %% must be written %%25", rest)
	}
	switch {
	case path == "":
		return Endpoint{}, fmt.Errorf("no path: want %s:///path", scheme)
	case strings.ContainsRune(path, 0):
		return Endpoint{}, fmt.Errorf("a path cannot hold a zero byte")
	case len(path) > maxUnixPath:
		return Endpoint{}, fmt.Errorf("the path has %d bytes, a Unix socket's may have %d", len(path), maxUnixPath)
	}
	e := Endpoint{Scheme: scheme, Path: path}
	if !hasQuery {
		return e, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Endpoint{}, fmt.Errorf("options %q: %w", query, err)
	}
	for name, all := range values {
		value := all[len(all)-1]
		switch name {
		case "mode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil || mode == 0 || mode > 0o777 {
				return Endpoint{}, fmt.Errorf("mode %q is not an octal number from 1 to 0777", value)
			}
			e.Mode = fs.FileMode(mode)
		case "owner":
			if value == "" {
				return Endpoint{}, fmt.Errorf("owner is empty: want a user, or user:group")
			}
			e.Owner = value
		default:
			return Endpoint{}, fmt.Errorf("unknown option %q: want mode or owner", name)
		}
	}
	return e, nil
}

// TLS reports whether the endpoint speaks TLS.
func (e Endpoint) TLS() bool { return e.Scheme == TCPS || e.Scheme == UnixS }

// IsUnix reports whether the endpoint is a Unix socket.
func (e Endpoint) IsUnix() bool { return e.Scheme == Unix || e.Scheme == UnixS }

// Network is the network for net.Listen and net.Dial: tcp or unix.
func (e Endpoint) Network() string {
	if e.IsUnix() {
		return "unix"
	}
	return "tcp"
}

// Address is the address for net.Listen and net.Dial.
func (e Endpoint) Address() string {
	if e.IsUnix() {
		return e.Path
	}
	return net.JoinHostPort(e.Host, e.Port)
}

// Local reports whether only this machine can reach the endpoint: a Unix
// socket, a loopback address, or localhost.
func (e Endpoint) Local() bool {
	if e.IsUnix() || strings.EqualFold(e.Host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(e.Host)
	return err == nil && addr.Unmap().IsLoopback()
}

// String writes the endpoint as Parse reads it.
func (e Endpoint) String() string {
	if !e.IsUnix() {
		return e.Scheme + "://" + e.Address()
	}
	s := e.Scheme + "://" + (&url.URL{Path: e.Path}).EscapedPath()
	if !strings.HasPrefix(e.Path, "/") {
		s = e.Scheme + "://" + strings.NewReplacer("%", "%25", "?", "%3F").Replace(e.Path)
	}
	options := url.Values{}
	if e.Mode != 0 {
		options.Set("mode", fmt.Sprintf("%#o", uint32(e.Mode)))
	}
	if e.Owner != "" {
		options.Set("owner", e.Owner)
	}
	if len(options) > 0 {
		s += "?" + options.Encode()
	}
	return s
}
