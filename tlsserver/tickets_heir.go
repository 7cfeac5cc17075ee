package tlsserver

import (
	"fmt"
	"time"
)

// ExportTicketKeys is the server's keys of session tickets, for another server
// that takes its place: a secret text, nil if there are none.
func (s *Server) ExportTicketKeys() []byte {
	k := &s.tickets
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.SessionTicketsDisabled || len(k.keys) == 0 {
		return nil
	}
	return k.keys.encode()
}

// ImportTicketKeys has the server go on with the keys that another one has
// exported, instead of those that it has made itself: call it before Serve. On an
// error nothing has changed.
func (s *Server) ImportTicketKeys(text []byte) error {
	keys, err := decodeTicketKeys(text)
	if err != nil {
		return fmt.Errorf("import ticket keys: %w", err)
	}
	if len(keys) == 0 || s.SessionTicketsDisabled {
		return nil
	}
	k := &s.tickets
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys.advance(time.Now(), 0)
	k.renewAt.Store(0) // the next handshake installs them
	return nil
}
