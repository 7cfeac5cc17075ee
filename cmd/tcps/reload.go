package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
)

// A reloader keeps the trust value of a server as its files say.
type reloader struct {
	config *trustConfig
	server *tlsserver.Server
	log    *slog.Logger
	prover *prover
	again  again

	mu     sync.Mutex
	files  *certs.Files // nil: source is something else; guarded by mu
	source certs.Source // guarded by mu

	trust *tlsserver.Trust // what the server has now; nil before load; guarded by mu
}

// load reads the files for the first time; a source that is given takes the
// place of certificate files.
func (r *reloader) load(source certs.Source) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if source == nil {
		files, err := certs.LoadFiles(r.config.pairs...)
		if err != nil {
			return fileFailure(err, makesPair)
		}
		r.files, source = files, files
		r.warn(files.Warnings())
	}
	r.source = source
	return r.set(source)
}

// reload reads everything anew, and keeps the old value when anything is wrong.
func (r *reloader) reload(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files, source := r.files, r.source
	if files != nil {
		var err error
		if files, err = files.Reload(); err != nil {
			r.refuse(why, err)
			return
		}
		source = files
	}
	trust, err := r.build(source)
	if err != nil {
		r.refuse(why, err)
		return
	}
	if err := r.apply(trust); err != nil {
		r.log.Error("reload refused, the old certificates go on serving", "cause", why, "err", err)
		r.again.after(err)
		r.heedRevoked()
		return
	}
	r.files, r.source = files, source
	attrs := []any{"cause", why}
	if files != nil {
		r.warn(files.Warnings())
		for _, leaf := range files.Leaves() {
			attrs = append(attrs, "certificate", certs.OneLine(leaf))
		}
	}
	r.log.Info("reloaded", attrs...)
	r.prover.prove(context.Background(), r.wanted())
}

// refuse says that the old value stays, except for revocation lists that may
// be good.
func (r *reloader) refuse(why string, err error) {
	r.log.Error("reload refused, the old certificates go on serving", "cause", why, "err", err)
	r.again.after(err)
	r.reloadListsLocked(why)
}

func (r *reloader) set(source certs.Source) error {
	trust, err := r.build(source)
	if err != nil {
		return err
	}
	return r.apply(trust)
}

// build makes a trust value of all but the revocation lists.
func (r *reloader) build(source certs.Source) (*tlsserver.Trust, error) {
	c := r.config
	trust := &tlsserver.Trust{Source: source, ClientAuth: c.clientAuth, Policy: c.policy, KeepRefused: c.revocation.keepOpen}
	var err error
	if trust.ClientCAs, err = r.pool(&c.clientTrust); err != nil {
		return nil, err
	}
	for i := range c.names {
		part := &c.names[i]
		named := tlsserver.NameTrust{Names: part.names, ClientAuth: part.clientAuth, Policy: part.policy}
		if named.ClientCAs, err = r.pool(&part.clientTrust); err != nil {
			return nil, err
		}
		trust.Names = append(trust.Names, named)
	}
	return trust, nil
}

// pool loads the authorities for clients; nil: there are none.
func (r *reloader) pool(t *clientTrust) (*x509.CertPool, error) {
	if len(t.clientCAs) == 0 {
		return nil, nil
	}
	pool, warnings, err := certs.LoadPool(t.clientCAs...)
	if err != nil {
		return nil, fileFailure(err, makesRoot)
	}
	r.warn(warnings)
	return pool, nil
}

// apply adds the revocation lists to a trust value, and gives it to the server.
func (r *reloader) apply(trust *tlsserver.Trust) error {
	trust.Names = slices.Clone(trust.Names) // those of what the server has stay as they are
	lists := revocationsOf(trust)
	for i, part := range r.config.parts() {
		var err error
		if *lists[i], err = part.revocation.load(); err != nil {
			return err
		}
	}
	if err := r.server.SetTrust(trust); err != nil {
		return err
	}
	r.trust = trust
	r.warn(revocationWarnings(trust))
	return nil
}

func (r *reloader) warn(warnings []string) {
	for _, w := range warnings {
		r.log.Warn(w)
	}
}

// paths are the files and folders to watch.
func (r *reloader) paths() []string {
	var paths []string
	for _, part := range r.config.parts() {
		paths = append(append(paths, part.revocation.paths()...), part.clientCAs...)
	}
	for _, pair := range r.config.pairs {
		paths = append(paths, pair.Cert)
		if pair.Key != "" {
			paths = append(paths, pair.Key)
		}
	}
	if r.config.passphraseFile != "" {
		paths = append(paths, r.config.passphraseFile)
	}
	slices.Sort(paths)
	return slices.Compact(paths) // names may share a file
}

// watch reloads when a file changes, until ctx ends.
func (r *reloader) watch(ctx context.Context, watcher *certs.Watcher) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { r.watchLists(ctx) })
	watching.Go(func() { r.again.run(ctx, func() { r.reload("trying again") }) })
	watching.Go(func() {
		r.proveNow(ctx)
		r.warnHourly(ctx)
	})
	if len(r.paths()) == 0 {
		return
	}
	if err := watcher.Run(ctx, func() { r.reload("a file has changed") }); err != nil {
		r.log.Warn("files are not watched, send SIGHUP after a change", "err", err)
	}
}

// every calls do after each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}
