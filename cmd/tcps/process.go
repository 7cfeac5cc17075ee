package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
)

// A process is what tcps is beside its services: there is one, however many of
// them there are. A supervisor calls its methods, in this order: listen, bound,
// serving; mayBecome before other services take the place of some; ending, ended.
type process struct {
	log          *slog.Logger
	pidFile      string // empty: none
	lineage      *lineage
	upgradeDrain time.Duration // negative: no limit
}

// processFlags are those of the process: "serve" and "forward" have them beside
// the flags of their one service, and a file has them under the key process.
func processFlags() []cli.Flag {
	return append([]cli.Flag{
		stringFlag("Process", "pid-file", "", "`FILE` that holds the number of the process while it serves"),
	}, upgradeFlags()...)
}

// withProcess is the command of one service that has the process's flags too.
func withProcess(c *cli.Command) *cli.Command {
	c.Flags = append(c.Flags, processFlags()...)
	return c
}

// processOf reads the flags of the process.
func processOf(c *cli.Context, log *slog.Logger) (p *process, err error) {
	p = &process{log: log, pidFile: c.String("pid-file"), upgradeDrain: durationOf(c, "upgrade-drain")}
	p.lineage, err = newLineage(durationOf(c, "upgrade-timeout"))
	return p, err
}

// listen opens a socket that no unit of this process has.
func (p *process) listen(ctx context.Context, u *unit, e endpoint.Endpoint) (net.Listener, error) {
	if l, err := p.lineage.listen(inherited(u, e), e); l != nil || err != nil {
		return l, err
	}
	return listenAnew(ctx, u, e)
}

// bound hears that all sockets are open and all certificates are there. Nobody is
// served yet, and nobody will be after an error.
func (p *process) bound(units []*unit) error {
	p.takeKeys(units)
	return p.writeNumber()
}

func (p *process) writeNumber() error {
	if p.pidFile == "" {
		return nil
	}
	if err := certs.WriteFile(p.pidFile, fmt.Appendln(nil, os.Getpid())); err != nil {
		return failure(fmt.Errorf("write the process's number: %w", err), "make the folder "+filepath.Dir(p.pidFile)+", or name another file with --pid-file")
	}
	return nil
}

// serving hears that clients are served.
func (p *process) serving([]*unit) {
	if err := p.lineage.ready(); err != nil {
		p.log.Error("not all that the process before has left is taken over", "err", err)
	}
}

// remain hears that this process goes on after all.
func (p *process) remain() {
	if err := p.writeNumber(); err != nil {
		p.log.Error("the file of the process's number is another's", "err", err)
	}
}

// mayBecome says what stands against these services instead of those that run.
// They have not been opened yet.
func (p *process) mayBecome([]*unit) error { return nil }

// ending hears that nobody new is served; by another process, if this one was
// replaced.
func (p *process) ending(replaced bool) {
	if !replaced {
		p.lineage.end()
	}
}

// ended hears that nothing is served any more.
func (p *process) ended() {
	if p.pidFile == "" {
		return
	}
	if text, err := os.ReadFile(p.pidFile); err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(os.Getpid()) {
		os.Remove(p.pidFile)
	}
}
