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

// maxNames is how many names a Manager has at most when more are asked for: strangers ask.
const maxNames = 10_000

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

// stored lists the names that earlier runs obtained: they go on being renewed. What nobody has renewed for long is left
// out: nobody has asked for it either.
func (d *demand) stored(ctx context.Context, m *Manager) []string {
	var names []string
	add := func(_ string, leaf *x509.Certificate) {
		for _, name := range ServerNames(leaf) {
			if d.matches(name) && !slices.Contains(m.names, name) && !slices.Contains(names, name) && time.Now().Before(leaf.NotAfter) {
				names = append(names, name)
			}
		}
	}
	prefix := certmagic.StorageKeys.CertsPrefix(m.magic.Issuers[0].IssuerKey())
	if err := eachStored(ctx, m.Storage, prefix, add); err != nil {
		m.logger().Error("the storage could not be checked", "err", err)
	}
	return names
}
