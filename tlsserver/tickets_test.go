package tlsserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

// A ticketStore is a store in memory that may fail or hang.
type ticketStore struct {
	mu     sync.Mutex
	stored []byte // guarded by mu, as all below
	writes int
	fails  error
	hangs  bool
}

func (s *ticketStore) UpdateTicketKeys(ctx context.Context, change func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.fails != nil {
		return s.fails
	}
	if next := change(s.stored); next != nil {
		s.stored, s.writes = next, s.writes+1
	}
	return nil
}

func (s *ticketStore) set(f func(s *ticketStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// twin is another server for the same clients, as the next process would be.
func twin(t *testing.T, s *tlstest.Server, store tlsserver.TicketKeyStore) *tlstest.Server {
	t.Helper()
	next := tlstest.NewUnstartedServer(t, greetEcho)
	next.Authority, next.Trust = s.Authority, s.Trust
	next.Config.TicketKeys = store
	return next
}

func TestSessionsOutlastARestartAndAreShared(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := new(ticketStore)
		first := tlstest.NewUnstartedServer(t, greetEcho)
		first.Trust.ClientCAs = first.Authority.Pool()
		first.Config.TicketKeys = store
		first.Start()
		second := twin(t, first, store)
		second.Start()
		config := withClient(clientConfig(first, version), first.ClientCertificate("alice"))
		config.ClientSessionCache = oneSession{tls.NewLRUClientSessionCache(1)}
		if cs, err := enter(first, config); err != nil || cs.DidResume {
			t.Fatalf("the first visit: %v", err)
		}
		if cs, err := enter(second, config); err != nil || !cs.DidResume {
			t.Errorf("at the second server: %v, resumed %v", err, cs != nil && cs.DidResume)
		}
		first.Close()
		second.Close()
		restarted := twin(t, first, store)
		restarted.Start()
		if cs, err := enter(restarted, config); err != nil || !cs.DidResume {
			t.Errorf("after a restart: %v, resumed %v", err, cs != nil && cs.DidResume)
		}
		if e := wantReason(t, restarted, "done"); e.Conn.Identity().CommonName != "alice" {
			t.Errorf("the resumed session belongs to %v", e.Conn.Identity())
		}
		if store.writes != 1 {
			t.Errorf("the keys were written %d times, want once", store.writes)
		}
		alone := twin(t, first, new(ticketStore))
		alone.Start()
		if cs, err := enter(alone, config); err != nil || cs.DidResume {
			t.Errorf("with another store: %v, resumed %v", err, cs != nil && cs.DidResume)
		}
	})
}

// What a server was asked to judge in the full handshake it also asks of
// sessions that another one, or an earlier one, made.
func TestStoredSessionsKeepToWhatTheyWereMadeUnder(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := new(ticketStore)
		first := tlstest.NewUnstartedServer(t, greetEcho)
		first.Config.TicketKeys = store
		first.Start()
		for name, change := range map[string]func(s *tlstest.Server){
			"authorities": func(s *tlstest.Server) {
				s.Trust.ClientCAs, s.Trust.ClientAuth = s.Authority.Pool(), tlsserver.ClientAuthOptional
			},
			"strict names": func(s *tlstest.Server) { s.Config.StrictSNI = true },
		} {
			config := clientConfig(first, version)
			config.ClientSessionCache = oneSession{tls.NewLRUClientSessionCache(1)}
			for range 2 {
				if _, err := enter(first, config); err != nil {
					t.Fatal(err)
				}
			}
			other := twin(t, first, store)
			trust := *first.Trust
			other.Trust = &trust
			change(other)
			other.Start()
			if cs, err := enter(other, config); err != nil || cs.DidResume {
				t.Errorf("%s: %v, resumed %v", name, err, cs != nil && cs.DidResume)
			}
		}
	})
}

// Servers that share a store have one set of keys, whoever rotates, and a new
// key is known to all before the first ticket that needs it comes.
func TestServersRotateSharedTicketKeysTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(ticketStore)
		a, b := newBubble(t, &tlsserver.Server{TicketKeys: store}), newBubble(t, &tlsserver.Server{TicketKeys: store})
		share(t, a, b)
		visitPipe(t, a, a.config())
		visitPipe(t, b, a.config())
		for hour := range 48 {
			config := a.config()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			visitPipe(t, a, config)
			if !visitPipe(t, b, config) {
				t.Errorf("after %d hours the second server does not know the first one's session", hour)
			}
			for range 6 {
				time.Sleep(10 * time.Minute)
				visitPipe(t, b, a.config())
			}
			synctest.Wait()
		}
		if store.writes > 8 { // for each key that comes, and each that goes
			t.Errorf("the keys were written %d times in two days", store.writes)
		}
		a.close()
		b.close()
	})
}

// share gives b the trust value of a.
func share(t *testing.T, a, b *bubble) {
	t.Helper()
	source, err := a.authority.Source([]string{"localhost"}, 90*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*bubble{a, b} {
		if err := s.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoredTicketKeysExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(ticketStore)
		a, b := newBubble(t, &tlsserver.Server{TicketKeys: store}), newBubble(t, &tlsserver.Server{TicketKeys: store})
		share(t, a, b)
		config := a.config()
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		visitPipe(t, a, config)
		a.close()
		time.Sleep(36 * time.Hour)
		if visitPipe(t, b, config) {
			t.Error("a session of 36 hours ago was resumed with a stored key")
		}
		b.close()
	})
}

// A store that fails is heard of, one that hangs holds up nobody for long, and
// both are asked again; Close ends the asking.
func TestTicketKeyStoresThatFailOrHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ticketStore{fails: errors.New("the disk is full")}
		var mu sync.Mutex
		var failures []error
		s := &tlsserver.Server{TicketKeys: store, Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
			if e, ok := e.(tlsserver.TicketKeysFailed); ok {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, e.Err)
			}
		})}
		b := newBubble(t, s)
		config := b.config()
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		visitPipe(t, b, config)
		if !visitPipe(t, b, config) {
			t.Error("no session without the store")
		}
		if mu.Lock(); !slices.Equal(failures, []error{store.fails}) {
			t.Errorf("heard of %q", failures)
		}
		mu.Unlock()

		store.set(func(s *ticketStore) { s.fails, s.hangs = nil, true })
		time.Sleep(10 * time.Minute)
		begun := time.Now()
		if !visitPipe(t, b, config) || time.Since(begun) > 0 {
			t.Errorf("a visit took %v while the store hangs", time.Since(begun))
		}
		time.Sleep(2 * time.Minute)
		store.set(func(s *ticketStore) { s.hangs = false })
		time.Sleep(10 * time.Minute)
		visitPipe(t, b, b.config())
		synctest.Wait()
		store.set(func(s *ticketStore) {
			if s.writes != 1 {
				t.Errorf("the keys were written %d times after the store came back", s.writes)
			}
			s.hangs = true
		})
		time.Sleep(10 * time.Minute)
		if !visitPipe(t, b, config) {
			t.Error("the session was lost on the way")
		}
		b.close()
	})
}

// Keys of an unknown form, or from a clock that is far ahead, are replaced.
func TestStoredTicketKeysOfNoUse(t *testing.T) {
	for name, stored := range map[string]string{
		"garbage":  "garbage",
		"short":    `[{"key":"AAAA","made":"2026-01-01T00:00:00Z"}]`,
		"ahead":    `[{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","made":"2999-01-01T00:00:00Z"}]`,
		"expired":  `[{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","made":"2001-01-01T00:00:00Z"}]`,
		"no keys":  `[]`,
		"no value": ``,
	} {
		t.Run(name, func(t *testing.T) {
			store := &ticketStore{stored: []byte(stored)}
			s := tlstest.NewUnstartedServer(t, greetEcho)
			s.Config.TicketKeys = store
			s.Start()
			if _, err := enter(s, clientConfig(s, tls.VersionTLS13)); err != nil {
				t.Error(err)
			}
			store.set(func(s *ticketStore) {
				if s.writes != 1 || string(s.stored) == stored {
					t.Errorf("there is %q after %d writes", s.stored, s.writes)
				}
			})
		})
	}
}
