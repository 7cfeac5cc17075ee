package main

import (
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

// At SIGUSR2 the process starts its own program anew: what is by then the file
// that it was started from. The two have a socket between them, over which the
// new one asks for what must not be lost: the listening sockets, and the keys of
// session tickets. Once it serves, the old one drains. Until then nothing has
// changed for anybody, and if the new one does not come up nothing will.
//
// That socket is the only descriptor that tableflip hands on. It keeps a
// duplicate of all that it is given for as long as a process lives: a port that
// is given up later would stay open, with nobody to accept; and the file of a
// Unix socket that it knows it removes, whoever listens there by then.

// upgradeFlags are those of replacing the process by another one.
func upgradeFlags() []cli.Flag {
	return []cli.Flag{
		durationFlag("Process", "upgrade-drain", time.Hour, "`TIME` that connections have to end in the old process when SIGUSR2 has begun a new one (Linux)"),
		durationFlag("Process", "upgrade-timeout", time.Minute, "`TIME` that a new process has to come up; after that the old one goes on (Linux)"),
	}
}

// A will is what a process leaves to the next one.
type will struct {
	sockets []bequest
	tickets map[string][]byte // exported keys of session tickets by the service's name: secret
}

// A bequest is a listening socket.
type bequest struct {
	name    string // as inherited has it, or systemd's
	systemd bool   // it came from there
	socket  filer
}

// A filer is a socket that can be handed on.
type filer interface{ File() (*os.File, error) }

// willOf has all that the units and the process listen on.
func (s *supervisor) willOf() will {
	w := will{tickets: make(map[string][]byte)}
	for _, u := range s.running() {
		for i, e := range u.endpoints {
			if l, ok := u.listeners[i].Listener.(filer); ok {
				w.sockets = append(w.sockets, bequest{name: inherited(u, e), socket: l})
			}
		}
		if keys := u.server.ExportTicketKeys(); keys != nil {
			w.tickets[u.called] = keys
		}
	}
	return w
}

// upgrade replaces the process, if the new one comes up.
func (s *supervisor) upgrade() {
	l, log := s.process.lineage, s.process.log
	log.Info("upgrade: a new process is to take over", "cause", "SIGUSR2", "program", l.program)
	err := l.upgrade(s.willOf(), s.connections)
	if err == nil {
		s.keepFiles()
		close(s.replaced)
		return
	}
	if s.isReplaced() {
		log.Warn("upgrade refused: this process drains, another one serves", "pid", l.heir.number(), "connections", s.connections(), "err", err)
		return
	}
	_, ending := s.alive()
	elder, left, drains := l.elderDrains()
	switch {
	case ending:
		log.Warn("upgrade refused: this process drains", "connections", s.connections(), "err", err)
	case drains:
		log.Warn("upgrade refused: the process before this one still drains", "pid", elder, "connections", left, "err", err)
	default:
		log.Error("upgrade failed, this process goes on as it is", "err", err)
		s.process.remain()
	}
}

// tellElder tells the process before this one why this one does not come up.
func (s *supervisor) tellElder(err error) {
	if err == nil {
		return
	}
	var l *lineage
	if s.process != nil {
		l = s.process.lineage
	} else {
		l, _ = newLineage(0)
	}
	if l != nil {
		l.failed(err)
	}
}

// connections counts those of all units, and of those that drain.
func (s *supervisor) connections() (n int) {
	units, _ := s.alive()
	for _, u := range units {
		n += u.server.OpenConns()
	}
	return n
}

// keepFiles has the files of Unix sockets stay that the next process listens on.
func (s *supervisor) keepFiles() {
	for _, u := range s.running() {
		for i, e := range u.endpoints {
			if l, ok := u.listeners[i].Listener.(interface{ SetUnlinkOnClose(bool) }); ok && s.process.lineage.leftTo(inherited(u, e)) {
				l.SetUnlinkOnClose(false)
			}
		}
	}
}

// replacedBy is the farewell of all units once the next process serves.
func (p *process) replacedBy(hurry, atOnce <-chan struct{}) farewell {
	why := fmt.Sprintf("process %d serves from now on; a signal shortens it to the time of --drain", p.lineage.heir.number())
	return farewell{why: why, drain: p.upgradeDrain, hurry: hurry, atOnce: atOnce}
}

// takeKeys has units go on with the keys of session tickets that were left to them.
func (p *process) takeKeys(units []*unit) {
	for _, u := range units {
		if err := u.server.ImportTicketKeys(p.lineage.tickets(u.called)); err != nil {
			p.log.Warn("sessions end with the process before this one", "service", u.called, "err", err)
		}
	}
}
