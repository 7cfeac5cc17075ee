package certs

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/certmagic"
)

// TicketKeys keeps the keys of a server's session tickets in a storage, encrypted with the key in a file of its own: who
// has the one without the other can read no session. It is a tlsserver.TicketKeyStore. Servers share sessions that have
// the same storage and a file of the same content; others do not disturb each other. A value that is damaged, and a
// file that holds no key, are moved aside. It may be used concurrently.
type TicketKeys struct {
	storage certmagic.Storage
	keyFile string
	warn    func(string)
}

// NewTicketKeys keeps keys in storage. keyFile is made, 0600, when it is first needed and not there: 32 random bytes in
// hex. warn is told in a sentence what was damaged; it may be nil.
func NewTicketKeys(storage certmagic.Storage, keyFile string, warn func(string)) *TicketKeys {
	if warn == nil {
		warn = func(string) {}
	}
	return &TicketKeys{storage, keyFile, warn}
}

// ticketLock is the lock in the storage under which ticket keys are changed.
const ticketLock = "ticket_keys"

// UpdateTicketKeys calls change with what is stored, nil if nothing is, and stores what it returns unless that is nil,
// all under a lock of the storage.
func (t *TicketKeys) UpdateTicketKeys(ctx context.Context, change func(stored []byte) []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep ticket keys: %w", err)
		}
	}()
	if err := t.storage.Lock(ctx, ticketLock); err != nil {
		return err
	}
	defer func() {
		if e := t.storage.Unlock(context.WithoutCancel(ctx), ticketLock); err == nil {
			err = e
		}
	}()
	key, err := t.key()
	if err != nil {
		return err
	}
	sealed, err := newSealedValue(key)
	if err != nil {
		return err
	}
	stored, err := t.load(ctx, sealed)
	if err != nil {
		return err
	}
	if next := change(stored); next != nil {
		return t.storage.Store(ctx, sealed.storageKey, sealed.seal(next))
	}
	return nil
}

// load returns nil if nothing is stored, or nothing that this key can open.
func (t *TicketKeys) load(ctx context.Context, sealed *sealedValue) ([]byte, error) {
	value, err := t.storage.Load(ctx, sealed.storageKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if plain, err := sealed.open(value); err == nil {
		return plain, nil
	}
	aside, err := moveAside(ctx, t.storage, []string{sealed.storageKey}, [][]byte{value})
	if err != nil {
		return nil, err
	}
	t.warn(fmt.Sprintf("the stored ticket keys are damaged: moved aside to %s; clients begin new sessions", aside[0]))
	return nil, nil
}

// key reads the key file, or makes it.
func (t *TicketKeys) key() ([]byte, error) {
	for tries := 0; ; tries++ {
		data, err := t.readKeyFile()
		if err == nil {
			if key, err := hex.DecodeString(string(bytes.TrimSpace(data))); err == nil && len(key) == 32 {
				return key, nil
			}
			aside := t.keyFile + damagedSuffix
			if err := os.Rename(t.keyFile, aside); err != nil {
				return nil, err
			}
			t.warn(fmt.Sprintf("%q holds no key of 32 bytes in hex: moved aside to %q; clients begin new sessions", t.keyFile, aside))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := t.makeKeyFile(); err != nil && (!errors.Is(err, fs.ErrExist) || tries == 10) {
			return nil, err // one that is there was made by another process just now
		}
	}
}

func (t *TicketKeys) readKeyFile() ([]byte, error) {
	info, err := os.Stat(t.keyFile)
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(t.keyFile, info); err != nil {
		return nil, err
	}
	return os.ReadFile(t.keyFile)
}

func (t *TicketKeys) makeKeyFile() error {
	if err := makeFoldersDurably(filepath.Dir(t.keyFile)); err != nil {
		return err
	}
	return writeFiles([]file{{t.keyFile, fmt.Appendf(nil, "%x\n", newSecret()), 0o600, nil}}, false)
}

func newSecret() (secret [32]byte) {
	rand.Read(secret[:]) // never fails (crypto/rand)
	return secret
}

// sealedValue encrypts and authenticates the value of one storage key, which has a digest of the secret in its name: the
// holders of different secrets have different values.
type sealedValue struct {
	storageKey string
	aead       cipher.AEAD
}

func newSealedValue(secret []byte) (*sealedValue, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256(append([]byte("tcps ticket keys "), secret...))
	return &sealedValue{fmt.Sprintf("tickets/%x", name[:8]), aead}, nil
}

func (v *sealedValue) seal(plain []byte) []byte {
	return v.aead.Seal(nil, nil, plain, []byte(v.storageKey))
}

func (v *sealedValue) open(sealed []byte) ([]byte, error) {
	return v.aead.Open(nil, nil, sealed, []byte(v.storageKey))
}
