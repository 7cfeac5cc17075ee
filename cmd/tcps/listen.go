package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/terminal"
	"tcps/tlsserver"
)

// readEndpoints reads where to listen; what says where that was written.
func (s *serving) readEndpoints(c *cli.Context, what string, listen []string) error {
	for _, text := range listen {
		e, err := endpoint.Parse(text)
		if err != nil {
			return misuse("write it as tcps://127.0.0.1:8120, :8120 or unix:///path", "%s: %v", what, err)
		}
		if err := s.checkPlain(c, e); err != nil {
			return err
		}
		s.endpoints = append(s.endpoints, e)
	}
	if err := s.checkPassthrough(c); err != nil || s.secure() || s.passthrough {
		return err
	}
	for _, flag := range append([]string{"route", "route-alpn"}, certificateFlags...) {
		if c.IsSet(flag) {
			return misuse("use tcps:// or unixs://, or leave the flag out", "--%s, but no listener speaks TLS", flag)
		}
	}
	return nil
}

// checkPlain refuses what a plain listener cannot keep.
func (s *serving) checkPlain(c *cli.Context, e endpoint.Endpoint) error {
	switch {
	case e.TLS():
		return nil
	case s.trust.asksClients():
		return misuse("use tcps:// or unixs:// there", "%s is plain: nobody shows a certificate there that --client-ca, --client-auth or rules could judge", e)
	case !e.Local() && !c.Bool("allow-plain"):
		return misuse("use tcps://, or say --allow-plain if that is meant", "%s is plain and other machines can reach it: what is said there could be read and changed", e)
	}
	return nil
}

// secure reports whether TLS ends here.
func (s *serving) secure() bool {
	for _, e := range s.endpoints {
		if e.TLS() && !s.passthrough {
			return true
		}
	}
	return false
}

// A listenFunc listens on an endpoint of a unit.
type listenFunc func(context.Context, *unit, endpoint.Endpoint) (net.Listener, error)

func listenAnew(ctx context.Context, _ *unit, e endpoint.Endpoint) (net.Listener, error) {
	return tlsserver.Listen(ctx, e.String())
}

// A listening is a listener and how it is to be served.
type listening struct {
	net.Listener
	endpoint endpoint.Endpoint // with the port that was bound
}

// listenAll listens on all endpoints; what is open stays so on an error.
func (u *unit) listenAll(ctx context.Context, listen listenFunc) (all []listening, err error) {
	for _, e := range u.endpoints {
		l, err := listen(ctx, u, e)
		if err != nil {
			return all, failure(err, listenHint(err)...)
		}
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			e.Port = fmt.Sprint(tcp.Port)
		}
		all = append(all, listening{l, e})
	}
	return all, nil
}

func closeAll(listeners []listening) {
	for _, l := range listeners {
		l.Close()
	}
}

func listenHint(err error) []string {
	if known, ok := errors.AsType[*problem](err); ok {
		return known.hints
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return []string{"another program listens there: end it, or listen elsewhere (port 0 takes a free one)"}
	case errors.Is(err, syscall.EACCES):
		return []string{"this user may not listen there: ports below 1024 need root or CAP_NET_BIND_SERVICE, a Unix socket a folder to write to"}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return []string{"this machine does not have that address: listen on one it has, or on all of them: :8120"}
	}
	return nil
}

// announce says what is served where, and how to try it.
func (s *serving) announce(c *cli.Context, listeners []listening, local bool) {
	for _, l := range listeners {
		attrs := []any{"service", s.name, "endpoint", l.endpoint.String()}
		if s.called != "" { // each line says what it is called
			attrs = attrs[2:]
		}
		s.log.Info("serving", attrs...)
	}
	if !local {
		return
	}
	for _, l := range listeners {
		if l.endpoint.Scheme != endpoint.TCPS {
			continue
		}
		dir, err := authorityDir(c)
		if err != nil {
			return
		}
		address := reachable(l.endpoint)
		command := fmt.Sprintf("openssl s_client -connect %s -CAfile %s", withoutZone(address), terminal.ShellWord(rootFile(dir)))
		if protocol := s.server.StartTLS; protocol != "" {
			s.log.Info("try", "openssl", command+" -starttls "+protocol)
			return
		}
		s.log.Info("try", "openssl", command)
		s.log.Info("try", "tcps", "tcps connect "+address)
		return
	}
}

// withoutZone is an address as OpenSSL takes it: it knows no zones.
func withoutZone(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	host, _, _ = strings.Cut(host, "%")
	return net.JoinHostPort(host, port)
}

// reachable is host:port for a client on this machine.
func reachable(e endpoint.Endpoint) string {
	host := e.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, e.Port)
}
