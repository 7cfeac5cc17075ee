package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/time/rate"
)

// Names on demand: 10 at once, then one a minute, which stays below what ACME authorities permit (Let's Encrypt: 300
// orders in three hours).
const (
	demandBurst = 10
	demandEvery = time.Minute
)

// A demand decides which names are obtained because a client asked. A nil one permits none.
type demand struct {
	patterns []string // with slashes for dots
	limit    *rate.Limiter
}

func newDemand(patterns []string) (*demand, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	d := &demand{limit: rate.NewLimiter(rate.Every(demandEvery), demandBurst)}
	for _, p := range patterns {
		folded := foldName(p)
		if err := checkHost(p, strings.ReplaceAll(folded, "*", "x")); err != nil {
			return nil, err
		}
		if labels := strings.Split(folded, "."); len(labels) < 2 || strings.Contains(labels[len(labels)-1], "*") {
			return nil, fmt.Errorf("pattern %q permits names of everybody: its last label has to be a name", p)
		}
		d.patterns = append(d.patterns, slashed(folded))
	}
	return d, nil
}

// slashed lets path.Match keep a * within one label.
func slashed(name string) string { return strings.ReplaceAll(name, ".", "/") }

func (d *demand) matches(name string) bool {
	if d == nil || checkHost(name, name) != nil {
		return false
	}
	return slices.ContainsFunc(d.patterns, func(p string) bool {
		ok, err := path.Match(p, slashed(name))
		return ok && err == nil
	})
}

// take reports whether one more name may be obtained now.
func (d *demand) take() bool { return d != nil && d.limit.Allow() }

// stored lists the names that earlier runs obtained: they go on being renewed.
func (d *demand) stored(ctx context.Context, m *Manager) []string {
	prefix := certmagic.StorageKeys.CertsPrefix(m.magic.Issuers[0].IssuerKey())
	keys, err := m.Storage.List(ctx, prefix, true)
	if err != nil {
		return nil // there are none yet
	}
	var names []string
	for _, key := range keys {
		if path.Ext(key) != ".crt" {
			continue
		}
		data, err := m.Storage.Load(ctx, key)
		if err != nil {
			continue
		}
		found, err := parsePEM(key, data)
		if err != nil || len(found.certificates) == 0 {
			continue
		}
		for _, name := range ServerNames(found.certificates[0]) {
			if d.matches(name) && !slices.Contains(m.names, name) && !slices.Contains(names, name) && freshEnough(found.certificates[0]) {
				names = append(names, name)
			}
		}
	}
	return names
}

// freshEnough leaves out what nobody has renewed for long: nobody has asked for it either.
func freshEnough(c *x509.Certificate) bool { return time.Now().Before(c.NotAfter) }
