package tlsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"tcps/internal/endpoint"
	"tcps/internal/reason"
)

// A proxy is dialled as a server would be, and asked in plain to connect to the
// endpoint's host and port. What follows its answer are the server's bytes: so
// not one byte is read beyond the answer.

// A ViaError says what went wrong on the way through Dialer.Via. It is in the
// chain of an Error, which says what it means for the connection.
type ViaError struct {
	Proxy   string // its URL, without the password
	Refused bool   // the proxy answered that it does not connect us
	Err     error
}

func (e *ViaError) Error() string { return "through " + e.Proxy + ": " + e.Err.Error() }
func (e *ViaError) Unwrap() error { return e.Err }

// viaPorts are the schemes, and the ports that are meant without one. socks5h
// is what curl calls socks5 with names that the proxy resolves: all of ours.
var viaPorts = map[string]string{"socks5": "1080", "socks5h": "1080", "http": "80"}

// ParseVia reads the URL of a proxy for Dialer.Via: socks5://HOST:PORT or
// http://HOST:PORT, with USER@ or USER:PASSWORD@ before the host. An error does
// not quote the text, which may have a password in it.
func ParseVia(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		return nil, errors.New("a proxy is written as socks5://HOST:PORT or http://HOST:PORT")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not the URL of a proxy: want socks5://HOST:PORT or http://HOST:PORT")
	}
	return u, checkProxy(u)
}

func checkProxy(u *url.URL) error {
	_, known := viaPorts[u.Scheme]
	switch {
	case u.Scheme == "https":
		return errors.New("proxies are not spoken to in TLS: want socks5:// or http://")
	case !known:
		return fmt.Errorf("unknown scheme %q of a proxy: want socks5 or http", u.Scheme)
	case u.Hostname() == "":
		return errors.New("the URL of the proxy has no host")
	case u.Port() == "0":
		return errors.New("the URL of the proxy has port 0, which is nobody's")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the URL of a proxy ends with its port")
	}
	password, _ := u.User.Password()
	switch user := u.User.Username(); {
	case u.Scheme == "http" && strings.Contains(user, ":"):
		return errors.New("the name of a user cannot have a colon (RFC 7617, 2)")
	case u.Scheme != "http" && (len(user) > 255 || len(password) > 255 || u.User != nil && user == ""):
		return errors.New("a SOCKS proxy takes names of 1 to 255 bytes, and passwords of 255 at most (RFC 1929, 2)")
	}
	return nil
}

// checkVia refuses what no proxy can lead to.
func (d *Dialer) checkVia(e endpoint.Endpoint) error {
	if d.Via == nil {
		return nil
	}
	if err := checkProxy(d.Via); err != nil {
		return fmt.Errorf("use Via: %w", err)
	}
	isControl := func(r rune) bool { return r <= ' ' || r == 0x7f }
	switch {
	case e.IsUnix():
		return errors.New("a proxy (Via) does not lead to Unix sockets")
	case e.Host == "" || len(e.Host) > 255 || strings.ContainsFunc(e.Host, isControl):
		return errors.New("a proxy (Via) takes hosts of 1 to 255 bytes, without spaces")
	case strings.Contains(e.Host, "%"):
		return errors.New("the zone of the address means nothing to a proxy (Via)")
	}
	return nil
}

// viaName is the URL of a proxy without the password.
func viaName(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}

// connectVia connects to the proxy, and through it to the endpoint.
func (d *Dialer) connectVia(ctx context.Context, e endpoint.Endpoint) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		answer, refused := errors.AsType[*refusal](err)
		if refused { // its text is a stranger's, and says nothing of TLS
			why := reason.Failed
			if answer.auth {
				why = ReasonProxyAuthentication
			}
			err = &reason.Error{Reason: why, Err: err}
		}
		return nil, &ViaError{Proxy: viaName(d.Via), Refused: refused, Err: bare(err)}
	}
	proxy := endpoint.Endpoint{Scheme: endpoint.TCP, Host: d.Via.Hostname(), Port: d.Via.Port()}
	if proxy.Port == "" {
		proxy.Port = viaPorts[d.Via.Scheme]
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", e.Port)
	if err != nil {
		return nil, err
	}
	nc, err := d.connectTo(ctx, proxy)
	if err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(past) })
	if d.Via.Scheme == "http" {
		err = connectHTTP(nc, d.Via.User, e.Host, port)
	} else {
		err = connectSOCKS(nc, d.Via.User, e.Host, port)
	}
	if !stop() { // it was ended, whatever it says
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return fail(err)
	}
	return nc, nil
}

// past is a deadline that is over on every clock.
var past = time.Unix(1, 0)

// A refusal is a proxy's answer that it does not connect us.
type refusal struct {
	text string
	auth bool // for who we are
}

func (r *refusal) Error() string { return r.text }

// short says of an answer that ended too early that it did.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the proxy ended the connection before its answer was whole")
	}
	return err
}

// Via is the proxy that leads to the server, without its password; empty: there
// is none.
func (c *Conn) Via() string { return c.via }
