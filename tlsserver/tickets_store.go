package tlsserver

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A TicketKeyStore keeps the keys of session tickets, so that sessions outlast
// a restart, and servers that share it take each other's. certs.TicketKeys is
// one. Only one of them at a time works on the keys of a store.
type TicketKeyStore interface {
	// UpdateTicketKeys calls change with what was stored last, nil if nothing
	// was, and stores what it returns unless that is nil. No other call, of
	// another process either, comes between. It ends soon after ctx. What is
	// stored is secret.
	UpdateTicketKeys(ctx context.Context, change func(stored []byte) []byte) error
}

// Times of a store: it is asked every ticketSyncTime, as long as there are
// handshakes; so a key that is stored ticketLeadTime before it is used is known
// to all then. A store that hangs holds up no handshake, and SetTrust not
// longer than ticketSyncWait.
const (
	ticketSyncTime    = 10 * time.Minute
	ticketLeadTime    = time.Hour
	ticketSyncWait    = 5 * time.Second
	ticketSyncTimeout = time.Minute
)

// keptTicketKeys is what a server's ticketKeys have to do with its store.
type keptTicketKeys struct {
	syncAt time.Time          // when to ask the store again; zero: there is none; guarded by ticketKeys.mu, as all below
	done   chan struct{}      // closed when the store has been asked; nil: it never was
	cancel context.CancelFunc // ends asking
	closed bool
}

// awaitTicketKeys asks the store when it is time to, and waits a little for it.
func (s *Server) awaitTicketKeys() {
	done := s.syncTickets()
	if done == nil {
		return
	}
	timer := time.NewTimer(ticketSyncWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// syncTickets asks the store when it is time to, in a goroutine that closeTickets
// ends, and returns what is closed when it has been asked; nil: it never was.
func (s *Server) syncTickets() <-chan struct{} {
	if s.TicketKeys == nil || s.SessionTicketsDisabled {
		return nil
	}
	k := &s.tickets
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.kept.closed || now.Before(k.kept.syncAt) {
		return k.kept.done
	}
	k.kept.syncAt = now.Add(ticketSyncTime)
	if k.kept.done != nil {
		select {
		case <-k.kept.done:
		default:
			return k.kept.done // the store has hung since the last time
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), ticketSyncTimeout)
	done := make(chan struct{})
	k.kept.done, k.kept.cancel = done, cancel
	go func() {
		defer close(done)
		defer cancel()
		if err := s.TicketKeys.UpdateTicketKeys(ctx, s.mergeTicketKeys); err != nil {
			s.observe(TicketKeysFailed{Err: err})
		}
	}()
	return done
}

// mergeTicketKeys brings stored keys and the server's own together: nil if that
// is what is stored. Keys of a form that we do not know are replaced.
func (s *Server) mergeTicketKeys(text []byte) []byte {
	stored, err := decodeTicketKeys(text)
	if err != nil {
		s.observe(TicketKeysFailed{Err: fmt.Errorf("read stored ticket keys, which are replaced: %w", err)})
	}
	k := &s.tickets
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = stored.with(k.keys...).advance(time.Now(), ticketLeadTime)
	k.renewAt.Store(0) // the next handshake installs them
	if slices.Equal(k.keys, stored) {
		return nil
	}
	return k.keys.encode()
}

// closeTickets ends what asks the store.
func (s *Server) closeTickets() {
	k := &s.tickets
	k.mu.Lock()
	k.kept.closed = true
	done, cancel := k.kept.done, k.kept.cancel
	k.mu.Unlock()
	if done != nil {
		cancel()
		<-done
	}
}
