package tlsserver

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
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

// ticketKeys are the keys of session tickets, the newest first. They change in
// the handshake that finds the newest too old: no goroutine waits for that.
type ticketKeys struct {
	renewAt atomic.Int64 // Unix nanoseconds

	mu   sync.Mutex
	keys []ticketKey // guarded by mu
}

type ticketKey struct {
	key  [32]byte
	made time.Time
}

// renew gives config a new key when it is time for one.
func (k *ticketKeys) renew(config *tls.Config) {
	if !config.SessionTicketsDisabled && time.Now().UnixNano() >= k.renewAt.Load() {
		k.install(config)
	}
}

// install gives config the keys of now.
func (k *ticketKeys) install(config *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if len(k.keys) == 0 || now.Sub(k.keys[0].made) >= ticketKeyLife {
		fresh := ticketKey{made: now}
		rand.Read(fresh.key[:]) // never fails (crypto/rand)
		k.keys = append([]ticketKey{fresh}, k.keys...)
		k.renewAt.Store(now.Add(ticketKeyLife).UnixNano())
	}
	var current [][32]byte
	for _, key := range k.keys {
		if now.Sub(key.made) < ticketKeysKept*ticketKeyLife {
			current = append(current, key.key)
		}
	}
	k.keys = k.keys[:len(current)]
	config.SetSessionTicketKeys(current)
}

// bindSessions makes a session resumable only under the server name that it
// was made for: what is checked for a name (StrictSNI, authorities that differ
// by name) is checked in the full handshake. Likewise it stays on its side of
// having authorities or none: a session has the names that an authority vouched
// for with it.
func bindSessions(config *tls.Config) {
	vouched := "nobody"
	if config.ClientCAs != nil {
		vouched = "authorities"
	}
	mark := func(cs tls.ConnectionState) []byte {
		return []byte("tcps server name " + cs.ServerName + ", clients vouched for by " + vouched)
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
