package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
)

// provingTimeout bounds the proof of all names together.
const provingTimeout = 10 * time.Second

// A wanted is a name that clients ask for, and what they should be presented.
type wanted struct {
	name   string              // as in the certificate; empty: for clients that ask for none
	asks   string              // the same, but for wildcards
	leaves []*x509.Certificate // any of them is right

	// latest, if set, is what became right while the handshake ran.
	latest func() *x509.Certificate
}

func (w *wanted) isRight(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(w.leaves, leaf.Equal) || w.latest != nil && leaf.Equal(w.latest())
}

// A prover says what a server really serves.
type prover struct {
	server    *tlsserver.Server
	log       *slog.Logger
	lifetimes *lifetimes
}

// prove has the server complete a handshake with itself for each name, logs
// what came, and says loudly if that is not what should have come.
func (p *prover) prove(ctx context.Context, names []wanted) {
	p.handshakes(ctx, names, func(w wanted, served []*x509.Certificate) {
		p.log.Info("serving certificate", "name", orDash(w.name), "serial", served[0].SerialNumber.Text(16), "until", served[0].NotAfter.UTC().Format(time.RFC3339))
	})
}

// warn warns of what is served and will end soon.
func (p *prover) warn(ctx context.Context, names []wanted) {
	p.handshakes(ctx, names, func(w wanted, served []*x509.Certificate) {
		p.lifetimes.check("certificate", served...)
	})
}

func (p *prover) handshakes(ctx context.Context, names []wanted, each func(w wanted, served []*x509.Certificate)) {
	limited, cancel := context.WithTimeout(ctx, provingTimeout)
	defer cancel()
	for i, w := range names {
		cs, err := p.server.Prove(limited, w.asks)
		if ctx.Err() != nil {
			return // the process ends
		}
		if limited.Err() != nil {
			p.log.Warn("not all names were proved in time", "proved", i, "left", len(names)-i, "after", provingTimeout.String())
			return
		}
		if err != nil {
			p.log.Error("no certificate is served", "name", orDash(w.name), "err", err)
			continue
		}
		served := cs.PeerCertificates
		if !w.isRight(served[0]) {
			p.log.Error("the certificate that is served is not the one that was loaded", "name", orDash(w.name),
				"serial", served[0].SerialNumber.Text(16), "loaded", serials(w.leaves))
			continue
		}
		each(w, served)
	}
}

func serials(leaves []*x509.Certificate) string {
	var all []string
	for _, leaf := range leaves {
		all = append(all, leaf.SerialNumber.Text(16))
	}
	return strings.Join(all, " ")
}

// wantedOf is every name of the certificates that a server should present; the
// first is also for clients that ask for none, unless names are strict.
func wantedOf(leaves []*x509.Certificate, strict bool) []wanted {
	byName := make(map[string][]*x509.Certificate)
	var names []string // in order
	for _, leaf := range leaves {
		for _, name := range certs.ServerNames(leaf) {
			if byName[name] == nil {
				names = append(names, name)
			}
			byName[name] = append(byName[name], leaf)
		}
	}
	var all []wanted
	if len(leaves) > 0 && !strict {
		first := leaves[:1]
		for _, name := range certs.ServerNames(leaves[0]) {
			first = append(first[:len(first):len(first)], byName[name]...) // of other kinds of keys
		}
		all = append(all, wanted{leaves: first})
	}
	for _, name := range names {
		w := wanted{name: name, asks: asksFor(name), leaves: byName[name]}
		if strings.HasPrefix(name, "*.") {
			w.leaves = append(w.leaves[:len(w.leaves):len(w.leaves)], byName[w.asks]...)
		}
		if net.ParseIP(name) == nil { // a common name may be an address, which nobody can ask for
			all = append(all, w)
		}
	}
	return all
}

// asksFor is a name that gets the certificate of this one.
func asksFor(name string) string {
	if parent, ok := strings.CutPrefix(name, "*."); ok {
		return "tcps-proof." + parent
	}
	return name
}

// wantedOfManager is every name that a Manager has a certificate for, which may
// be renewed at any time. The first name is also for clients that ask for none.
func wantedOfManager(m *certs.Manager, strict bool) []wanted {
	leaves := m.Leaves()
	var all []wanted
	for _, name := range slices.Sorted(maps.Keys(leaves)) {
		w := wanted{name: name, asks: asksFor(name), leaves: []*x509.Certificate{leaves[name]}, latest: func() *x509.Certificate { return m.Leaves()[name] }}
		if net.ParseIP(name) == nil {
			all = append(all, w)
		}
		if !strict && len(m.Names) > 0 && strings.EqualFold(name, strings.TrimSuffix(m.Names[0], ".")) {
			w.name, w.asks = "", ""
			all = append(all, w)
		}
	}
	return all
}

// wanted is what the reloader's server should present. The caller holds mu.
func (r *reloader) wanted() []wanted {
	if r.files != nil {
		return wantedOf(r.files.Leaves(), r.server.StrictSNI)
	}
	if m, ok := r.source.(*certs.Manager); ok {
		return wantedOfManager(m, r.server.StrictSNI)
	}
	cert, err := r.source.Certificate(&tls.ClientHelloInfo{})
	if err != nil || cert == nil || cert.Leaf == nil {
		return nil
	}
	return wantedOf([]*x509.Certificate{cert.Leaf}, r.server.StrictSNI)
}

// warnHourly warns of certificates that will end soon, until ctx ends.
func (r *reloader) warnHourly(ctx context.Context) {
	every(ctx, time.Hour, func() { r.warnNow(ctx) })
}

// changed proves what a Manager has obtained or renewed.
func (r *reloader) changed(_ string, leaf *x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trust == nil {
		return // it starts: all names are proved soon
	}
	names := slices.DeleteFunc(r.wanted(), func(w wanted) bool { return !w.isRight(leaf) })
	r.prover.prove(context.Background(), names)
}

// proveNow proves every name. A reload between asking and looking would look like
// a wrong certificate, so none can come between.
func (r *reloader) proveNow(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prover.prove(ctx, r.wanted())
}

func (r *reloader) warnNow(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prover.warn(ctx, r.wanted())
}
