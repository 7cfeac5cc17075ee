package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/net/http/httpproxy"

	"tcps/internal/endpoint"
	"tcps/tlsclient"
	"tcps/tlsserver/service"
)

// The password for a proxy comes from the environment, never from the command
// line, which everybody on the machine can read, nor from a file of settings. In
// ALL_PROXY it may stand where other programs look for it, in the URL.

const viaVariable = "TCPS_VIA_PASSWORD"

// viaFlags are for what lies between us and a server.
func viaFlags() []cli.Flag {
	via := stringFlag("Connecting", "via", "",
		"`URL` of a proxy that resolves the name: socks5://[USER@]HOST:PORT or http://… (the password: "+viaVariable+"); none: no proxy")
	via.DefaultText = "$ALL_PROXY, but not for this machine and $NO_PROXY"
	return []cli.Flag{
		via,
		stringFlag(proxyCategory, "proxy-send", "", "`VERSION`, v1 or v2, of a PROXY header that we send first, with the addresses of our connection"),
		stringFlag(proxyCategory, "proxy-send-source", "", "`ADDRESS:PORT` that the header gives as the client's, instead of our own"),
	}
}

// dialVia sets the proxy that leads to a server, and what goes before all else.
func dialVia(c *cli.Context, d *tlsclient.Dialer, target endpoint.Endpoint) error {
	var err error
	if d.Via, err = viaOf(c, target); err != nil {
		return err
	}
	if d.Via != nil && d.Via.User != nil {
		if _, has := d.Via.User.Password(); !has {
			d.Via.User = url.UserPassword(d.Via.User.Username(), os.Getenv(viaVariable))
		}
	}
	return dialProxySend(c, d, target)
}

func viaOf(c *cli.Context, target endpoint.Endpoint) (*url.URL, error) {
	text := c.String("via")
	switch {
	case text == "":
		return environmentProxy(target)
	case text == "none":
		return nil, nil
	case target.IsUnix():
		return nil, misuse("leave it out", "--via with %s: no proxy leads to a Unix socket", target)
	}
	via, err := tlsclient.ParseVia(text)
	if err != nil {
		return nil, misuse("write socks5://[USER@]HOST:PORT, http://[USER@]HOST:PORT or none", "flag --via: %v", err)
	}
	if _, has := via.User.Password(); has {
		return nil, misuse("write it without the password, and set "+viaVariable, "flag --via: the URL has a password: everybody on this machine can read what stands on a command line")
	}
	return via, nil
}

// environmentProxy is the proxy that the environment has for a server, as curl
// and others read it: the variable in lower case counts more, and a URL without
// a scheme is HTTP's.
func environmentProxy(target endpoint.Endpoint) (*url.URL, error) {
	name, text := allProxy()
	if text == "" || target.Local() || strings.HasSuffix(strings.ToLower(target.Host), ".localhost") {
		return nil, nil
	}
	rules := httpproxy.Config{HTTPSProxy: "http://proxy", NoProxy: httpproxy.FromEnvironment().NoProxy}
	if via, err := rules.ProxyFunc()(&url.URL{Scheme: "https", Host: target.Address()}); via == nil || err != nil {
		return nil, nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	via, err := tlsclient.ParseVia(text)
	if err != nil {
		return nil, misuse("--via none goes without it, --via URL through another proxy", "variable %s: %v", name, err)
	}
	return via, nil
}

func allProxy() (name, value string) {
	if value := os.Getenv("all_proxy"); value != "" {
		return "all_proxy", value
	}
	return "ALL_PROXY", os.Getenv("ALL_PROXY")
}

func dialProxySend(c *cli.Context, d *tlsclient.Dialer, target endpoint.Endpoint) error {
	version, err := proxyVersionOf(c, "proxy-send")
	if err != nil {
		return err
	}
	var source net.Addr
	if text := c.String("proxy-send-source"); text != "" {
		from, err := netip.ParseAddrPort(text)
		switch {
		case err != nil:
			return misuse("write it as 192.0.2.1:40000 or [2001:db8::1]:40000", "flag --proxy-send-source: %q is not an address and a port", text)
		case version == 0:
			return misuse("say which header: --proxy-send v1 or --proxy-send v2", "--proxy-send-source without --proxy-send: no header is sent")
		case target.IsUnix():
			return misuse("leave it out", "--proxy-send-source with %s: the header for a Unix socket has no addresses", target)
		}
		source = net.TCPAddrFromAddrPort(from)
	}
	if version == 0 {
		return nil
	}
	d.Preamble = func(local, remote net.Addr) ([]byte, error) {
		if source != nil {
			local = source
		}
		return service.OwnProxyHeader(version, local, remote)
	}
	return nil
}

// describeVia says what lies in between.
func describeVia(c *cli.Context, w io.Writer, conn *tlsclient.Conn) {
	if via := conn.Via(); via != "" {
		fmt.Fprintf(w, "tcps: through the proxy %s%s\n", via, viaSource(c))
	}
}

func viaSource(c *cli.Context) string {
	if c.String("via") != "" {
		return ""
	}
	name, _ := allProxy()
	return ", which the variable " + name + " names"
}

// viaHints are for what went wrong at the proxy.
func viaHints(c *cli.Context, failed *tlsclient.Error) []string {
	proxy, ok := errors.AsType[*tlsclient.ViaError](failed)
	if !ok {
		return cutByProxyHints(c, failed)
	}
	var hints []string
	switch {
	case failed.Reason == tlsclient.ReasonProxyAuthentication && !strings.Contains(proxy.Proxy, "@"):
		hints = []string{"name the user in the URL of the proxy, socks5://USER@HOST:PORT, and set " + viaVariable + " to the password"}
	case failed.Reason == tlsclient.ReasonProxyAuthentication:
		hints = []string{"the password comes from " + viaVariable}
	case proxy.Refused:
		hints = []string{"the proxy resolves the name and connects: ask who runs it whether it may, and can"}
	case failed.Timeout():
		hints = []string{"is the proxy of that kind (socks5 or http)? --timeout bounds the way to it and its answer too"}
	default:
		hints = []string{"is the proxy running, is that its address, and is it of that kind (socks5 or http)?"}
	}
	if source := viaSource(c); source != "" {
		hints = append(hints, "that is the proxy"+source+"; --via none goes without it")
	}
	return hints
}

// cutByProxyHints are for a stream that was cut, where a proxy may have done it.
func cutByProxyHints(c *cli.Context, failed *tlsclient.Error) []string {
	if failed.Via == "" || failed.Reason != tlsclient.ReasonTruncated || c.String("on-eof") != "half" {
		return nil
	}
	return []string{"some proxies end both directions when one ends: --on-eof keep leaves ours open"}
}
