package tlsserver

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// maxTicketKeys bounds a list: each key is tried on a ticket.
const maxTicketKeys = 8

// ticketKeyList has the newest first. A key may begin in the future: servers
// that share a list then know it before the first ticket comes.
type ticketKeyList []ticketKey

type ticketKey struct {
	key  [32]byte
	made time.Time // encrypts from then on
}

// advance drops what is too old, or too far ahead for any clock that is right,
// and adds a key if none is of use at lead from now.
func (l ticketKeyList) advance(now time.Time, lead time.Duration) ticketKeyList {
	var next ticketKeyList
	begun := false
	for _, key := range l {
		if age := now.Sub(key.made); age < ticketKeysKept*ticketKeyLife && age > -ticketKeyLife {
			next = append(next, key)
			begun = begun || age >= 0
		}
	}
	switch {
	case !begun:
		next = next.with(ticketKey{newTicketKey(), now})
	case now.Add(lead).Sub(next[0].made) >= ticketKeyLife:
		made := next[0].made.Add(ticketKeyLife)
		if made.Before(now) {
			made = now
		}
		next = next.with(ticketKey{newTicketKey(), made})
	}
	return next
}

func newTicketKey() (key [32]byte) {
	rand.Read(key[:]) // never fails (crypto/rand)
	return key
}

// with adds keys that are not there yet.
func (l ticketKeyList) with(others ...ticketKey) ticketKeyList {
	all := slices.Clone(l)
	for _, other := range others {
		if !slices.ContainsFunc(l, func(k ticketKey) bool { return k.key == other.key }) {
			all = append(all, other)
		}
	}
	slices.SortFunc(all, func(a, b ticketKey) int {
		if c := b.made.Compare(a.made); c != 0 {
			return c
		}
		return bytes.Compare(a.key[:], b.key[:])
	})
	return all[:min(len(all), maxTicketKeys)]
}

// inOrder is the list as crypto/tls wants it: the first encrypts.
func (l ticketKeyList) inOrder(now time.Time) [][32]byte {
	var keys [][32]byte
	for _, key := range l {
		keys = append(keys, key.key)
	}
	if current := l.current(now); current > 0 {
		keys[0], keys[current] = keys[current], keys[0]
	}
	return keys
}

// current is the newest that has begun.
func (l ticketKeyList) current(now time.Time) int {
	return slices.IndexFunc(l, func(k ticketKey) bool { return !k.made.After(now) })
}

// nextChange is when inOrder or advance has another result.
func (l ticketKeyList) nextChange(now time.Time) time.Time {
	if current := l.current(now); current > 0 {
		return l[current-1].made
	}
	return l[0].made.Add(ticketKeyLife)
}

// storedTicketKey is the form in which a key is stored.
type storedTicketKey struct {
	Key  []byte    `json:"key"`
	Made time.Time `json:"made"`
}

func (l ticketKeyList) encode() []byte {
	var stored []storedTicketKey
	for _, key := range l {
		stored = append(stored, storedTicketKey{key.key[:], key.made.UTC()})
	}
	text, _ := json.Marshal(stored) // of such a type it cannot fail
	return text
}

func decodeTicketKeys(text []byte) (ticketKeyList, error) {
	if text == nil {
		return nil, nil
	}
	var stored []storedTicketKey
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	var keys ticketKeyList
	for _, s := range stored {
		if len(s.Key) != 32 {
			return nil, errors.New("a stored ticket key has not 32 bytes")
		}
		keys = keys.with(ticketKey{[32]byte(s.Key), s.Made})
	}
	return keys, nil
}
