package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Memory is a storage that lives as long as the test. The zero value is empty.
type Memory struct {
	mu     sync.Mutex
	values map[string]value         // guarded by mu
	locks  map[string]chan struct{} // of who holds them, closed when given back; guarded by mu
}

type value struct {
	content []byte
	stored  time.Time
}

// Store puts value at key.
func (m *Memory) Store(ctx context.Context, key string, content []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = make(map[string]value)
	}
	m.values[key] = value{bytes.Clone(content), time.Now()}
	return nil
}

// Load returns the value at key.
func (m *Memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if !ok {
		return nil, fmt.Errorf("load %q: %w", key, fs.ErrNotExist)
	}
	return bytes.Clone(v.content), nil
}

// Delete removes key and what is below it.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.values, func(k string, _ value) bool { return k == key || strings.HasPrefix(k, key+"/") })
	return nil
}

// Exists reports whether there is a value at key or below it.
func (m *Memory) Exists(ctx context.Context, key string) bool {
	_, err := m.Stat(ctx, key)
	return err == nil
}

// Stat describes key.
func (m *Memory) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if err := check(ctx, key); err != nil {
		return certmagic.KeyInfo{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return certmagic.KeyInfo{Key: key, Modified: v.stored, Size: int64(len(v.content)), IsTerminal: true}, nil
	}
	for k := range m.values {
		if strings.HasPrefix(k, key+"/") {
			return certmagic.KeyInfo{Key: key}, nil
		}
	}
	return certmagic.KeyInfo{}, fmt.Errorf("look at %q: %w", key, fs.ErrNotExist)
}

// List returns the keys below prefix, in order.
func (m *Memory) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	under := prefix + "/"
	if prefix == "" {
		under = ""
	}
	found := make(map[string]bool)
	for key := range m.values {
		rest, ok := strings.CutPrefix(key, under)
		if !ok {
			continue
		}
		if !recursive {
			rest, _, _ = strings.Cut(rest, "/")
		}
		found[under+rest] = true
	}
	if len(found) == 0 && prefix != "" {
		return nil, fmt.Errorf("list %q: %w", prefix, fs.ErrNotExist)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Lock waits for the lock of that name, until ctx ends.
func (m *Memory) Lock(ctx context.Context, name string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		held := m.take(name)
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
}

// TryLock takes the lock of that name unless somebody holds it.
func (m *Memory) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return m.take(name) == nil, nil
}

// take takes a lock; where another holds it, it returns what is closed when that one gives it back.
func (m *Memory) take(name string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.locks[name]; held != nil {
		return held
	}
	if m.locks == nil {
		m.locks = make(map[string]chan struct{})
	}
	m.locks[name] = make(chan struct{})
	return nil
}

// Unlock gives a lock back.
func (m *Memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.locks[name]
	if held == nil {
		return fmt.Errorf("unlock %q: %w", name, errors.New("it is not locked"))
	}
	delete(m.locks, name)
	close(held)
	return nil
}

func check(ctx context.Context, key string) error {
	if !fs.ValidPath(key) || key == "." {
		return fmt.Errorf("%q is no key", key)
	}
	return ctx.Err()
}
