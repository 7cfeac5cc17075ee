package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// listFlags say which revocation lists count; whose is "clients" or "the server".
func listFlags(category, whose string) []cli.Flag {
	return []cli.Flag{
		listFlag(category, "crl", "`FILE` with a revocation list, PEM or DER, of an authority of "+whose+"; each but the root needs one then"),
		listFlag(category, "crl-from", "`URL` from which such a list is fetched, again and again; the last good one is kept in the state folder"),
		stringFlag(category, "crl-missing", "refuse", "`MODE` where an issuer has no list: refuse or accept"),
		stringFlag(category, "crl-stale", "refuse", "`MODE` where a list has expired: refuse, or accept (with a warning every hour)"),
	}
}

func onRevokeFlag() cli.Flag {
	return stringFlag(authCategory, "on-revoke", "close", "`MODE` for open connections that new lists or rules refuse: close or keep")
}

// A revocationConfig is what the flags say of revocation.
type revocationConfig struct {
	files         []string
	fetcher       *certs.CRLFetcher // nil: no list is fetched
	authorities   []string          // files and folders of those who may have signed lists
	acceptMissing bool
	acceptStale   bool
	keepOpen      bool // connections that are refused

	// revoked has what the local authority has revoked, and revokedPaths are the
	// files that it is read from. Nil: nothing; so it is where no authority
	// vouches for clients. Not to be called concurrently.
	revoked      func() ([]certs.RevokedCertificate, error)
	revokedPaths []string
}

// revocationConfigOf reads the flags that serve and connect share.
func revocationConfigOf(c *cli.Context, authorities []string) (*revocationConfig, error) {
	r := &revocationConfig{files: list(c, "crl"), authorities: authorities}
	urls := list(c, "crl-from")
	for flag, accept := range map[string]*bool{"crl-missing": &r.acceptMissing, "crl-stale": &r.acceptStale} {
		var err error
		if *accept, err = oneOf(c, flag, "refuse", "accept"); err != nil {
			return nil, err
		}
		if *accept && len(r.files)+len(urls) == 0 {
			return nil, misuse("name a list: --crl FILE or --crl-from URL", "--%s without --crl and --crl-from: there is no list that it could be about", flag)
		}
	}
	if len(urls) == 0 {
		return r, nil
	}
	dir, err := stateDir(c)
	if err != nil {
		return nil, err
	}
	r.fetcher, err = certs.NewCRLFetcher(certs.CRLFetcherOptions{
		URLs: urls, Dir: filepath.Join(dir, "crl"), Authorities: authorities,
		Client: &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		},
	})
	if err != nil {
		return nil, misuse("a list is fetched from http://HOST/PATH or https://HOST/PATH; a file is named with --crl", "flag --crl-from: %v", err)
	}
	return r, nil
}

// oneOf reports which of two words a flag has: the second?
func oneOf(c *cli.Context, flag, first, second string) (bool, error) {
	switch value := c.String(flag); value {
	case first:
		return false, nil
	case second:
		return true, nil
	default:
		return false, misuse("", "flag --%s: %q is neither %s nor %s", flag, value, first, second)
	}
}

// clientRevocation is revocationConfigOf for the clients of a server.
func clientRevocation(c *cli.Context, clientCAs []string) (*revocationConfig, error) {
	r, err := revocationConfigOf(c, clientCAs)
	if err != nil {
		return nil, err
	}
	if len(clientCAs) > 0 {
		r.heedLedger(c)
		return r, nil
	}
	for flag, given := range map[string]bool{"crl": len(r.files) > 0, "crl-from": r.fetcher != nil} {
		if given {
			return nil, noAuthority(flag)
		}
	}
	return r, nil
}

func noAuthority(flag string) error {
	return misuse("name the authority that vouches for clients: --client-ca FILE", "--%s without --client-ca: no client shows a certificate that could be revoked", flag)
}

// heedLedger makes count what the local authority has revoked.
func (r *revocationConfig) heedLedger(c *cli.Context) {
	dir, err := authorityDir(c)
	if err != nil {
		return // there is no local authority
	}
	path, seen := certs.RevokedPath(dir), false
	r.revoked = func() ([]certs.RevokedCertificate, error) {
		revoked, err := certs.ReadRevoked(dir)
		if _, missing := os.Stat(path); missing == nil {
			seen = true
		} else if seen && err == nil { // a volume that is not mounted, perhaps: not to be taken for nothing
			err = fmt.Errorf("read what is revoked: %q was there, and is gone: put it back", path)
		}
		return revoked, err
	}
	r.revokedPaths = []string{path}
}

// load reads the lists; nil without an error: nothing is asked for.
func (r *revocationConfig) load() (*certs.Revocation, error) {
	if len(r.files) == 0 && r.fetcher == nil && r.revoked == nil {
		return nil, nil
	}
	o := certs.RevocationOptions{
		Files: r.files, Fetched: r.fetcher, Authorities: r.authorities,
		AcceptMissing: r.acceptMissing, AcceptStale: r.acceptStale,
	}
	if r.revoked != nil {
		var err error
		if o.Revoked, err = r.revoked(); err != nil {
			return nil, err
		}
	}
	revocation, err := certs.LoadRevocation(o)
	if err != nil {
		return nil, fileFailure(err)
	}
	return revocation, nil
}

// paths are the files to watch.
func (r *revocationConfig) paths() []string {
	return append(append([]string(nil), r.files...), r.revokedPaths...)
}

// reloadLists replaces the revocation lists alone: what was revoked must not
// wait until everything else is good.
func (r *reloader) reloadLists(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reloadListsLocked(why)
}

func (r *reloader) reloadListsLocked(why string) {
	trust := *r.trust
	if err := r.apply(&trust); err != nil {
		r.log.Error("reload refused, the old revocation lists go on counting", "cause", why, "err", err)
		r.again.after(err)
		r.heedRevoked()
		return
	}
	if slices.ContainsFunc(revocationsOf(&trust), func(lists **certs.Revocation) bool { return *lists != nil }) {
		r.log.Info("revocation lists reloaded", "cause", why)
	}
}

// heedRevoked adds what the local authority has revoked, as far as it can be
// read, to what goes on counting.
func (r *reloader) heedRevoked() {
	trust, heeded := *r.trust, false
	trust.Names = slices.Clone(trust.Names)
	lists := revocationsOf(&trust)
	for i, part := range r.config.parts() {
		if part.revocation.revoked != nil {
			revoked, _ := part.revocation.revoked() // the refused reload has told of the error
			*lists[i], heeded = (*lists[i]).Revoking(revoked), true
		}
	}
	if !heeded {
		return
	}
	if err := r.server.SetTrust(&trust); err != nil {
		r.log.Error("what the local authority has revoked does not count", "err", err)
		return
	}
	r.trust = &trust
}

// watchLists fetches lists, and warns of those that have expired, until ctx ends.
func (r *reloader) watchLists(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, part := range r.config.parts() {
		if fetcher := part.revocation.fetcher; fetcher != nil {
			watching.Go(func() { fetcher.Run(ctx, r.fetched) })
		}
	}
	warnHourly(ctx, func() []string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return revocationWarnings(r.trust)
	}, r.warn)
}

// revocationsOf are the lists of a trust value: its own, and those of its names in
// their order.
func revocationsOf(t *tlsserver.Trust) []**certs.Revocation {
	lists := []**certs.Revocation{&t.Revocation}
	for i := range t.Names {
		lists = append(lists, &t.Names[i].Revocation)
	}
	return lists
}

// revocationWarnings are what is to be said of all lists, each once.
func revocationWarnings(t *tlsserver.Trust) (warnings []string) {
	for _, lists := range revocationsOf(t) {
		if *lists == nil {
			continue
		}
		for _, w := range (*lists).Warnings() {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
			}
		}
	}
	return warnings
}

// fetched tells of an attempt to fetch a list, and makes a new one count.
func (r *reloader) fetched(f certs.CRLFetch) {
	if f.Err != nil {
		r.log.Warn("no new revocation list, what is known goes on counting", "err", f.Err, "next", f.Next.Round(time.Second))
	}
	if f.Changed {
		r.reloadLists("a list came from " + f.URL)
	}
}

// warnHourly warns when there is more to warn of than before, and every hour.
func warnHourly(ctx context.Context, warnings func() []string, warn func([]string)) {
	said, at := len(warnings()), time.Now() // loading has said it
	every(ctx, time.Minute, func() {
		now := warnings()
		if len(now) > said || time.Since(at) >= time.Hour {
			warn(now)
			at = time.Now()
		}
		said = len(now)
	})
}

// checkInsecure refuses what cannot be asked together with --insecure.
func checkInsecure(c *cli.Context) error {
	for flag, given := range map[string]bool{
		"crl": len(list(c, "crl")) > 0, "crl-from": len(list(c, "crl-from")) > 0, "require-ocsp-staple": c.Bool("require-ocsp-staple"),
	} {
		if given {
			return misuse("leave one of them out", "--%s together with --insecure: whose authority is not verified cannot be known to be revoked", flag)
		}
	}
	return nil
}

// serverAuthorities are the files of those who may have signed lists about
// servers: --ca, else the local authority.
func serverAuthorities(c *cli.Context) []string {
	authorities := list(c, "ca")
	if root, err := authorityDir(c); err == nil && len(authorities) == 0 {
		if _, err := certs.OwnRoot(root); err == nil {
			authorities = []string{rootFile(root)}
		}
	}
	return authorities
}

// dialRevocation sets what the dialer knows of revoked certificates.
func (p *program) dialRevocation(c *cli.Context, d *tlsclient.Dialer) error {
	r, err := revocationConfigOf(c, serverAuthorities(c))
	if err != nil {
		return err
	}
	d.RequireOCSPStaple = c.Bool("require-ocsp-staple")
	p.fetchInTime(c, r.fetcher)
	if d.Revocation, err = r.load(); err == nil && r.acceptStale { // else the refusal says it
		p.warn(d.Revocation.Warnings()...)
	}
	return err
}

// fetchInTime is fetchLists within the time that connecting may take.
func (p *program) fetchInTime(c *cli.Context, fetcher *certs.CRLFetcher) {
	ctx := c.Context
	if timeout := durationOf(c, "timeout"); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	p.fetchLists(ctx, fetcher)
}

// fetchLists fetches every list once, and warns of those that do not come.
func (p *program) fetchLists(ctx context.Context, fetcher *certs.CRLFetcher) {
	if fetcher == nil {
		return
	}
	for _, f := range fetcher.Fetch(ctx) {
		if f.Err != nil {
			p.warn(f.Err.Error())
		}
	}
}

// revocationHints say what to do about a certificate that is refused.
func revocationHints(c *cli.Context, err error) []string {
	refusal, ok := errors.AsType[*certs.RevocationError](err)
	switch {
	case !ok:
		return nil
	case refusal.Revoked != nil:
		return []string{"do not trust this server until it has another certificate"}
	case c.Bool("require-ocsp-staple") && len(list(c, "crl"))+len(list(c, "crl-from")) == 0:
		return []string{"the server must staple an OCSP response; without --require-ocsp-staple nothing is asked of it"}
	}
	return []string{"give a current list of each issuer: --crl FILE or --crl-from URL; --crl-missing accept and --crl-stale accept go without"}
}
