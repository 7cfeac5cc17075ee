package main

import (
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/internal/settings"
)

// A connection of a file is a name for what a command line of connect would say.
type connection struct {
	name  string
	to    setting // the endpoint
	flags []setting
}

func configFlag() cli.Flag {
	return stringFlag("Files", "config", "", "`FILE` as \"tcps run\" reads it: what is named on the command line stands there")
}

// connectionFlags are those of connect that a file can say.
func (p *program) connectionFlags() []cli.Flag {
	return slices.DeleteFunc(p.connectCommand().Flags, func(f cli.Flag) bool { return f.Names()[0] == "config" })
}

// connectionsOf reads the connections of a file.
func (p *program) connectionsOf(f *configFile) ([]*connection, error) {
	var all []*connection
	for _, field := range f.connections {
		one, err := p.connectionOf(f, field)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (p *program) connectionOf(f *configFile, field settings.Field) (*connection, error) {
	one := &connection{name: field.Key}
	flags := p.connectionFlags()
	var err error
	if one.flags, err = resolveAll(flags, environmentLayer(), f.layerOf(field.Value.Fields, "")); err != nil {
		return nil, err
	}
	known := append([]string{"endpoint"}, flagNames(flags)...)
	for _, key := range field.Value.Fields {
		if !slices.Contains(known, key.Key) {
			return nil, misuse(nearest(key.Key, known), "%s: unknown key %q of a connection", key.At, key.Key)
		}
	}
	to, ok := fieldOf(field.Value.Fields, "endpoint")
	if !ok {
		return nil, misuse("for instance: endpoint: db.example.org:8443", "%s: the connection %q needs the key endpoint", field.At, field.Key)
	}
	values, err := to.Value.Texts()
	if err != nil || len(values) != 1 {
		return nil, misuse("for instance: endpoint: db.example.org:8443", "%s: endpoint: want one endpoint", to.At)
	}
	one.to = setting{values: []string{absoluteEndpoint(values[0], f.dir())}, source: to.At.String()}
	if _, err := dialledEndpoint(values[0]); err != nil {
		return nil, located(err, "%s: connection %q: ", to.At, one.name)
	}
	return one, nil
}

// useConnection has the connection that the command line names say what neither
// the line nor the environment says, and returns its endpoint.
func (p *program) useConnection(c *cli.Context) (to string, err error) {
	path := c.String("config")
	file, err := readFile(path)
	if err != nil {
		return "", err
	}
	all, err := p.connectionsOf(file)
	if err != nil {
		return "", err
	}
	var names []string
	for _, one := range all {
		names = append(names, one.name)
	}
	if c.Args().Len() != 1 {
		return "", misuse(namesHint(names), "tcps connect --config %s needs the name of a connection", path)
	}
	i := slices.Index(names, c.Args().First())
	if i < 0 {
		return "", misuse(suggestion("", c.Args().First(), names, "tcps config explain "+path), "%s: there is no connection %q", path, c.Args().First())
	}
	for _, s := range all[i].flags {
		if s.values == nil || c.IsSet(s.name()) || os.Getenv(variableOf(s.flag)) != "" {
			continue
		}
		for _, value := range s.values {
			if err := c.Set(s.name(), value); err != nil {
				return "", misuse(valueHint, "%s: %s: %v", s.source, s.name(), err)
			}
		}
	}
	return all[i].to.values[0], nil
}

func namesHint(names []string) string {
	if len(names) == 0 {
		return "there are none: write them as connections: {NAME: {endpoint: HOST:PORT}}"
	}
	hint := "there are:"
	for _, name := range names {
		hint += " " + name
	}
	return hint
}
