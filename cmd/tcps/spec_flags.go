package main

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/settings"
)

// variableOf is the environment variable of a flag.
func variableOf(f cli.Flag) string { return f.(cli.DocGenerationFlag).GetEnvVars()[0] }

// isPath reports whether a flag's value is a path: its usage says so.
func isPath(f cli.Flag) bool {
	usage := f.(cli.DocGenerationFlag).GetUsage()
	return strings.Contains(usage, "`FILE`") || strings.Contains(usage, "`DIR`")
}

// checkValue reports what is wrong with a value of a flag by its form.
func checkValue(f cli.Flag, value string) error {
	if _, ok := f.(*cli.BoolFlag); ok && value != "true" && value != "false" {
		return errors.New("neither true nor false")
	}
	if generic, ok := f.(*cli.GenericFlag); ok { // a fresh value: the flag's own is its default
		return reflect.New(reflect.TypeOf(generic.Value).Elem()).Interface().(cli.Generic).Set(value)
	}
	return nil
}

// valuesIn are the values that a flag has in a context.
func valuesIn(c *cli.Context, f cli.Flag) []string {
	name := f.Names()[0]
	switch f.(type) {
	case *cli.StringSliceFlag:
		return list(c, name)
	case *cli.BoolFlag:
		if c.Bool(name) {
			return []string{"true"}
		}
		return []string{"false"}
	}
	return []string{c.String(name)}
}

// defaultOf is how a flag's default is shown; empty: there is none.
func defaultOf(f cli.Flag) string {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return "false"
	case *cli.GenericFlag:
		if f.DefaultText != "" {
			return f.DefaultText
		}
		return f.Value.String()
	case *cli.StringSliceFlag:
		return f.DefaultText
	}
	return ""
}

// resolve gives every flag of the service its value. What is said of all
// services holds for those only for which it can mean something.
func (s *spec) resolve(layers []layer) error {
	for _, f := range s.command.Flags {
		one := setting{flag: f, byDefault: defaultOf(f), source: "default"}
		for _, l := range layers {
			values, source, err := l.lookup(f)
			if err == nil && len(values) == 0 || !l.own && !s.concerns(f.Names()[0]) {
				continue
			}
			if err != nil {
				return err
			}
			one.values, one.source = values, source
			break
		}
		s.flags = append(s.flags, one)
	}
	s.dropUseless(layers)
	s.noteOverruled(layers)
	return nil
}

// noteOverruled notes what the service says of itself, and something else goes
// before it.
func (s *spec) noteOverruled(layers []layer) {
	own := layers[slices.IndexFunc(layers, func(l layer) bool { return l.own })]
	for _, one := range s.flags {
		values, source, _ := own.lookup(one.flag)
		if len(values) > 0 && source != one.source && !slices.Equal(values, one.values) {
			s.overruled = append(s.overruled, overruled{one.source, source})
		}
	}
}

// warn tells of what does not count: a variable may have been meant for another
// command.
func (s *spec) warn(log *slog.Logger) {
	for _, o := range s.overruled {
		log.Warn("a value of the file does not count, another one goes before it", "counts", o.by, "not", o.at)
	}
}

// concerns reports whether a flag can mean something for the service.
func (s *spec) concerns(name string) bool {
	switch {
	case s.isOfAnotherService(name):
		return false
	case slices.Contains(certificateFlags, name), slices.Contains(flagNames(trustFlags()), name), strings.HasPrefix(name, "acme"):
		return s.secure
	case name == "route", name == "route-alpn":
		return s.listensTLS()
	case name == "passthrough":
		return !anyPlain(s.listen)
	case name == "starttls", name == "starttls-cancel":
		return s.secure && !anyPlain(s.listen)
	case name == "to-starttls":
		return !anyPlain(s.targets)
	case name == "4", name == "6", name == "bind":
		return !onlyUnix(s.targets)
	case strings.HasPrefix(name, "to-") && !strings.HasPrefix(name, "to-check"):
		return anyTLS(s.targets)
	}
	return true
}

// isOfAnotherService reports whether only another service has a flag.
func (s *spec) isOfAnotherService(name string) bool {
	for _, kind := range (&program{}).serviceKinds() {
		if kind.flags == nil || kind.name == s.what {
			continue
		}
		if slices.Contains(flagNames(kind.flags()), name) {
			return s.command.Name == "serve"
		}
	}
	return false
}

// A need is a flag that means something beside one of others only.
var needs = []struct {
	flags  func(name string) bool
	others []string
}{
	{func(n string) bool { return strings.HasPrefix(n, "acme-") && n != "acme-on-demand" }, []string{"acme", "acme-on-demand"}},
	{oneOfFlags("proxy-in-mode"), []string{"proxy-in"}},
	{oneOfFlags("to-check-every"), []string{"to-check"}},
	{oneOfFlags("crl-missing", "crl-stale"), []string{"crl", "crl-from"}},
	{oneOfFlags("crl", "crl-from"), []string{"client-ca"}},
	{oneOfFlags("on-revoke"), []string{"client-ca", "client-ca of a name"}},
	{oneOfFlags("starttls-cancel"), []string{"starttls"}},
	{oneOfFlags("alpn-required"), []string{"alpn", "route-alpn"}},
}

func oneOfFlags(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, name) }
}

// certificateSources are the ways to a certificate, which exclude each other.
var certificateSources = [][]string{{"cert", "key"}, {"local", "for"}, {"acme", "acme-on-demand"}}

// dropUseless drops what was said of all services, and means nothing beside what
// this one says of itself.
func (s *spec) dropUseless(layers []layer) {
	own := layers[slices.IndexFunc(layers, func(l layer) bool { return l.own })]
	says := func(name string) bool {
		i := slices.IndexFunc(s.flags, func(f setting) bool { return f.name() == name })
		if i < 0 {
			return false
		}
		values, _, _ := own.lookup(s.flags[i].flag)
		return len(values) > 0
	}
	drop := func(which func(string) bool) {
		for i := range s.flags {
			if one := &s.flags[i]; which(one.name()) && !says(one.name()) {
				one.values, one.source = nil, "default"
			}
		}
	}
	for i, source := range certificateSources {
		if !slices.ContainsFunc(source, says) {
			continue
		}
		for j, other := range certificateSources {
			if i != j && !slices.ContainsFunc(other, says) {
				drop(oneOfFlags(other...))
			}
		}
	}
	for _, need := range needs {
		if !slices.ContainsFunc(need.others, s.isGiven) {
			drop(need.flags)
		}
	}
}

// isGiven reports whether a flag has a value that is not its default.
func (s *spec) isGiven(name string) bool {
	if name == "client-ca of a name" {
		return slices.ContainsFunc(s.names, func(n nameSpec) bool {
			return slices.ContainsFunc(n.flags, func(f setting) bool { return f.name() == "client-ca" })
		})
	}
	return slices.ContainsFunc(s.flags, func(f setting) bool { return f.name() == name && f.values != nil })
}

// line is the command line that means the same as the service.
func (s *spec) line() []string {
	if s.what != "forward" {
		return slices.Concat(flagsOf(s.flags), []string{"--", s.what}, s.args)
	}
	others := slices.DeleteFunc(slices.Clone(s.flags), func(f setting) bool { return f.name() == "listen" })
	line := flagsOf(others)
	for _, more := range s.listen[1:] {
		line = append(line, "--listen="+more)
	}
	return slices.Concat(line, []string{"--", s.listen[0]}, s.args)
}

func flagsOf(flags []setting) []string {
	var line []string
	for _, one := range flags {
		for _, value := range one.values {
			line = append(line, "--"+one.name()+"="+value)
		}
	}
	return line
}

// readNames reads what holds for some server names only.
func (s *spec) readNames(f *configFile, v *settings.Value) error {
	field, ok := fieldOf(v.Fields, "names")
	if !ok {
		return nil
	}
	if err := wantKind("names", field.Value, settings.List); err != nil {
		return err
	}
	for _, item := range field.Value.List {
		if err := wantKind("names", item, settings.Mapping); err != nil {
			return err
		}
		one, err := readNameSpec(f, item)
		if err != nil {
			return err
		}
		s.names = append(s.names, one)
	}
	return nil
}

func readNameSpec(f *configFile, v *settings.Value) (nameSpec, error) {
	one := nameSpec{at: v.At}
	known := append([]string{"name"}, flagNames(nameFlags())...)
	own := f.layerOf(v.Fields, "")
	for _, flag := range nameFlags() {
		values, source, err := own.lookup(flag)
		if err != nil {
			return one, err
		}
		if len(values) > 0 {
			one.flags = append(one.flags, setting{flag: flag, values: values, source: source})
		}
	}
	for _, field := range v.Fields {
		if !slices.Contains(known, field.Key) {
			return one, misuse(nearest(field.Key, known), "%s: unknown key %q of names", field.At, field.Key)
		}
	}
	field, ok := fieldOf(v.Fields, "name")
	if !ok {
		return one, misuse("for instance: name: db.example.org", "%s: names: the key name is missing", v.At)
	}
	var err error
	if one.names, err = field.Value.Texts(); err != nil || len(one.names) == 0 {
		return one, misuse("for instance: name: [a.example.org, b.example.org]", "%s: name: want names", field.At)
	}
	return one, nil
}
