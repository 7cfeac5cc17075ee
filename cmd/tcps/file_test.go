package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

func testProgram() *program {
	return &program{stdio: stdio{strings.NewReader(""), io.Discard, io.Discard}}
}

// fileWith writes a file of one service or connection that has one value more.
func fileWith(t *testing.T, command, key string, values []string) string {
	t.Helper()
	base := map[string]string{
		"serve":   "services:\n  - service: " + serviceWith(key) + "\n    listen: tcps://127.0.0.1:1\n",
		"forward": "services:\n  - forward: tcps://127.0.0.1:2\n    listen: tcps://127.0.0.1:1\n",
		"connect": "connections:\n  it:\n    endpoint: localhost:1\n",
	}[command]
	if key == "listen" {
		base = strings.Replace(base, "    listen: tcps://127.0.0.1:1\n", "", 1)
	}
	if len(values) == 1 {
		base += "    " + key + ": " + quoted(values[0]) + "\n"
	} else if len(values) > 1 {
		base += "    " + key + ": " + quotedList(values) + "\n"
	}
	if slices.Contains(flagNames(processFlags()), key) {
		at := strings.LastIndex(strings.TrimSuffix(base, "\n"), "\n") + 1
		base = "process:\n" + base[at:] + base[:at]
	}
	path := filepath.Join(t.TempDir(), "tcps.yaml")
	if err := os.WriteFile(path, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serviceWith is the service that has a flag.
func serviceWith(flag string) string {
	for _, kind := range testProgram().serviceKinds() {
		if kind.flags == nil || kind.name == "exec" {
			continue
		}
		for _, f := range kind.flags() {
			if f.Names()[0] == flag {
				return kind.name
			}
		}
	}
	return "echo"
}

// fromFile are the values that a command's flags get from a file.
func fromFile(t *testing.T, command, path string) map[string]string {
	t.Helper()
	p := testProgram()
	if command == "connect" {
		return valuesOfConnection(t, path)
	}
	specs, err := p.specsOf(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := contextOf(context.Background(), specs[0].command, specs[0].line())
	if err != nil {
		t.Fatal(err)
	}
	values := valuesOf(c, specs[0].command.Flags)
	maps.Copy(values, processFromFile(t, path))
	return values
}

// processFromFile are the values of the process's flags, which hold for any command.
func processFromFile(t *testing.T, path string) map[string]string {
	t.Helper()
	all, err := testProgram().readAll(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := processContext(t.Context(), all.process)
	if err != nil {
		t.Fatal(err)
	}
	return valuesOf(c, processFlags())
}

func valuesOf(c *cli.Context, flags []cli.Flag) map[string]string {
	values := make(map[string]string)
	for _, flag := range flags {
		values[flag.Names()[0]] = shown(c, flag)
	}
	return values
}

// valuesOfConnection runs connect with an action that only reads the file.
func valuesOfConnection(t *testing.T, path string) (values map[string]string) {
	t.Helper()
	p := testProgram()
	command := p.connectCommand()
	command.Action = func(c *cli.Context) error {
		if to, err := p.useConnection(c); err != nil || to != "localhost:1" {
			t.Errorf("endpoint %q, %v", to, err)
		}
		values = valuesOf(c, command.Flags)
		delete(values, "config")
		return nil
	}
	app := &cli.App{Name: "tcps", Commands: []*cli.Command{command}, SliceFlagSeparator: "\n"}
	if err := app.Run([]string{"tcps", "connect", "--config", path, "it"}); err != nil {
		t.Fatal(err)
	}
	return values
}

// Each flag of what a file can say comes to the command as if it stood on the
// command line, and a variable in the same place goes before the file.
func TestEveryFlagWorksFromAFile(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	walked := 0
	for _, name := range []string{"serve", "forward", "connect"} {
		for _, flag := range findCommand(app.Commands, name).Flags {
			key, example := flag.Names()[0], exampleOf(flag)
			if key == "config" {
				continue
			}
			walked++
			t.Run(name+"_"+key, func(t *testing.T) {
				path := fileWith(t, name, key, strings.Split(example, "\n"))
				values := fromFile(t, name, path)
				want := example
				if isPath(flag) {
					var resolved []string
					for _, one := range strings.Split(example, "\n") {
						resolved = append(resolved, filepath.Join(filepath.Dir(path), one))
					}
					want = strings.Join(resolved, "\n")
				}
				if name == "forward" && key == "listen" { // the first one is FROM
					_, want, _ = strings.Cut(want, "\n")
				}
				if values[key] != want {
					t.Errorf("the file's %q came as %q, want %q", example, values[key], want)
				}
				without := fromFile(t, name, fileWith(t, name, "", nil))
				if key != "listen" {
					values[key] = without[key]
				} else {
					values[key], without[key] = "", ""
				}
				if diff := cmp.Diff(without, values); diff != "" {
					t.Errorf("other flags have changed too (-before +after):\n%s", diff)
				}
				t.Setenv(variableOf(flag), example)
				if got := fromFile(t, name, path)[key]; got != example && key != "listen" {
					t.Errorf("with a variable beside the file it is %q, want the variable's %q", got, example)
				}
			})
		}
	}
	if walked < 150 {
		t.Errorf("%d flags were walked: too few to be all", walked)
	}
}

// What defaults say, and cannot mean for a service, leaves the flag's own default
// alone.
func TestDefaultsOfOtherServicesChangeNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tcps.yaml")
	for _, service := range []string{"{service: echo, listen: 'tcp://127.0.0.1:1'}", "{forward: 'tcp://127.0.0.1:2', listen: 'tcp://127.0.0.1:1'}"} {
		var got []map[string]string
		for _, defaults := range []string{"{}", "{client-auth: optional, min: 1.3, history: 4, for: off, acme-challenge: dns, to-name: x, to-check-every: 1s}"} {
			content := "defaults: " + defaults + "\nservices: [" + service + "]\n"
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			command := "serve"
			if strings.Contains(service, "forward") {
				command = "forward"
			}
			got = append(got, fromFile(t, command, path))
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("%s (-without +with defaults):\n%s", service, diff)
		}
	}
}

// What a usage text calls a FILE or a DIR is resolved; nothing else is.
func TestPathsAreKnown(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	paths := make(map[string]bool)
	for _, name := range []string{"serve", "forward", "connect"} {
		for _, flag := range findCommand(app.Commands, name).Flags {
			if isPath(flag) {
				paths[flag.Names()[0]] = true
			}
		}
	}
	for _, name := range strings.Fields("cert key client-ca crl ca to-ca to-cert to-key state passphrase-file acme-root acme-eab-key-file config known-hosts session keylog allow-from-file deny-from-file pid-file") {
		if !paths[name] {
			t.Errorf("--%s is not taken for a path", name)
		}
		delete(paths, name)
	}
	for name := range paths {
		t.Errorf("--%s is taken for a path: if it is one, name it in this test", name)
	}
}

// What stands on a page as a file can be read, but for the files that it names.
func TestFilesOnPagesAreUnderstood(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ := strings.Cut(part, "```")
			found++
			t.Run(fmt.Sprintf("%s_%d", filepath.Base(page), found), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "tcps.yaml")
				if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
					t.Fatal(err)
				}
				p := testProgram()
				all, err := p.readAll(path, nil)
				if err != nil || len(all.services)+len(all.connections) == 0 {
					t.Fatalf("%d services, %d connections, %v", len(all.services), len(all.connections), err)
				}
				for _, s := range all.services {
					if _, err := contextOf(t.Context(), s.command, s.line()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	if found < 2 {
		t.Errorf("%d files on pages", found)
	}
}
