package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
)

const runUsage = `tcps run [FLAG…] FILE

Many services in one process. FILE says, in YAML, what the flags of "tcps serve"
and "tcps forward" say: a key is the name of a flag, a flag that may be given
several times takes a list, and paths are relative to the file.

  process: {pid-file: /run/tcps/tcps.pid}
  defaults: {drain: 30s, log: json}
  services:
    - listen: tcps://:8443
      forward: tcp://127.0.0.1:5432
      cert: server.pem
      client-ca: clients.pem
      allow-cn: [billing, reports]
    - listen: [tcps://:8120, unix:///run/tcps/room.sock?mode=0660]
      service: broadcast
      acme: [room.example.org]
    - name: uptime
      listen: tcp://127.0.0.1:8121
      exec: [uptime, -p]

Each service has one of the keys service (greet, echo, discard or broadcast), exec
(a program and its arguments) and forward (a target, or several), and may have a
name for the log. With names, rules for clients differ by the name that they ask
for: names: [{name: admin.example.org, client-ca: admins.pem}].

What is the process's, and no one service's, stands under process: its flags are
those of this command that "tcps run --help" lists under Process.

A flag of this command goes before an environment variable, that before the
service, and that before defaults. What is said of all services holds for those
for which it can mean something. "tcps config explain FILE" shows what comes of it,
"tcps config check FILE" what is wrong with it.

SIGHUP reads the file anew: what has not changed is not touched, what has gone
drains, what is new begins; a changed service begins anew on the same socket while
its old connections drain. A file with a mistake changes nothing.

Connections that "tcps connect --config FILE NAME" makes may stand there too:

  connections:
    db: {endpoint: db.example.org:8443, ca: ca.pem, cert: me.pem}
`

// runFlags are said of all services, and go before the file.
var runFlags = []string{"drain", "log", "log-data", "state", "passphrase-file"}

func overFlags() []cli.Flag {
	all := slices.DeleteFunc(serverFlags(), func(f cli.Flag) bool { return !slices.Contains(runFlags, f.Names()[0]) })
	return append(all, processFlags()...)
}

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "many services in one process, from a file",
		UsageText: runUsage,
		Action:    p.runFile,
		Flags:     overFlags(),
	}
}

func (p *program) runFile(c *cli.Context) (err error) {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	supervisor := newSupervisor()
	defer supervisor.release()
	defer func() { supervisor.tellElder(err) }()
	file := &servicesFile{program: p, path: path, over: c}
	units, err := file.read(nil)
	if err != nil {
		return err
	}
	supervisor.reread = file.read
	log, err := newLogger(units[0].flags, p.err)
	if err != nil {
		return err
	}
	settings, err := processContext(c.Context, file.process)
	if err != nil {
		return err
	}
	if supervisor.process, err = processOf(settings, log); err != nil {
		return err
	}
	return supervisor.run(c.Context, units)
}

// fileArgument is the one argument of a command that takes a file of services.
func fileArgument(c *cli.Context) (string, error) {
	switch c.Args().Len() {
	case 0:
		return "", misuse("for instance: "+c.Command.HelpName+" tcps.yaml", "%s needs a file", c.Command.HelpName)
	case 1:
		return c.Args().First(), nil
	}
	return "", misuse("", "%s takes one file, got %q too", c.Command.HelpName, c.Args().Get(1))
}

// A servicesFile makes units of what a file says.
type servicesFile struct {
	program *program
	path    string
	over    *cli.Context
	process []setting // as it was read first
}

// read reads the file, and prepares those services that do not run yet.
func (f *servicesFile) read(running []*unit) ([]*unit, error) {
	if running != nil {
		if err := checkReadableAgain(f.path); err != nil {
			return nil, err
		}
	}
	file, err := readServices(f.path)
	if err != nil {
		return nil, err
	}
	if err := f.readProcess(file, running != nil); err != nil {
		return nil, err
	}
	specs, err := f.program.specsIn(file, f.over)
	if err != nil {
		return nil, err
	}
	var units []*unit
	for _, s := range specs {
		meaning := s.meaning()
		i := slices.IndexFunc(running, func(u *unit) bool { return u.meaning == meaning })
		if i >= 0 {
			units = append(units, running[i])
			continue
		}
		u, err := f.program.unitOf(f.over.Context, s)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// checkReadableAgain refuses a pipe: that it has been read once does not mean that
// there will ever be more, and who waits for it hears no further signal.
func checkReadableAgain(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return fmt.Errorf("read file %q anew: it is a pipe or a device, and no file", path)
	}
	return nil // what else is wrong shows when it is read
}

// readServices reads a file that has services.
func readServices(path string) (*configFile, error) {
	file, err := readFile(path)
	if err == nil && len(file.services) == 0 {
		return nil, misuse(fileExample, "%s: there are no services in it", path)
	}
	return file, err
}

// specsOf reads the services of a file.
func (p *program) specsOf(path string, over *cli.Context) ([]*spec, error) {
	file, err := readServices(path)
	if err != nil {
		return nil, err
	}
	return p.specsIn(file, over)
}

// specsIn reads the services, and what is wrong between them.
func (p *program) specsIn(file *configFile, over *cli.Context) ([]*spec, error) {
	if err := p.checkDefaults(file); err != nil {
		return nil, err
	}
	var specs []*spec
	for _, v := range file.services {
		s, err := p.specOf(file, v, over)
		if err != nil {
			return nil, err
		}
		specs = append(specs, s)
	}
	return specs, checkTogether(specs)
}

// checkDefaults refuses keys that no service has, and values that none can take.
func (p *program) checkDefaults(f *configFile) error {
	flags := slices.Concat(p.serveCommand().Flags, p.forwardCommand().Flags)
	known := flagNames(flags)
	for _, field := range f.defaults {
		i := slices.Index(known, field.Key)
		switch {
		case i < 0 && slices.Contains(serviceKeys, field.Key):
			return misuse("write it with each service", "%s: %s belongs to one service, and not to defaults", field.At, field.Key)
		case i < 0:
			return misuse(nearest(field.Key, known), "%s: unknown key %q of defaults", field.At, field.Key)
		}
		if _, err := f.valuesOf(field, flags[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkTogether refuses two services of one name or on one socket.
func checkTogether(specs []*spec) error {
	names, sockets := make(map[string]*spec), make(map[string]*spec)
	for _, s := range specs {
		if other := names[s.name]; other != nil {
			return misuse("give them different names, or different endpoints to listen on", "%s: the service %q is there already, at %s", s.at, s.name, other.at)
		}
		names[s.name] = s
		places := s.listen
		if len(places) == 0 {
			places = []string{defaultListen}
		}
		for _, text := range places {
			e, err := endpoint.Parse(text)
			if err != nil || !e.IsUnix() && e.Port == "0" {
				continue
			}
			if other := sockets[socketOf(e)]; other != nil {
				return s.collides(other, e)
			}
			sockets[socketOf(e)] = s
		}
	}
	return nil
}

// collides says that a service cannot listen where another one does, or itself.
func (s *spec) collides(other *spec, e endpoint.Endpoint) error {
	if other == s {
		return misuse("write it once", "%s: the service %q listens on %s twice", s.at, s.name, e)
	}
	hint := "listen elsewhere"
	if s.listenSource != "" && s.listenSource == other.listenSource {
		hint = "write listen with each service: " + s.listenSource + " says it of all"
	}
	return misuse(hint, "%s: the service %q listens on %s, and so does %q, at %s", s.at, s.name, e, other.name, other.at)
}

// socketOf is the same for endpoints that cannot both be listened on.
func socketOf(e endpoint.Endpoint) string { return e.Network() + " " + e.Address() }

// meaning is the same for services that do the same.
func (s *spec) meaning() string {
	parts := append([]string{s.name, s.command.Name}, s.line()...)
	for _, one := range s.names {
		parts = append(append(append(parts, "names"), one.names...), flagsOf(one.flags)...)
	}
	return strings.Join(parts, "\x00")
}

// unitOf prepares one service of a file.
func (p *program) unitOf(ctx context.Context, s *spec) (*unit, error) {
	c, named, err := s.contexts(ctx)
	if err != nil {
		return nil, s.locate(err)
	}
	u, err := p.newUnit(c, s.name, named, p.configurerOf(s))
	if err != nil {
		return nil, s.locate(err)
	}
	s.warn(u.log)
	u.meaning, u.locate = s.meaning(), s.locate
	return u, nil
}

// configurerOf reads what the service's command has beside others.
func (p *program) configurerOf(s *spec) func(*cli.Context, *serving) error {
	if s.command.Name == "forward" {
		return p.configureForward
	}
	return p.configureService
}

// locate says which service of which file an error is about.
func (s *spec) locate(err error) error {
	return located(err, "%s: service %q: ", s.at, s.name)
}

// located is an error behind the place that it is about, as the same kind of
// problem.
func located(err error, format string, place ...any) error {
	whole := fmt.Errorf(format+"%w", append(place, err)...)
	if inner, ok := errors.AsType[*problem](err); ok {
		return &problem{err: whole, hints: inner.hints, code: inner.code}
	}
	return whole
}

// contexts are that of the service's command, and those of its names.
func (s *spec) contexts(ctx context.Context) (c *cli.Context, named []nameRules, err error) {
	if c, err = contextOf(ctx, s.command, s.line()); err != nil {
		return nil, nil, err
	}
	for _, one := range s.names {
		rules, err := newNameRules(c, one.names, flagsOf(one.flags))
		if err != nil {
			return nil, nil, err
		}
		named = append(named, rules)
	}
	return c, named, nil
}

// contextOf is the context that a command would have with this line.
func contextOf(ctx context.Context, command *cli.Command, line []string) (*cli.Context, error) {
	withoutVariables(command.Flags)
	var got *cli.Context
	command.Action = func(c *cli.Context) error {
		got = c
		return nil
	}
	app := &cli.App{
		Name: "tcps", Writer: io.Discard, ErrWriter: io.Discard, Commands: []*cli.Command{command},
		SliceFlagSeparator: "\n", ExitErrHandler: func(*cli.Context, error) {},
	}
	prepare(app.Commands)
	err := app.RunContext(ctx, append([]string{app.Name, command.Name}, line...))
	return got, err
}

// withoutVariables has flags heed the line only: what variables say stands there.
func withoutVariables(flags []cli.Flag) {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.GenericFlag:
			f.EnvVars = nil
		case *cli.StringSliceFlag:
			f.EnvVars = nil
		case *cli.BoolFlag:
			f.EnvVars = nil
		}
	}
}
