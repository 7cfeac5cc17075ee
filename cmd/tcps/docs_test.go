package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// The pages for people who come from elsewhere must not rot. Every command of
// ours on them is run by a script, testdata/script/docs_PAGE.txtar, literally,
// by docstart and docrun (docs_run_test.go), with the files that stand there
// (docfile); the flags in the columns headed tcps exist; and the Go code is that
// of an example (docs_go_test.go).
//
// A command is a line of a fenced block that calls tcps, with the lines that it
// is continued on, or `tcps …` in a paragraph or a table. The bare name of a
// command, such as `tcps forward`, is run where it is run with anything behind it.

// A page is one of them.
type page struct {
	name     string // from-openssl
	commands []string
	flags    []string // in table columns headed tcps
	text     string
}

// pages reads them all.
func pages(t *testing.T) []*page {
	t.Helper()
	files, err := filepath.Glob("../../docs/from-*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no page found: %v", err)
	}
	var all []*page
	for _, file := range append(files, "../../docs/policy.md", "../../docs/tutorial.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := &page{name: strings.TrimSuffix(filepath.Base(file), ".md"), text: string(text)}
		p.read()
		all = append(all, p)
	}
	return all
}

var (
	calls    = regexp.MustCompile(`(^|[|;&({"' ])tcps [a-z-]`)
	spans    = regexp.MustCompile("`([^`]+)`")
	comments = regexp.MustCompile(`\s+# .*$`)
	barPlace = regexp.MustCompile(`(^|[^\\])\|`)
)

// read finds the commands and flags.
func (p *page) read() {
	var fence bool
	var line string // continued
	var heads []string
	for text := range strings.Lines(p.text) {
		text = strings.TrimRight(text, "\n")
		switch {
		case strings.HasPrefix(text, "```"):
			fence = !fence
		case fence:
			line += strings.TrimSpace(text)
			if before, more := strings.CutSuffix(line, `\`); more {
				line = before
				continue
			}
			if command := comments.ReplaceAllString(strings.TrimPrefix(line, "$ "), ""); calls.MatchString(command) {
				p.command(command)
			}
			line = ""
		case strings.HasPrefix(text, "|"):
			cells := cellsOf(text)
			if heads == nil {
				heads = cells
			}
			for i, cell := range cells {
				p.spans(cell, i < len(heads) && heads[i] == "tcps")
			}
		default:
			heads = nil
			p.spans(text, false)
		}
	}
}

// cellsOf splits a row of a table.
func cellsOf(row string) []string {
	row = barPlace.ReplaceAllString(strings.Trim(row, "|"), "$1\x00")
	var cells []string
	for _, cell := range strings.Split(row, "\x00") {
		cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, `\|`, "|")))
	}
	return cells
}

func (p *page) spans(text string, ours bool) {
	for _, span := range spans.FindAllStringSubmatch(text, -1) {
		if calls.MatchString(span[1]) {
			p.command(span[1])
		} else if ours && strings.HasPrefix(span[1], "-") {
			p.flags = append(p.flags, span[1])
		}
	}
}

func (p *page) command(c string) {
	if !slices.Contains(p.commands, c) {
		p.commands = append(p.commands, c)
	}
}

var docLine = regexp.MustCompile(`(?m)^(?:\[[^]]*\] )?(?:docstart|docrun) .*?'(.*)'$`)

// scriptOf is the script of a page.
func scriptOf(t *testing.T, page string) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", "script", "docs_"+strings.ReplaceAll(page, "-", "_")+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// scriptCommands are what it runs.
func scriptCommands(t *testing.T, page string) []string {
	t.Helper()
	var commands []string
	for _, m := range docLine.FindAllStringSubmatch(scriptOf(t, page), -1) {
		commands = append(commands, strings.ReplaceAll(m[1], "''", "'"))
	}
	return commands
}

func TestEveryCommandOfThePagesIsRun(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	all := pages(t)
	var anywhere []string
	for _, p := range all {
		anywhere = append(anywhere, scriptCommands(t, p.name)...)
	}
	for _, p := range all {
		run := scriptCommands(t, p.name)
		isRun := func(c string) bool {
			return slices.Contains(run, c) ||
				isName(app.Commands, c) && slices.ContainsFunc(anywhere, func(r string) bool { return strings.HasPrefix(r+" ", c+" ") })
		}
		for _, c := range p.commands {
			if !isRun(c) {
				t.Errorf("%s.md has a command that its script does not run:\n%s", p.name, c)
			}
		}
		for _, c := range run {
			if !slices.Contains(p.commands, c) {
				t.Errorf("the script of %s.md runs what is not on the page:\n%s", p.name, c)
			}
		}
		if len(p.commands) < 5 {
			t.Errorf("%s.md has %d commands: too few to be the whole of it", p.name, len(p.commands))
		}
	}
}

func TestEveryFileOfThePagesIsUsed(t *testing.T) {
	for _, p := range pages(t) {
		files := docFile.FindAllStringSubmatch(p.text, -1)
		if all := strings.Count(p.text, "```yaml\n"); all != len(files) {
			t.Errorf("%s.md has %d blocks of YAML, and %d files with a name", p.name, all, len(files))
		}
		for _, m := range files {
			if !strings.Contains(scriptOf(t, p.name), "\ndocfile "+p.name+" "+m[1]+"\n") {
				t.Errorf("the script of %s.md does not use its file %s", p.name, m[1])
			}
		}
	}
}

// isName reports whether a command line is the bare name of a command.
func isName(commands []*cli.Command, line string) bool {
	for _, word := range strings.Fields(line)[1:] {
		next := findCommand(commands, word)
		if next == nil {
			return false
		}
		commands = next.Subcommands
	}
	return true
}

func TestEveryFlagOfThePagesExists(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	for _, p := range pages(t) {
		for _, span := range p.flags {
			for _, word := range strings.Fields(span) {
				if !strings.HasPrefix(word, "-") {
					continue // a value
				}
				if _, known := takesValue(app.Commands, word); !known {
					t.Errorf("%s.md: no command has the flag %s of %q", p.name, word, span)
				}
			}
		}
	}
}

// What the pages would not be read for, if it went unnoticed.
func TestCommandsAreFoundOnAPage(t *testing.T) {
	p := &page{text: strings.Join([]string{
		"Say `tcps serve` or `tcps demo \\` nothing.",
		"```sh",
		"printf a | tcps connect \\",
		"    localhost:8120    # talk",
		"$ tcps certs list",
		"tcps: connected to tcps://localhost:8120",
		"```",
		"| theirs | tcps |",
		"|---|---|",
		"| `-a` | `--cert FILE`, `tcps forward a \\| b` |",
	}, "\n")}
	p.read()
	want := []string{"tcps serve", `tcps demo \`, "printf a | tcps connect localhost:8120", "tcps certs list", "tcps forward a | b"}
	if !slices.Equal(p.commands, want) || !slices.Equal(p.flags, []string{"--cert FILE"}) {
		t.Errorf("found %q and the flags %q, want %q", p.commands, p.flags, want)
	}
}
