package main

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

const routeCategory = "Routes"

// routeFlags are those of a tunnel to several places.
func routeFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(routeCategory, "route", "`SNI=TARGET`: where clients go that ask for this server name, or for one label more: *.example.org=…; TO is for all others"),
		listFlag(routeCategory, "route-alpn", "`PROTOCOL=TARGET`: where clients go that speak this application protocol, and whose name has no route; it is offered as by --alpn"),
		boolFlag(routeCategory, "passthrough", "do not terminate TLS: look at the ClientHello, and hand all on as it came, to plain targets"),
	}
}

// A tunnel is what forward makes of its flags: all targets, and the handler that
// chooses among them.
type tunnel struct {
	*serving
	flags     *cli.Context
	forward   service.Forward
	endpoints []endpoint.Endpoint
	targets   []*service.Targets
}

// add makes the targets of one route, or of TO.
func (t *tunnel) add(to []endpoint.Endpoint) (*service.Targets, error) {
	targets, err := t.balanced(t.flags, to)
	if err != nil {
		return nil, err
	}
	targets.CheckPreamble = service.LocalProxyHeader(t.forward.ProxyOut)
	t.endpoints, t.targets = append(t.endpoints, to...), append(t.targets, targets)
	t.background = append(t.background, targets.Run)
	return targets, nil
}

func (t *tunnel) setDialer(d *tlsclient.Dialer) {
	for _, targets := range t.targets {
		targets.SetDialer(d)
	}
}

// readRoutes reads the routes of the flags. Their protocols are offered too.
func (t *tunnel) readRoutes() (err error) {
	if t.forward.Routes.Names, err = t.routesOf("route", tlsserver.ServerName); err != nil {
		return err
	}
	if t.forward.Routes.Protos, err = t.routesOf("route-alpn", checkProto); err != nil {
		return err
	}
	for _, proto := range slices.Sorted(maps.Keys(t.forward.Routes.Protos)) {
		if !slices.Contains(t.server.NextProtos, proto) {
			t.server.NextProtos = append(t.server.NextProtos, proto)
		}
	}
	return nil
}

// routesOf reads the routes of one flag; those with the same key are one with
// several targets.
func (t *tunnel) routesOf(flag string, check func(string) (string, error)) (map[string]*service.Targets, error) {
	hint := "for instance: --" + flag + " " + routeExamples[flag]
	byKey := make(map[string][]string)
	for _, text := range list(t.flags, flag) {
		key, to, found := strings.Cut(text, "=")
		if !found || key == "" || to == "" {
			return nil, misuse(hint, "flag --%s: %q is not of the form %s", flag, text, routeForms[flag])
		}
		key, err := check(key)
		if err != nil {
			return nil, misuse(hint, "flag --%s: %q: %v", flag, text, err)
		}
		byKey[key] = append(byKey[key], to)
	}
	routes := make(map[string]*service.Targets)
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		to, err := t.targetsOf(byKey[key])
		if err != nil {
			return nil, err
		}
		if routes[key], err = t.add(to); err != nil {
			return nil, err
		}
	}
	return routes, nil
}

var (
	routeForms    = map[string]string{"route": "SNI=TARGET", "route-alpn": "PROTOCOL=TARGET"}
	routeExamples = map[string]string{"route": "db.example.org=tcp://10.0.0.5:5432", "route-alpn": "h2=tcp://10.0.0.5:8080"}
)

// checkProto bounds a protocol's name (RFC 7301, 3.1).
func checkProto(s string) (string, error) {
	if len(s) > 255 {
		return "", errors.New("more than 255 bytes")
	}
	return s, nil
}

// certificateFlags are about TLS that ends here.
var certificateFlags = []string{"cert", "key", "min", "max", "tls12-ciphers", "no-tickets", "alpn", "alpn-required", "strict-sni", "local", "for", "acme", "acme-on-demand"}

// checkPassthrough refuses what cannot be where TLS does not end here.
func (s *serving) checkPassthrough(c *cli.Context) error {
	if !s.passthrough {
		return nil
	}
	for _, e := range s.endpoints {
		if !e.TLS() {
			return misuse("use tcps:// or unixs://, or leave --passthrough out", "--passthrough, but %s is plain: there is no ClientHello to look at", e)
		}
	}
	for _, flag := range append([]string{"to-ca", "to-name", "to-cert", "to-key"}, certificateFlags...) {
		if c.IsSet(flag) {
			return misuse("leave one of them out", "--%s together with --passthrough: TLS neither ends nor begins here, but goes through", flag)
		}
	}
	if s.trust.asksClients() {
		return misuse("the target has to ask for certificates", "--client-ca, --client-auth or rules together with --passthrough: nobody shows a certificate here")
	}
	return nil
}
