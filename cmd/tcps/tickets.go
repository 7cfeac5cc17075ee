package main

import (
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

// keepTickets has the state folder, where there is one, keep the keys of
// session tickets, so that a restart keeps sessions. Nothing in it is a reason
// not to serve.
func (s *serving) keepTickets(c *cli.Context) {
	dir, err := stateDir(c)
	if err != nil || s.server.SessionTicketsDisabled {
		return
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return
	}
	storage, err := certs.OpenFileStorage(storageDir(dir))
	if err != nil {
		s.log.Warn("sessions will not outlast this process", "err", err)
		return
	}
	s.server.TicketKeys = certs.NewTicketKeys(storage, filepath.Join(dir, "tickets.key"), func(warning string) { s.log.Warn(warning) })
}

// storageDir is the folder, in that of the state, of what is stored by key.
func storageDir(state string) string { return filepath.Join(state, "storage") }
