package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/settings"
)

// A spec is one service of a file, as the command line that means the same: each
// value with where it comes from.
type spec struct {
	name    string // as it is given, else what it does and where
	at      settings.Position
	command *cli.Command // serve or forward, fresh
	what    string       // the service, "forward" for a tunnel
	args    []string     // what stands after the name of the service; a tunnel's targets
	listen  []string
	targets []string  // of a tunnel, those of its routes too
	secure  bool      // TLS ends here
	flags   []setting // in the table's order, those with their default too
	names   []nameSpec

	overruled []overruled

	nameSource, whatSource, listenSource string
}

// An overruled is a value of a service that does not count.
type overruled struct{ by, at string }

// A setting is what a flag of a service is.
type setting struct {
	flag      cli.Flag
	values    []string // nil: the default
	byDefault string   // what is shown for that
	source    string   // where it comes from
}

func (s *setting) name() string { return s.flag.Names()[0] }

// A nameSpec is what holds for clients that ask for one of some names.
type nameSpec struct {
	at    settings.Position
	names []string
	flags []setting
}

// The keys of a service that are no flags.
var serviceKeys = []string{"name", "service", "exec", "forward", "names"}

// A layer is where values may come from; an earlier one goes before a later one.
type layer struct {
	lookup func(flag cli.Flag) (values []string, source string, err error) // no values: not there
	own    bool                                                            // said of this very service
}

// specOf reads one service of a file.
func (p *program) specOf(f *configFile, v *settings.Value, over *cli.Context) (*spec, error) {
	s := &spec{at: v.At}
	if err := p.readWhat(s, f, v); err != nil {
		return nil, err
	}
	known := slices.Concat(serviceKeys, flagNames(s.command.Flags))
	for _, field := range v.Fields {
		if !slices.Contains(known, field.Key) {
			return nil, misuse(p.elsewhere(s, field.Key, known), "%s: unknown key %q of a service with %s", field.At, field.Key, s.what)
		}
	}
	own := f.layerOf(v.Fields, "")
	own.own = true
	layers := []layer{overLayer(over), environmentLayer(), own, f.layerOf(f.defaults, " (defaults)")}
	if err := s.readPlaces(layers); err != nil {
		return nil, err
	}
	if err := s.readNames(f, v); err != nil {
		return nil, err
	}
	if err := s.resolve(layers); err != nil {
		return nil, err
	}
	return s, s.readName(v)
}

// readWhat reads what is done with a connection.
func (p *program) readWhat(s *spec, f *configFile, v *settings.Value) error {
	var found []settings.Field
	for _, key := range []string{"service", "exec", "forward"} {
		if field, ok := fieldOf(v.Fields, key); ok {
			found = append(found, field)
		}
	}
	if len(found) != 1 {
		at, text := v.At, "a service needs one of the keys service, exec and forward"
		if len(found) > 1 {
			at, text = found[1].At, "a service has one of the keys service, exec and forward, and not several"
		}
		return misuse("service: echo, forward: tcp://127.0.0.1:5432 or exec: [cat], for instance", "%s: %s", at, text)
	}
	values, err := found[0].Value.Texts()
	if err != nil {
		return misuse(shapeHint, "%v", err)
	}
	if len(values) == 0 {
		return misuse(shapeHint, "%s: %s: the list is empty", found[0].At, found[0].Key)
	}
	s.command, s.what, s.whatSource = p.serveCommand(), values[0], found[0].At.String()
	switch found[0].Key {
	case "forward":
		for i := range values {
			values[i] = absoluteEndpoint(values[i], f.dir())
		}
		s.command, s.what, s.args = p.forwardCommand(), "forward", values
	case "exec":
		if strings.ContainsRune(values[0], filepath.Separator) {
			values[0] = absolute(values[0], f.dir())
		}
		s.what, s.args = "exec", values
	default:
		return p.checkService(found[0], values)
	}
	return nil
}

func (p *program) checkService(field settings.Field, values []string) error {
	kinds := serviceNames(p.serviceKinds())
	switch {
	case len(values) > 1:
		return misuse("write another service for the second one", "%s: service: want one name, and these are %d", field.Value.At, len(values))
	case values[0] == "exec":
		return misuse("write exec: [PROGRAM, ARGUMENT], and leave service out", "%s: service exec needs a program", field.Value.At)
	case values[0] == "forward":
		return misuse("write forward: TARGET, and leave service out", "%s: service forward needs a target", field.Value.At)
	case !slices.Contains(kinds, values[0]):
		return misuse(nearest(values[0], kinds), "%s: there is no service %q", field.Value.At, values[0])
	}
	return nil
}

// elsewhere is the hint for a key that is not there: it may be another
// command's.
func (p *program) elsewhere(s *spec, key string, known []string) string {
	for _, other := range []*cli.Command{p.serveCommand(), p.forwardCommand()} {
		if other.Name != s.command.Name && hasFlag(other, key) {
			return "it is a flag of tcps " + other.Name + " only"
		}
	}
	if slices.Contains(flagNames(processFlags()), key) {
		return "it is the process's: write it at the top, as process: {" + key + ": …}"
	}
	if hasFlag(p.connectCommand(), key) {
		return "it is a flag of tcps connect only"
	}
	return nearest(key, known)
}

func hasFlag(c *cli.Command, name string) bool {
	return slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// readPlaces reads where to listen, where a tunnel leads, and whether TLS ends
// here, before all else: what a default can mean depends on it.
func (s *spec) readPlaces(layers []layer) (err error) {
	if s.listen, s.listenSource, err = s.first(layers, "listen"); err != nil {
		return err
	}
	if s.what == "forward" && len(s.listen) == 0 {
		return misuse("for instance: listen: tcps://:8443", "%s: a service with forward needs the key listen", s.at)
	}
	if s.what == "forward" {
		s.targets = slices.Clone(s.args)
	}
	through, _, err := s.first(layers, "passthrough")
	if err != nil {
		return err
	}
	s.secure = s.listensTLS() && (anyPlain(s.listen) || !slices.Equal(through, []string{"true"}))
	for _, flag := range []string{"route", "route-alpn"} {
		routes, _, err := s.first(layers, flag)
		if err != nil {
			return err
		}
		for _, route := range routes {
			if _, to, ok := strings.Cut(route, "="); ok && s.listensTLS() {
				s.targets = append(s.targets, to)
			}
		}
	}
	return nil
}

func (s *spec) listensTLS() bool { return len(s.listen) == 0 || anyTLS(s.listen) }

// first is what the first layer that knows a flag says of it.
func (s *spec) first(layers []layer, name string) (values []string, source string, err error) {
	i := slices.Index(flagNames(s.command.Flags), name)
	if i < 0 {
		return nil, "", nil
	}
	for _, l := range layers {
		if values, source, err = l.lookup(s.command.Flags[i]); err != nil || len(values) > 0 {
			return values, source, err
		}
	}
	return nil, "", nil
}

// readName reads how the service is called.
func (s *spec) readName(v *settings.Value) error {
	s.name, s.nameSource = s.what, "default"
	if len(s.listen) > 0 {
		s.name += " " + s.listen[0]
	}
	field, ok := fieldOf(v.Fields, "name")
	if !ok {
		return nil
	}
	names, err := field.Value.Texts()
	if err != nil || len(names) != 1 || names[0] == "" {
		return misuse(shapeHint, "%s: name: want one name", field.At)
	}
	s.name, s.nameSource = names[0], field.At.String()
	return nil
}

// overLayer is what the command line of run says of all services.
func overLayer(over *cli.Context) layer {
	return layer{lookup: func(flag cli.Flag) ([]string, string, error) {
		name := flag.Names()[0]
		if over == nil || !hasFlag(over.Command, name) || !over.IsSet(name) {
			return nil, "", nil
		}
		values := valuesIn(over, flag)
		if text := os.Getenv(variableOf(flag)); text != "" && slices.Equal(strings.Split(text, "\n"), values) {
			return nil, "", nil // the environment says it
		}
		return values, "--" + name, nil
	}}
}

// environmentLayer is what the environment says of all services.
func environmentLayer() layer {
	return layer{lookup: func(flag cli.Flag) ([]string, string, error) {
		variable := variableOf(flag)
		text := os.Getenv(variable)
		if text == "" {
			return nil, "", nil
		}
		if _, ok := flag.(*cli.StringSliceFlag); ok {
			return slices.DeleteFunc(strings.Split(text, "\n"), func(v string) bool { return v == "" }), variable, nil
		}
		if _, ok := flag.(*cli.BoolFlag); ok { // there 1 and TRUE will do
			if truth, err := strconv.ParseBool(text); err == nil {
				text = strconv.FormatBool(truth)
			}
		}
		if err := checkValue(flag, text); err != nil {
			return nil, "", misuse(valueHint, "flag --%s: value %q from environment variable %q: %v", flag.Names()[0], text, variable, err)
		}
		return []string{text}, variable, nil
	}}
}

// layerOf is what a mapping of the file says; paths in it are relative to the file.
func (f *configFile) layerOf(fields []settings.Field, kind string) layer {
	return layer{lookup: func(flag cli.Flag) ([]string, string, error) {
		field, ok := fieldOf(fields, flag.Names()[0])
		if !ok {
			return nil, "", nil
		}
		values, err := f.valuesOf(field, flag)
		return values, field.At.String() + kind, err
	}}
}

// valuesOf reads the value of a key as the flag of that name takes it.
func (f *configFile) valuesOf(field settings.Field, flag cli.Flag) ([]string, error) {
	values, err := field.Value.Texts()
	if err != nil {
		return nil, misuse(shapeHint, "%v", err)
	}
	_, isList := flag.(*cli.StringSliceFlag)
	switch {
	case len(values) == 0:
		return nil, misuse("leave the key out if it is not meant", "%s: %s: the list is empty", field.At, field.Key)
	case field.Value.Kind == settings.List && !isList:
		return nil, misuse(valueHint, "%s: %s: want one value, and this is a list", field.Value.At, field.Key)
	}
	for i, value := range values {
		if value == "" {
			return nil, misuse("leave the key out if it is not meant", "%s: %s has an empty value", field.Value.At, field.Key)
		}
		if isList && strings.Contains(value, "\n") {
			return nil, misuse("write a list of values: [a, b]", "%s: %s: a value of several lines", field.Value.At, field.Key)
		}
		if err := checkValue(flag, value); err != nil {
			return nil, misuse(valueHint, "%s: %s: value %q: %v", field.Value.At, field.Key, value, err)
		}
		values[i] = absoluteValue(flag, value, f.dir())
	}
	return values, nil
}

// anyTLS reports whether any of these endpoints is for TLS; one that cannot be
// read counts, so that what is wrong with it is told.
func anyTLS(endpoints []string) bool {
	return slices.ContainsFunc(endpoints, func(text string) bool {
		e, err := endpoint.Parse(text)
		return err != nil || e.TLS()
	})
}

// anyPlain reports whether any of these endpoints is without TLS.
func anyPlain(endpoints []string) bool {
	return slices.ContainsFunc(endpoints, func(text string) bool {
		e, err := endpoint.Parse(text)
		return err == nil && !e.TLS()
	})
}

// onlyUnix reports whether all of these endpoints are Unix sockets.
func onlyUnix(endpoints []string) bool {
	return !slices.ContainsFunc(endpoints, func(text string) bool {
		e, err := endpoint.Parse(text)
		return err != nil || !e.IsUnix()
	})
}
