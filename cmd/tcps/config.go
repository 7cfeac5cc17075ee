package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

func (p *program) configCommand() *cli.Command {
	return &cli.Command{
		Name:      "config",
		Usage:     "check a file of services, and explain what it means",
		UsageText: "tcps config COMMAND FILE",
		Action:    noSubcommand,
		Subcommands: []*cli.Command{
			{
				Name: "check", Usage: "say what is wrong with a file of services",
				UsageText: checkUsage, Action: p.configCheck, Flags: overFlags(),
			},
			{
				Name: "explain", Usage: "show every value that services have, and where it comes from",
				UsageText: explainUsage, Action: p.configExplain, Flags: overFlags(),
			},
		},
	}
}

const checkUsage = `tcps config check [FLAG…] FILE

Reads a file of services as "tcps run FILE" does, with all the files that it
names, and says what is wrong with it. Nothing is listened on, written or asked
for.`

const explainUsage = `tcps config explain [FLAG…] FILE

Prints what a file of services means: every value of every service, and where it
comes from: a flag of this command, an environment variable, the file and its
line, or a default, which stands in a comment. What is printed is itself a file
that means the same.`

func (p *program) configCheck(c *cli.Context) error {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	all, err := p.readAll(path, c)
	if err != nil {
		return err
	}
	for _, s := range all.services {
		if err := p.checkUnit(c, s); err != nil {
			return s.locate(err)
		}
	}
	fmt.Fprintf(p.out, "%s: %s and %s, nothing wrong\n", path, counted(len(all.services), "service"), counted(len(all.connections), "connection"))
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// An everything is what a file says. It may have services only, or connections.
type everything struct {
	process     []setting
	services    []*spec
	connections []*connection
}

func (p *program) readAll(path string, over *cli.Context) (all everything, err error) {
	file, err := readFile(path)
	if err != nil {
		return all, err
	}
	if all.process, err = p.processSettings(file, over); err != nil {
		return all, err
	}
	if all.services, err = p.specsIn(file, over); err != nil {
		return all, err
	}
	all.connections, err = p.connectionsOf(file)
	return all, err
}

// checkUnit reads all that a service would, and leaves no trace.
func (p *program) checkUnit(c *cli.Context, s *spec) error {
	nobody, cancel := context.WithCancel(c.Context)
	cancel() // nobody is asked, not even for terms of service
	flags, named, err := s.contexts(nobody)
	if err != nil {
		return err
	}
	serving, err := p.servingOf(flags, s.name, named)
	if err != nil {
		return err
	}
	if err := p.configurerOf(s)(flags, serving); err != nil {
		return err
	}
	managed, acme, err := p.managementOf(flags, serving)
	if err != nil || !serving.secure() {
		return err
	}
	reloader := &reloader{config: serving.trust, server: serving.server, log: serving.log}
	if !managed {
		return reloader.load(nil)
	}
	manager := &certs.Manager{}
	if acme != nil {
		err = acme.checkAll(manager, serving)
	} else {
		err = checkLocalNames(flags)
	}
	if err != nil {
		return err
	}
	return reloader.load(manager)
}

// checkAll finds what is wrong before anybody is asked.
func (a *acmeConfig) checkAll(m *certs.Manager, s *serving) error {
	if err := a.apply(m, s); err != nil {
		return err
	}
	a.issuer.Listener = netip.AddrPortFrom(netip.IPv6Unspecified(), 443) // it would have one
	if err := a.issuer.Check(a.names); err != nil {
		return failure(fmt.Errorf("manage certificates: %w", err))
	}
	return nil
}

// checkLocalNames asks the local authority, if it is there and needs no passphrase.
func checkLocalNames(c *cli.Context) error {
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	authority, err := certs.OpenAuthority(dir)
	if err != nil {
		return nil // it would be made, or the passphrase asked for
	}
	for _, name := range list(c, "local") {
		if err := authority.Permits(name); err != nil {
			return failure(fmt.Errorf("manage certificates: %w", err))
		}
	}
	return nil
}

func (p *program) configExplain(c *cli.Context) error {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	all, err := p.readAll(path, c)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# what %s means\n", path)
	if len(all.services) > 0 {
		explainProcess(&b, all.process)
		fmt.Fprintln(&b, "services:")
	}
	for _, s := range all.services {
		flags, err := contextOf(c.Context, s.command, s.line())
		if err != nil {
			return s.locate(err)
		}
		s.explain(&b, limitsHere(flags, s.what))
	}
	if len(all.connections) > 0 {
		fmt.Fprintln(&b, "connections:")
	}
	for _, one := range all.connections {
		one.explain(&b)
	}
	_, err = b.WriteTo(p.out)
	return err
}

// explainProcess writes what holds for the process; a mapping without a value
// would be none.
func explainProcess(w io.Writer, all []setting) {
	if len(flagsOf(all)) == 0 {
		fmt.Fprintln(w, "process: {}")
	} else {
		fmt.Fprintln(w, "process:")
	}
	explainAll(w, "  ", all)
}

// explain writes the service as it would stand in a file; here are defaults as they
// are on this machine.
func (s *spec) explain(w io.Writer, here map[string]string) {
	for i := range s.flags {
		if one := &s.flags[i]; here[one.name()] != "" {
			one.byDefault = fmt.Sprintf("%s (%s)", here[one.name()], one.byDefault)
		}
	}
	fmt.Fprintf(w, "  - name: %s  # %s\n", quoted(s.name), s.nameSource)
	what := setting{values: []string{s.what}, source: s.whatSource}
	switch s.what {
	case "forward", "exec":
		what.values = s.args
		explainOne(w, "    ", s.what, what, true)
	default:
		explainOne(w, "    ", "service", what, false)
	}
	explainAll(w, "    ", s.flags)
	if len(s.names) > 0 {
		fmt.Fprintln(w, "    names:")
	}
	for _, one := range s.names {
		fmt.Fprintf(w, "      - name: %s  # %s\n", quotedList(one.names), one.at)
		explainAll(w, "        ", one.flags)
	}
}

func (one *connection) explain(w io.Writer) {
	fmt.Fprintf(w, "  %s:\n", quoted(one.name))
	explainOne(w, "    ", "endpoint", one.to, false)
	explainAll(w, "    ", one.flags)
}

func explainAll(w io.Writer, indent string, flags []setting) {
	flags = slices.Clone(flags)
	slices.SortStableFunc(flags, func(a, b setting) int { return strings.Compare(a.name(), b.name()) })
	for _, one := range flags {
		one.values = slices.Clone(one.values)
		for i, value := range one.values { // of a variable or a flag, which are relative to where we are
			one.values[i] = absoluteValue(one.flag, value, "")
		}
		_, isList := one.flag.(*cli.StringSliceFlag)
		explainOne(w, indent, one.name(), one, isList)
	}
}

// explainOne writes a value, or the default as a comment.
func explainOne(w io.Writer, indent, key string, one setting, isList bool) {
	if one.values == nil {
		text := one.byDefault
		if text == "" {
			text = "none"
		}
		fmt.Fprintf(w, "%s# %s: %s  # default\n", indent, key, text)
		return
	}
	text := quoted(one.values[0])
	if isList {
		text = quotedList(one.values)
	}
	fmt.Fprintf(w, "%s%s: %s  # %s\n", indent, key, text, one.source)
}

func quotedList(values []string) string {
	var all []string
	for _, v := range values {
		all = append(all, quoted(v))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// plainScalar needs no quotes in YAML, wherever it stands.
var plainScalar = regexp.MustCompile(`^[a-zA-Z0-9/][a-zA-Z0-9/._-]*$`)

// quoted is a text as YAML has it: its quoted strings are those of JSON, and more.
func quoted(s string) string {
	if plainScalar.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
