package tlsserver

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"
)

// Each bubble begins in the year 2000: in the second one the clock of the first
// is set back by a year.
func TestTicketKeysChangeAfterAClockThatWasAheadIsSetRight(t *testing.T) {
	s, served := new(Server), &trust{others: &ruling{config: new(tls.Config)}}
	key := func() [32]byte {
		s.renewTickets(served)
		return s.tickets.keys[0].key
	}
	synctest.Test(t, func(*testing.T) {
		time.Sleep(365 * 24 * time.Hour)
		key()
	})
	synctest.Test(t, func(t *testing.T) {
		before := key()
		time.Sleep(ticketKeyLife)
		if key() == before {
			t.Errorf("the key is the same after %v; the next change is at %v", ticketKeyLife, time.Unix(0, s.tickets.renewAt.Load()))
		}
	})
}
