package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// oddValues are those that a careless writer of YAML changes.
var oddValues = []string{
	`it's "so"`, "a # b", "a: b", "- x", "-x", "--", "null", "~", "[a]", "{b}", "&a", "*a", "!a", "%a", "@a", "`a`", "|", ">", "?", ",",
	"a  b", "a:", "1.30", "0x10", "true", "a\tb", `a\nb`, "é\u0085\u2028\ufeff\x7f\x1b", "<<", "=", "a=b",
}

// allFlags is a service or a connection that says something by every flag of its
// command, and what it says.
func allFlags(command *cli.Command, base, indent string) (file string, said map[string]string) {
	said = make(map[string]string)
	odd := 0
	next := func() string { odd++; return oddValues[odd%len(oddValues)] }
	var b strings.Builder
	b.WriteString(base)
	for _, flag := range command.Flags {
		name := flag.Names()[0]
		if name == "listen" || name == "config" || name == "help" {
			continue
		}
		values := strings.Split(exampleOf(flag), "\n")
		if _, isList := flag.(*cli.StringSliceFlag); isList {
			values = []string{next(), next(), next()}
		} else if values[0] == "7" && checkValue(flag, "x") == nil {
			values = []string{next() + "\nline\n"}
		}
		said[name] = strings.Join(values, "\n")
		b.WriteString(indent + name + ": ")
		if len(values) > 1 {
			b.WriteString(quotedList(values) + "\n")
		} else {
			b.WriteString(quoted(values[0]) + "\n")
		}
	}
	return b.String(), said
}

// A file that uses every flag of a command at once means the same as what explain
// prints of it, read from another folder.
func TestExplainOfEveryFlagMeansTheSame(t *testing.T) {
	p := testProgram()
	for _, tt := range []struct {
		command      *cli.Command
		base, indent string
	}{
		{p.serveCommand(), "services:\n  - service: broadcast\n    listen: [tcps://127.0.0.1:1, 'unix://it.sock?mode=0600']\n", "    "},
		{p.forwardCommand(), "services:\n  - forward: ['unixs://it.sock', tcps://127.0.0.1:2]\n    listen: [tcps://127.0.0.1:1, tcps://127.0.0.1:3]\n", "    "},
		{p.connectCommand(), "connections:\n  it:\n    endpoint: localhost:1\n", "    "},
	} {
		t.Run(tt.command.Name, func(t *testing.T) {
			content, said := allFlags(tt.command, tt.base, tt.indent)
			if len(said) < 40 {
				t.Fatalf("only %d flags", len(said))
			}
			path := filepath.Join(t.TempDir(), "tcps.yaml")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			explained := filepath.Join(t.TempDir(), "explained.yaml")
			if err := os.WriteFile(explained, explain(t, path), 0o600); err != nil {
				t.Fatal(err)
			}
			want := fromFile(t, tt.command.Name, path)
			for _, flag := range tt.command.Flags {
				if name := flag.Names()[0]; said[name] != "" && !isPath(flag) && want[name] != said[name] {
					t.Errorf("--%s is %q, and the file says %q", name, want[name], said[name])
				}
			}
			if diff := cmp.Diff(want, fromFile(t, tt.command.Name, explained)); diff != "" {
				t.Errorf("(-file +explained):\n%s", diff)
			}
		})
	}
}

// explain runs config explain.
func explain(t *testing.T, path string) []byte {
	t.Helper()
	var out, messages strings.Builder
	if code := run(t.Context(), []string{"config", "explain", path}, stdio{strings.NewReader(""), &out, &messages}); code != 0 {
		t.Fatalf("explain ended with status %d: %s", code, messages.String())
	}
	return []byte(out.String())
}
