package tlsserver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Who holds a ticket key can read the sessions that it encrypted (in TLS 1.2
// all that was said in them), so a key is used for ticketKeyLife, and for two
// more lives only to decrypt.
const (
	ticketKeyLife  = 12 * time.Hour
	ticketKeysKept = 3
)

// ticketKeys are the keys of session tickets. They change in the handshake that
// finds the newest too old: no goroutine waits for that.
type ticketKeys struct {
	// The keys of now are those from asOf until renewAt, in Unix nanoseconds: a
	// clock that was ahead may be set right.
	asOf, renewAt atomic.Int64

	mu   sync.Mutex
	keys ticketKeyList // guarded by mu
	kept keptTicketKeys
}

// renewTickets gives all names of t the keys of now when they have changed.
func (s *Server) renewTickets(t *trust) {
	if s.SessionTicketsDisabled {
		return
	}
	if now := time.Now().UnixNano(); now >= s.tickets.renewAt.Load() || now < s.tickets.asOf.Load() {
		s.syncTickets()
		s.tickets.install(t.configs()...)
	}
}

// install gives configs the keys of now.
func (k *ticketKeys) install(configs ...*tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.keys = k.keys.advance(now, 0)
	next := k.keys.nextChange(now)
	if sync := k.kept.syncAt; !sync.IsZero() && sync.Before(next) {
		next = sync
	}
	k.asOf.Store(now.UnixNano())
	k.renewAt.Store(now.Add(next.Sub(now)).UnixNano()) // by the clock of now, whichever next is by
	keys := k.keys.inOrder(now)
	for _, config := range configs {
		config.SetSessionTicketKeys(keys)
	}
}

// bindSessions makes a session resumable only under the server name that it
// was made for: what is checked for a name (StrictSNI, authorities that differ
// by name) is checked in the full handshake. Likewise it stays on its side of
// having authorities or none: a session has the names that an authority vouched
// for with it; and of having strict names or not.
func bindSessions(config *tls.Config, strictNames bool) {
	vouched := "nobody"
	if config.ClientCAs != nil {
		vouched = "authorities"
	}
	mark := func(cs tls.ConnectionState) []byte {
		return fmt.Appendf(nil, "tcps server name %s, clients vouched for by %s, strict names %t", cs.ServerName, vouched, strictNames)
	}
	config.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, mark(cs))
		return config.EncryptTicket(cs, ss)
	}
	config.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := config.DecryptTicket(identity, cs)
		if err != nil || ss == nil {
			return nil, err
		}
		for _, extra := range ss.Extra {
			if bytes.Equal(extra, mark(cs)) {
				return ss, nil
			}
		}
		return nil, nil
	}
}
