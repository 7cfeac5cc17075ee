package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
)

// eachCommand calls f for every command that does something, with its name as
// it is typed.
func eachCommand(commands []*cli.Command, path string, f func(name string, c *cli.Command)) {
	for _, c := range commands {
		name := path + " " + c.Name
		if len(c.Subcommands) > 0 {
			eachCommand(c.Subcommands, name, f)
			continue
		}
		f(name, c)
	}
}

func TestEveryCommandAndFlagIsDescribed(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	var commands, flags int
	eachCommand(app.Commands, app.Name, func(name string, c *cli.Command) {
		commands++
		if c.Usage == "" || !strings.HasPrefix(c.UsageText, name) {
			t.Errorf("%s: usage %q, usage text %q: want one line, and a text that begins with the command", name, c.Usage, c.UsageText)
		}
		if c.OnUsageError == nil || c.Action == nil {
			t.Errorf("%s: no OnUsageError or no Action", name)
		}
		for _, flag := range c.Flags {
			flags++
			checkFlag(t, name, flag)
		}
	})
	if commands < 7 || flags < 60 {
		t.Errorf("the table has %d commands and %d flags: too few to be the whole of it", commands, flags)
	}
}

func checkFlag(t *testing.T, command string, flag cli.Flag) {
	t.Helper()
	name := flag.Names()[0]
	documented, ok := flag.(cli.DocGenerationFlag)
	if !ok {
		t.Errorf("%s --%s: %T has no documentation", command, name, flag)
		return
	}
	variable := "TCPS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if got := documented.GetEnvVars(); !slices.Equal(got, []string{variable}) {
		t.Errorf("%s --%s: variables %q, want %q", command, name, got, variable)
	}
	if documented.GetUsage() == "" {
		t.Errorf("%s --%s: no usage", command, name)
	}
	if c, ok := flag.(cli.CategorizableFlag); !ok || c.GetCategory() == "" {
		t.Errorf("%s --%s: no category", command, name)
	}
}

// A name must mean the same with every command, because takesValue looks for
// it in all of them.
func TestFlagsOfOneNameAreOfOneKind(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	takes := make(map[string]bool)
	eachCommand(app.Commands, app.Name, func(command string, c *cli.Command) {
		for _, flag := range c.Flags {
			_, isBool := flag.(*cli.BoolFlag)
			for _, name := range flag.Names() {
				if was, seen := takes[name]; seen && was == isBool {
					t.Errorf("%s --%s takes a value with one command and none with another", command, name)
				}
				takes[name] = !isBool
			}
		}
	})
}

// An example is a value that a flag takes, as it is typed and as it is shown.
var examples = map[string]string{
	"log": "json", "min": "1.3", "max": "1.2", "client-auth": "optional", "on-eof": "keep", "key-type": "rsa-2048",
	"crl-missing": "accept", "crl-stale": "accept", "on-revoke": "keep",
	"balance": "least", "to-check": "tcp",
}

func exampleOf(flag cli.Flag) string {
	name := flag.Names()[0]
	if value := examples[name]; value != "" {
		return value
	}
	switch flag := flag.(type) {
	case *cli.BoolFlag:
		return "true"
	case *cli.StringSliceFlag:
		return "a,b\nc d"
	case *cli.GenericFlag:
		switch flag.Value.(type) {
		case *duration:
			return "7s"
		default:
			return "7"
		}
	}
	return "x, y"
}

// shown is what a flag's value is in a context, in one form for all kinds.
func shown(c *cli.Context, flag cli.Flag) string {
	name := flag.Names()[0]
	switch flag.(type) {
	case *cli.BoolFlag:
		if c.Bool(name) {
			return "true"
		}
		return "false"
	case *cli.StringSliceFlag:
		return strings.Join(list(c, name), "\n")
	case *cli.GenericFlag:
		return c.Generic(name).(interface{ String() string }).String()
	}
	return c.String(name)
}

// valuesWith runs a command of the table with an action that only looks.
func valuesWith(t *testing.T, name string, args ...string) map[string]string {
	t.Helper()
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	values := make(map[string]string)
	eachCommand(app.Commands, app.Name, func(n string, c *cli.Command) {
		if n != name {
			return
		}
		c.Action = func(ctx *cli.Context) error {
			for _, flag := range c.Flags {
				values[flag.Names()[0]] = shown(ctx, flag)
			}
			return nil
		}
	})
	line, err := arrange(app, append(strings.Fields(name)[1:], args...))
	if err == nil {
		err = app.Run(append([]string{app.Name}, line...))
	}
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return values
}

// Each flag, and each variable in its place, comes to the command as it was
// given, with commas; a variable's list has one value a line.
func TestFlagsAndVariablesMeanTheSame(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	eachCommand(app.Commands, app.Name, func(name string, c *cli.Command) {
		for _, flag := range c.Flags {
			flagName, example := flag.Names()[0], exampleOf(flag)
			t.Run(strings.ReplaceAll(name, " ", "_")+"_"+flagName, func(t *testing.T) {
				var args []string
				for _, value := range strings.Split(example, "\n") {
					args = append(args, "--"+flagName+"="+value)
				}
				byFlag := valuesWith(t, name, append([]string{"argument"}, args...)...)
				if byFlag[flagName] != example {
					t.Errorf("%q came as %q, want %q", args, byFlag[flagName], example)
				}
				t.Setenv(flag.(cli.DocGenerationFlag).GetEnvVars()[0], example)
				byVariable := valuesWith(t, name)
				if diff := cmp.Diff(byFlag, byVariable); diff != "" {
					t.Errorf("the flag and its variable differ (-flag +variable):\n%s", diff)
				}
			})
		}
	})
}

func TestEmptyVariablesMeanNothing(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	eachCommand(app.Commands, app.Name, func(name string, c *cli.Command) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			want := maps.Clone(valuesWith(t, name))
			for _, flag := range c.Flags {
				t.Setenv(flag.(cli.DocGenerationFlag).GetEnvVars()[0], "")
			}
			if diff := cmp.Diff(want, valuesWith(t, name)); diff != "" {
				t.Errorf("variables that are set to nothing change values (-unset +empty):\n%s", diff)
			}
		})
	})
}

func TestOffAndZeroMeanNone(t *testing.T) {
	for _, text := range []string{"off", "0"} {
		var d duration
		var n count
		if err := d.Set(text); err != nil || d != 0 {
			t.Errorf("duration %q: %v, %v", text, d, err)
		}
		if err := n.Set(text); err != nil || n != 0 {
			t.Errorf("count %q: %v, %v", text, n, err)
		}
		if d.String() != "off" || n.String() != "off" {
			t.Errorf("%q is shown as %q and %q, want off", text, d.String(), n.String())
		}
	}
}

// Without --listen there is one endpoint, that of DESIGN and README. Nothing is
// bound: another program may have the port.
func TestServeListensOn8120ByDefault(t *testing.T) {
	p := &program{stdio: stdio{strings.NewReader(""), io.Discard, io.Discard}}
	command := p.serveCommand()
	var got []string
	command.Action = func(c *cli.Context) error {
		s, err := p.servingOf(c, "", nil)
		if err != nil {
			return err
		}
		if err := p.configureService(c, s); err != nil {
			return err
		}
		for _, e := range s.endpoints {
			got = append(got, e.String())
		}
		if s.name != "greet" {
			t.Errorf("the service is %q, want greet", s.name)
		}
		return nil
	}
	app := &cli.App{Name: "tcps", Commands: []*cli.Command{command}}
	want := []string{"tcps://127.0.0.1:8120"}
	for _, variable := range []string{"", "unset"} {
		got = nil
		if variable == "" {
			t.Setenv("TCPS_LISTEN", "")
		}
		if err := app.Run([]string{"tcps", "serve"}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("listens on %q, want %q", got, want)
		}
	}
}

// What the flags say is what the server is told.
func TestFlagsReachTheFieldsOfTheServer(t *testing.T) {
	p := &program{stdio: stdio{strings.NewReader(""), io.Discard, io.Discard}}
	command := p.serveCommand()
	var got *tlsserver.Server
	command.Action = func(c *cli.Context) (err error) {
		if got, err = serverOf(c); err == nil {
			got.Limits = limitsOf(c, "echo")
		}
		return err
	}
	app := &cli.App{Name: "tcps", Commands: []*cli.Command{command}}
	err := app.Run(strings.Fields("tcps serve --max-handshakes 7 --max-hellos off --handshake-timeout 3s --no-tickets --strict-sni" +
		" --max-connections 8 --max-per-address off --max-per-identity 9 --rate 10 --rate-per-address 11 --count-loopback" +
		" --first-byte-timeout 4s --idle-timeout 5s --write-timeout 6s --max-age 7s --bandwidth 12KiB --memory-limit 3GiB"))
	if err != nil {
		t.Fatal(err)
	}
	want := tlsserver.Limits{
		MaxHandshakes: 7, MaxHellos: -1, MaxConns: 8, MaxConnsPerAddress: -1, MaxConnsPerIdentity: 9, Rate: 10, RatePerAddress: 11, CountLoopback: true,
		FirstByteTimeout: 4 * time.Second, IdleTimeout: 5 * time.Second, WriteTimeout: 6 * time.Second, MaxAge: 7 * time.Second, Bandwidth: 12 << 10, Memory: 3 << 30,
	}
	if diff := cmp.Diff(want, got.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if got.HandshakeTimeout != 3*time.Second || !got.SessionTicketsDisabled || !got.StrictSNI {
		t.Errorf("timeout %v, no tickets %v, strict SNI %v", got.HandshakeTimeout, got.SessionTicketsDisabled, got.StrictSNI)
	}
}
