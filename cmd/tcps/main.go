// Command tcps puts TLS, mutual authentication and automatic certificates on
// any TCP service. "tcps help" lists what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is where a command reads and writes: standard output carries data,
// standard error carries messages.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run runs one command line and returns its exit status.
func run(ctx context.Context, args []string, std stdio) int {
	out := &output{w: std.out}
	std.out = out
	app := newApp(std)
	line, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, append([]string{app.Name}, line...))
	}
	if err == nil && out.err != nil {
		err = failure(fmt.Errorf("write standard output: %w", out.err))
	}
	if p, ok := errors.AsType[*problem](err); ok && p.code == exitUsage && len(p.hints) == 0 {
		p.hints = []string{helpFor(app, args) + " describes every flag"}
	}
	return report(std.err, err)
}

// An output remembers that writing failed, so that nobody takes half an answer
// for a whole one.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		o.err = err
	}
	return n, err
}

// newApp has the commands in one table: the help comes from it.
func newApp(std stdio) *cli.App {
	p := &program{stdio: std}
	app := &cli.App{
		Name:            "tcps",
		Usage:           "TLS, mutual authentication and automatic certificates for any TCP service",
		UsageText:       "tcps COMMAND [FLAG…] [ARGUMENT…]",
		Description:     appDescription,
		HideHelpCommand: false,
		HideVersion:     true,
		Reader:          std.in,
		Writer:          std.out,
		ErrWriter:       std.err,
		Action:          noCommand,
		OnUsageError:    onUsageError,
		ExitErrHandler:  func(*cli.Context, error) {}, // run reports, once
		// A list in an environment variable has one value a line, and a comma
		// belongs to the value.
		SliceFlagSeparator: "\n",
		Commands: []*cli.Command{
			withProcess(p.serveCommand()),
			withProcess(p.forwardCommand()),
			p.runCommand(),
			p.configCommand(),
			p.policyCommand(),
			p.connectCommand(),
			p.inspectCommand(),
			p.certsCommand(),
			p.demoCommand(),
			p.versionCommand(),
		},
	}
	prepare(app.Commands)
	return app
}

// A program is one run of the command.
type program struct {
	stdio
	challenges challengeServers
}

const appDescription = `tcps serve                     a TLS service on tcps://127.0.0.1:8120 that greets and echoes
tcps connect localhost:8120    talk to it
tcps forward FROM TO           a tunnel: TLS for a service that has none, or to one that has
tcps run FILE                  many services in one process
tcps inspect HOST:PORT         what a server accepts, and what is wrong with it
tcps certs show FILE           what a certificate is, in words

An endpoint is tcps://host:port (TLS), tcp://host:port (plain), unix:///path
(plain) or unixs:///path (TLS); without a scheme it is tcps. Flags may stand
before and after arguments. Each has an environment variable: --client-ca is
TCPS_CLIENT_CA; a list has one value a line there.`
