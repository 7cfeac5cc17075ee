package certs

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
)

// begin looks at every name once, and starts the loop. What an authority of our own refuses is an error at once.
func (m *Manager) begin(ctx context.Context) error {
	background, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	for _, name := range m.names {
		err := m.load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			if m.patient {
				continue // the loop obtains it
			}
			err = m.attempt(ctx, name)
		}
		if err != nil && !m.patient {
			return err
		}
	}
	m.report("certificate loaded")
	m.work.Go(func() { m.loop(background) })
	return nil
}

// load brings what the storage has for a name into memory. A damaged certificate is moved out of the way, for it would
// be in the way for ever: it counts as none, fs.ErrNotExist.
func (m *Manager) load(ctx context.Context, name string) error {
	moved, err := checkStored(ctx, m.Storage, m.magic.Issuers[0].IssuerKey(), name)
	if m.sayMoved(ctx, moved, err); err != nil {
		return err
	}
	old, had := m.current(name)
	fresh, err := m.magic.CacheManagedCertificate(ctx, name)
	if err != nil {
		return err
	}
	if had && old.Hash() != fresh.Hash() {
		m.cache.Remove([]string{old.Hash()})
	}
	return nil
}

// sayMoved tells what was found damaged in the storage.
func (m *Manager) sayMoved(ctx context.Context, moved string, err error) {
	if moved != "" {
		m.logger().Warn(moved)
	}
	if err != nil && ctx.Err() == nil {
		m.logger().Error("the storage could not be checked", "err", err)
	}
}

// attempt obtains or renews the certificate for a name: once. certmagic's Async functions would place one order after the
// other, inside the lock and without a word, when the storage fails after an order.
func (m *Manager) attempt(ctx context.Context, name string) error {
	var err error
	if m.patient {
		moved, err := checkAccounts(ctx, m.Storage, m.magic.Issuers[0].IssuerKey())
		m.sayMoved(ctx, moved, err)
	}
	if c, ok := m.current(name); ok {
		err = m.magic.RenewCertSync(ctx, name, m.early(c))
	} else {
		err = m.magic.ObtainCertSync(ctx, name)
	}
	if err == nil {
		m.mu.Lock()
		delete(m.fresh, name) // it is loaded here
		m.mu.Unlock()
		err = m.load(ctx, name)
	}
	m.gate.done(ctx, name, err)
	return err
}

// early is whether a certificate of our own begins in the future: a clock was ahead when it was issued. certmagic looks at
// its end only. An ACME authority's clock is right, so there it is ours that is wrong.
func (m *Manager) early(c certmagic.Certificate) bool {
	return !m.patient && time.Now().Before(c.Leaf.NotBefore)
}

// event hears from certmagic that a certificate was obtained or renewed, and is in the storage.
func (m *Manager) event(_ context.Context, event string, data map[string]any) error {
	if name, ok := data["identifier"].(string); ok && event == "cert_obtained" {
		m.mu.Lock()
		m.fresh[name] = true
		m.mu.Unlock()
		m.wake()
	}
	return nil
}

// loadFresh brings into memory what the storage has new.
func (m *Manager) loadFresh(ctx context.Context) {
	m.mu.Lock()
	names := slices.Collect(maps.Keys(m.fresh))
	clear(m.fresh)
	m.mu.Unlock()
	for _, name := range names {
		if err := m.load(ctx, name); err != nil && ctx.Err() == nil {
			m.logger().Error("a new certificate could not be loaded", "name", name, "err", err)
		}
	}
}

func (m *Manager) wake() {
	select {
	case m.poke <- struct{}{}:
	default: // it is to wake already
	}
}

// loop is the Manager's one goroutine: it starts the attempts that are due, and reports what has changed. certmagic's
// own maintenance decides when a certificate is to be renewed, and makes the first attempt.
func (m *Manager) loop(ctx context.Context) {
	tick := time.NewTicker(m.check)
	defer tick.Stop()
	for {
		for _, name := range m.list() {
			m.tend(ctx, name)
		}
		m.loadFresh(ctx)
		m.report("certificate obtained")
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.poke:
		case <-m.gate.due():
		}
	}
}

// tend starts an attempt for a name that has no certificate, or one that is not valid yet, or that the gate held back, when
// it is time for one.
func (m *Manager) tend(ctx context.Context, name string) {
	c, have := m.current(name)
	wanted := !have || m.gate.held(name) || m.early(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[name] || !wanted || !m.gate.ready(name) {
		return
	}
	m.busy[name] = true
	m.work.Go(func() {
		if err := m.attempt(ctx, name); err != nil && ctx.Err() == nil {
			m.logger().Debug("attempt ended", "name", name, "err", err)
		}
		_, have := m.current(name)
		m.mu.Lock()
		delete(m.busy, name)
		if i := slices.Index(m.names, name); !have && i >= m.fixed {
			m.names = slices.Delete(m.names, i, i+1) // until a client asks again
		}
		m.mu.Unlock()
		m.wake()
	})
}

// report tells Changed, and the log, of every certificate that is another one than before; first says it of one where
// there was none.
func (m *Manager) report(first string) {
	for _, name := range m.list() {
		c, ok := m.current(name)
		if !ok {
			continue
		}
		m.mu.Lock()
		before := m.leaves[name]
		m.leaves[name] = c.Leaf
		m.mu.Unlock()
		if before != nil && before.Equal(c.Leaf) {
			continue
		}
		message, level := "certificate replaced", slog.LevelInfo
		if before == nil {
			message, level = first, m.gate.level()
		}
		m.logger().Log(context.Background(), level, message, "name", name, "certificate", OneLine(c.Leaf))
		if m.Changed != nil {
			m.Changed(name, c.Leaf)
		}
	}
}

// ask adds a name that a client asked for, if it matches OnDemand, and the rate of new names permits it. One whose
// attempt failed is not kept: else strangers could have any number of names tried for ever.
func (m *Manager) ask(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.names) >= maxNames || slices.Contains(m.names, name) || !m.gate.ready(name) || !m.demand.take() {
		return
	}
	m.names = append(m.names, name)
	m.wake()
}

// keySource makes the keys of certmagic's certificates.
type keySource struct{ t KeyType }

func (k keySource) GenerateKey() (crypto.PrivateKey, error) { return k.t.generate() }

var _ certmagic.KeyGenerator = keySource{}
