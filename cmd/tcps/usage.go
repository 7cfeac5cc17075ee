package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
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

// The exit statuses that are not only those of a Reason: reason.Reason.ExitCode
// has 5 to 11.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNotReached = 3
	exitTimeout    = 4
	exitNotFound   = 12
	exitDue        = 75 // a certificate needs renewal; EX_TEMPFAIL of sysexits.h
)

// misuse is wrong usage: exit status 2. Without a hint of its own it gets the
// one that names the help (run).
func misuse(hint, format string, args ...any) error {
	p := &problem{err: fmt.Errorf(format, args...), code: exitUsage}
	if hint != "" {
		p.hints = []string{hint}
	}
	return p
}

// failure is anything else that went wrong.
func failure(err error, hints ...string) error {
	return &problem{err: err, hints: hints, code: exitFailed}
}

// report prints an error with its hints, and returns the exit status.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	code, hints := outcomeOf(err)
	fmt.Fprintf(w, "tcps: error: %v\n", err)
	for _, hint := range hints {
		fmt.Fprintf(w, "tcps: hint: %s\n", hint)
	}
	return code
}

// outcomeOf is the exit status for an error, and what to do about it.
func outcomeOf(err error) (code int, hints []string) {
	if err == nil {
		return 0, nil
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return p.code, p.hints
	}
	if hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return exitFailed, []string{hinted.Hint()}
	}
	return exitFailed, nil
}

// exitStatus is an error about which all is said already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

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
	return unknownCommand("tcps", c.App.Commands, c.Args().First())
}

// noSubcommand is the action of a command that only has subcommands.
func noSubcommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	return unknownCommand(c.Command.HelpName, c.Command.Subcommands, c.Args().First())
}

func unknownCommand(line string, commands []*cli.Command, name string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Names()...)
	}
	help := line + " --help"
	if line == "tcps" {
		help = "tcps help"
	}
	return misuse(suggestion(line+" ", name, names, help), "%s has no command %q", line, name)
}

// onUsageError shows the mistake, not the whole help.
func onUsageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	flag, value, cause := "", "", ""
	switch {
	case scan(text, "invalid value ", &value, " for flag -", &flag, ": ", &cause): // of the command line
	case scan(text, "invalid boolean value ", &value, " for -", &flag, ": ", &cause):
		cause = "neither true nor false"
	case scan(text, "could not parse ", &value, " as ", &cause, " for flag ", &flag, ": "): // of the environment
		flag, _, _ = strings.Cut(flag, ":")
		if strings.HasPrefix(cause, "bool") {
			cause = "neither true nor false"
		} else if _, after, ok := strings.Cut(text, "for flag "+flag+": "); ok {
			cause = after
		}
	default:
		return misuse("", "%s", text)
	}
	return misuse("", "flag --%s: value %s: %s", flag, value, cause)
}

// scan cuts a text at its fixed parts, which alternate with the variable ones
// that are set to what lies between: fixed, variable, fixed, … The last
// variable takes the rest.
func scan(text string, parts ...any) bool {
	var found []string
	for i := 0; i < len(parts); i += 2 {
		before, after, ok := strings.Cut(text, parts[i].(string))
		if !ok || i == 0 && before != "" {
			return false
		}
		if i > 0 {
			found = append(found, before)
		}
		text = after
	}
	found = append(found, text)
	for i := 1; i < len(parts); i += 2 {
		*parts[i].(*string) = found[i/2]
	}
	return true
}

// noArguments refuses arguments that a command has no use for.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return misuse(c.Command.HelpName+" --help describes it", "%s takes no argument, got %q", c.Command.HelpName, c.Args().First())
	}
	return nil
}

// fileFailure adds what to do about a file that cannot be used. missing says
// what makes such a file, where something does.
func fileFailure(err error, missing ...string) error {
	switch {
	case errors.Is(err, certs.ErrPassphraseNeeded), errors.Is(err, errNoPassphrase):
		return failure(err, "name a file that has it: --passphrase-file FILE", "or set "+passphraseVariable+", or run it on a terminal, which asks")
	case errors.Is(err, certs.ErrWrongPassphrase):
		return failure(err, "it came from --passphrase-file, else "+passphraseVariable+", else the terminal")
	case errors.Is(err, certs.ErrNoKey):
		return failure(err, "name the file that has it: --key FILE")
	case errors.Is(err, fs.ErrNotExist):
		return failure(err, append([]string{"check the path"}, missing...)...)
	case errors.Is(err, fs.ErrPermission):
		return failure(err, "run as a user who may read it, or change its owner")
	}
	return failure(err)
}

const (
	makesPair = "\"tcps certs issue localhost\" makes a server's certificate and its key, \"tcps certs issue --client NAME\" a client's"
	makesRoot = "\"tcps certs init\" makes an authority, and prints where its certificate is"
)
