package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
)

// A process is what tcps is beside its services: there is one, however many of
// them there are. A supervisor calls its methods, in this order: listen, bound,
// serving; mayBecome before other services take the place of some; ending, ended.
type process struct {
	log     *slog.Logger
	pidFile string // empty: none
}

// processFlags are those of the process: "serve" and "forward" have them beside
// the flags of their one service, and a file has them under the key process.
func processFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("Process", "pid-file", "", "`FILE` that holds the number of the process while it serves"),
	}
}

// withProcess is the command of one service that has the process's flags too.
func withProcess(c *cli.Command) *cli.Command {
	c.Flags = append(c.Flags, processFlags()...)
	return c
}

// processOf reads the flags of the process.
func processOf(c *cli.Context, log *slog.Logger) *process {
	return &process{log: log, pidFile: c.String("pid-file")}
}

// listen opens a socket that no unit of this process has.
func (p *process) listen(ctx context.Context, u *unit, e endpoint.Endpoint) (net.Listener, error) {
	return listenAnew(ctx, u, e)
}

// bound hears that all sockets are open and all certificates are there. Nobody is
// served yet, and nobody will be after an error.
func (p *process) bound([]*unit) error {
	if p.pidFile == "" {
		return nil
	}
	if err := certs.WriteFile(p.pidFile, fmt.Appendln(nil, os.Getpid())); err != nil {
		return failure(fmt.Errorf("write the process's number: %w", err), "make the folder "+filepath.Dir(p.pidFile)+", or name another file with --pid-file")
	}
	return nil
}

// serving hears that clients are served.
func (p *process) serving([]*unit) {}

// mayBecome says what stands against these services instead of those that run.
// They have not been opened yet.
func (p *process) mayBecome([]*unit) error { return nil }

// ending hears that nobody new is served.
func (p *process) ending() {}

// ended hears that nothing is served any more.
func (p *process) ended() {
	if p.pidFile == "" {
		return
	}
	if text, err := os.ReadFile(p.pidFile); err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(os.Getpid()) {
		os.Remove(p.pidFile)
	}
}
