package certs

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
)

// What a gate remembers ends with the process, and a supervisor may start one a second. So the first attempts for a name
// are noted in the storage, until one succeeds: there are at most maxStarts in startsWithin. Who mends something and
// starts the server again is not made to wait; Let's Encrypt permits 5 failed validations of a name in an hour.
const (
	maxStarts    = 3
	startsWithin = time.Hour
)

// starts are the first attempts of processes.
type starts struct {
	storage certmagic.Storage
	prefix  string          // of the keys
	first   map[string]bool // names that this process has not tried; guarded by the gate's mu
}

func newStarts(storage certmagic.Storage, issuerKey string, names []string) *starts {
	s := &starts{storage, path.Join("starts", certmagic.StorageKeys.Safe(issuerKey)), make(map[string]bool)}
	for _, name := range names {
		s.first[name] = true
	}
	return s
}

func (s *starts) key(name string) string {
	return path.Join(s.prefix, certmagic.StorageKeys.Safe(name)+".json")
}

// add notes an attempt, or returns when there may be one. It is called under certmagic's lock of the name. What cannot be
// read or written is no reason not to try.
func (s *starts) add(ctx context.Context, name string) (until time.Time) {
	var times []time.Time
	if value, err := s.storage.Load(ctx, s.key(name)); err == nil && json.Unmarshal(value, &times) != nil {
		times = nil
	}
	now := time.Now()
	times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= startsWithin || t.After(now) })
	if len(times) >= maxStarts {
		return times[0].Add(startsWithin)
	}
	if value, err := json.Marshal(append(times, now.UTC())); err == nil {
		s.storage.Store(ctx, s.key(name), value)
	}
	return time.Time{}
}

// start is asked before each attempt, and refuses one that restarts have made too often.
func (g *gate) start(ctx context.Context, name string) error {
	g.mu.Lock()
	first := g.starts != nil && g.starts.first[name]
	g.mu.Unlock()
	if !first {
		return nil
	}
	until := g.starts.add(ctx, name)
	err := fmt.Errorf("the last %d starts of this service tried it, without success", maxStarts)
	if !until.IsZero() {
		g.log.Error("no certificate was obtained", "name", name, "err", err, "next", until.UTC().Format(time.RFC3339))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.IsZero() {
		delete(g.starts.first, name)
		return nil
	}
	g.tries[name] = &try{err: err, next: until}
	g.schedule()
	return noted{err}
}

// succeed forgets the attempts for a name.
func (s *starts) succeed(ctx context.Context, name string) {
	if s != nil && s.storage.Exists(ctx, s.key(name)) {
		s.storage.Delete(ctx, s.key(name))
	}
}
