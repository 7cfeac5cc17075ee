package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/tlsclient"
)

// A dialling keeps what a tunnel dials its targets with as the files say.
type dialling struct {
	log       *slog.Logger
	lifetimes *lifetimes
	set       func(*tlsclient.Dialer) // takes a new value, in one step

	base           tlsclient.Dialer // without what comes from files
	pairs          []certs.Pair
	cas            []string
	own            func() *x509.CertPool // the authorities in place of cas; nil: none
	ownPath        string                // of the local authority's root; empty: it does not count
	passphraseFile string                // watched with the keys that it opens
	watcher        *certs.Watcher        // nil: there are no files

	again again

	mu    sync.Mutex
	files *certs.Files // guarded by mu; nil: we have no certificate
}

// read reads the flags, and the files for the first time.
func (d *dialling) read(c *cli.Context, p *program, to []endpoint.Endpoint) error {
	if err := checkTargets(c, to); err != nil {
		return err
	}
	d.base = tlsclient.Dialer{ServerName: c.String("to-name"), Timeout: durationOf(c, "connect-timeout"), StartTLS: c.String("to-starttls")}
	if err := dialNetwork(c, &d.base); err != nil {
		return err
	}
	var err error
	if d.base.Pins, err = pinsOf(c, "to-pin"); err != nil {
		return err
	}
	if slices.ContainsFunc(to, endpoint.Endpoint.TLS) {
		if err := d.readFiles(c, p); err != nil {
			return err
		}
	}
	if paths := d.paths(); len(paths) > 0 {
		d.watcher = certs.NewWatcher(paths...) // before the files are read, so that no change is missed
	}
	return d.load()
}

func (d *dialling) readFiles(c *cli.Context, p *program) (err error) {
	d.cas = list(c, "to-ca")
	if d.pairs, err = pairsOf(c, "to-", p.passphrase(c)); err != nil {
		return err
	}
	if len(d.pairs) > 0 {
		d.passphraseFile = c.String("passphrase-file")
	}
	if len(d.cas)+len(d.base.Pins) > 0 {
		return nil
	}
	d.own = func() *x509.CertPool { return trustedRoots(c) }
	if dir, err := authorityDir(c); err == nil {
		d.ownPath = rootFile(dir)
	}
	return nil
}

// paths are the files and folders to watch.
func (d *dialling) paths() []string {
	paths := slices.Clone(d.cas)
	for _, pair := range d.pairs {
		paths = append(paths, pair.Cert, pair.Key)
	}
	paths = append(paths, d.ownPath, d.passphraseFile)
	return slices.DeleteFunc(paths, func(path string) bool { return path == "" })
}

// load reads the files, checks all of them, and makes them count.
func (d *dialling) load() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dialer, files := d.base, d.files
	if len(d.pairs) > 0 {
		var err error
		if files, err = clientFiles(files, d.pairs); err != nil {
			return err
		}
		dialer.Source = files
	}
	switch {
	case len(d.cas) > 0:
		pool, warnings, err := certs.LoadPool(d.cas...)
		if err != nil {
			return fileFailure(err, makesRoot)
		}
		d.warn(warnings)
		dialer.RootCAs = pool
	case d.own != nil:
		dialer.RootCAs = d.own()
	}
	if files != nil {
		d.warn(files.Warnings())
	}
	d.files = files
	d.set(&dialer)
	return nil
}

// clientFiles reads certificates to present to servers; before are those of the
// last time, or nil.
func clientFiles(before *certs.Files, pairs []certs.Pair) (files *certs.Files, err error) {
	if before == nil {
		files, err = certs.LoadFiles(pairs...)
	} else {
		files, err = before.Reload()
	}
	if err != nil {
		return nil, fileFailure(err, makesPair)
	}
	for i, leaf := range files.Leaves() {
		if err := checkForClients(pairs[i].Cert, leaf); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (d *dialling) warn(warnings []string) {
	for _, w := range warnings {
		d.log.Warn(w)
	}
}

// reload reads everything anew, and keeps the old value when anything is wrong.
func (d *dialling) reload(why string) {
	if err := d.load(); err != nil {
		d.log.Error("reload refused, targets are dialled as before", "cause", why, "err", err)
		d.again.after(err)
		return
	}
	attrs := []any{"cause", why}
	for _, leaf := range d.leaves() {
		attrs = append(attrs, "certificate", certs.OneLine(leaf))
	}
	d.log.Info("reloaded for targets", attrs...)
}

func (d *dialling) leaves() []*x509.Certificate {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		return nil
	}
	return d.files.Leaves()
}

// watch reloads when a file changes, until ctx ends, and warns of certificates
// of ours that will end soon.
func (d *dialling) watch(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { d.again.run(ctx, func() { d.reload("trying again") }) })
	watching.Go(func() {
		every(ctx, time.Hour, func() {
			for i, leaf := range d.leaves() {
				d.lifetimes.check(fmt.Sprintf("certificate of --to-cert %q,", d.pairs[i].Cert), leaf)
			}
		})
	})
	if err := d.watcher.Run(ctx, func() { d.reload("a file has changed") }); err != nil {
		d.log.Warn("files are not watched, send SIGHUP after a change", "err", err)
	}
}
