package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

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

// A route is one key's targets.
type route struct {
	key     string
	targets []string
}

// routesOf reads the routes of a flag, in order; those with the same key are
// one with several targets.
func (s *serving) routesOf(c *cli.Context, flag string, check func(string) (string, error)) ([]route, error) {
	var routes []route
	for _, text := range list(c, flag) {
		key, to, found := strings.Cut(text, "=")
		if !found || key == "" || to == "" {
			return nil, misuse("for instance: --"+flag+" "+routeExamples[flag], "flag --%s: %q is not of the form %s", flag, text, routeForms[flag])
		}
		key, err := check(key)
		if err != nil {
			return nil, misuse("for instance: --"+flag+" "+routeExamples[flag], "flag --%s: %q: %v", flag, text, err)
		}
		targets, err := s.targetsOf("flag --"+flag, []string{to})
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(routes, func(r route) bool { return r.key == key })
		if i < 0 {
			i = len(routes)
			routes = append(routes, route{key: key})
		}
		routes[i].targets = append(routes[i].targets, targets...)
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

// readRoutes gives a tunnel the routes of the flags, whose protocols are
// offered too. The targets are made as TO is.
func (s *serving) readRoutes(c *cli.Context, f *service.Forward, newTargets func([]string) *service.Targets) error {
	names, err := s.routesOf(c, "route", service.ServerName)
	if err != nil {
		return err
	}
	protos, err := s.routesOf(c, "route-alpn", checkProto)
	if err != nil {
		return err
	}
	f.Routes = service.Routes{Names: make(map[string]*service.Targets), Protos: make(map[string]*service.Targets)}
	for _, r := range names {
		f.Routes.Names[r.key] = newTargets(r.targets)
	}
	for _, r := range protos {
		f.Routes.Protos[r.key] = newTargets(r.targets)
		if !slices.Contains(s.server.NextProtos, r.key) {
			s.server.NextProtos = append(s.server.NextProtos, r.key)
		}
	}
	return nil
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
