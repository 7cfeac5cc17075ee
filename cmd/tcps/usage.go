package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/tlsclient"
)

// A problem is an error as the command shows it: one sentence that says what
// was attempted, on what, and what is wrong; hints that say what to do; and
// the exit status.
type problem struct {
	err   error
	hints []string
	code  int
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// The exit statuses that do not come from a Reason.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNotReached = 3
	exitTimeout    = 4
	exitNotFound   = 12
)

// misuse is wrong usage: exit status 2.
func misuse(hint, format string, args ...any) error {
	return &problem{err: fmt.Errorf(format, args...), hints: hintList(hint), code: exitUsage}
}

// failure is anything else that went wrong.
func failure(err error, hints ...string) error {
	return &problem{err: err, hints: hints, code: exitFailed}
}

func hintList(hint string) []string {
	if hint == "" {
		return nil
	}
	return []string{hint}
}

// report prints an error with its hints, and returns the exit status.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code, hints := exitFailed, []string(nil)
	if p, ok := errors.AsType[*problem](err); ok {
		code, hints = p.code, p.hints
	} else if hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		hints = []string{hinted.Hint()}
	}
	if silent, ok := errors.AsType[*quiet](err); ok {
		return silent.code
	}
	fmt.Fprintf(w, "tcps: error: %v\n", err)
	for _, hint := range hints {
		fmt.Fprintf(w, "tcps: hint: %s\n", hint)
	}
	return code
}

// quiet is an exit status about which all is said already.
type quiet struct{ code int }

func (q *quiet) Error() string { return fmt.Sprintf("exit status %d", q.code) }

// exitCodeOf is the exit status for an error of dialling or of a connection.
func exitCodeOf(err error) int {
	failed, ok := errors.AsType[*tlsclient.Error](err)
	switch {
	case !ok:
		return exitFailed
	case failed.Timeout():
		return exitTimeout
	case failed.NotReached:
		return exitNotReached
	default:
		return failed.Reason.ExitCode()
	}
}

func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	name := c.Args().First()
	var names []string
	for _, command := range c.App.Commands {
		names = append(names, command.Names()...)
	}
	return misuse(suggestion("tcps ", name, names, "tcps help"), "tcps has no command %q", name)
}

// noSubcommand is the action of a command that only has subcommands.
func noSubcommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	name := c.Args().First()
	var names []string
	for _, command := range c.Command.Subcommands {
		names = append(names, command.Names()...)
	}
	return misuse(suggestion("tcps "+c.Command.Name+" ", name, names, "tcps "+c.Command.Name+" --help"), "tcps %s has no command %q", c.Command.Name, name)
}

// onUsageError shows the mistake, not the whole help.
func onUsageError(c *cli.Context, err error, _ bool) error {
	hint := c.Command.HelpName + " --help"
	text := err.Error()
	if value, rest, ok := strings.Cut(strings.TrimPrefix(text, "invalid value "), " for flag -"); ok {
		if flag, cause, ok := strings.Cut(rest, ": "); ok {
			return misuse(hint+" describes every flag", "flag --%s: value %s: %s", flag, value, cause)
		}
	}
	return misuse(hint+" describes every flag", "%s", text)
}

// noArguments refuses arguments that a command has no use for.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return misuse(c.Command.HelpName+" --help describes it", "%s takes no argument, got %q", c.Command.HelpName, c.Args().First())
	}
	return nil
}
