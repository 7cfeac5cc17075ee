package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsserver"
)

const authCategory = "Certificates and clients"

func trustFlags() []cli.Flag {
	flags := []cli.Flag{
		listFlag(authCategory, "cert", "PEM `FILE` with a certificate, its chain, and possibly its key"),
		listFlag(authCategory, "key", "PEM `FILE` with the key of the certificate in the same place"),
		listFlag(authCategory, "client-ca", "`FILE` or folder with authorities that vouch for clients: a client certificate is required then"),
		stringFlag(authCategory, "client-auth", "", "`MODE` of client authentication: require, optional or none"),
	}
	for _, action := range []string{"allow", "deny"} {
		for _, kind := range tlsserver.RuleKinds {
			flags = append(flags, listFlag(authCategory, action+"-"+string(kind), fmt.Sprintf("%s clients whose certificate has this %s", action, ruleUsage[kind])))
		}
	}
	return flags
}

var ruleUsage = map[tlsserver.RuleKind]string{
	tlsserver.RuleCN:    "common `NAME`",
	tlsserver.RuleOU:    "organizational `UNIT`",
	tlsserver.RuleDNS:   "DNS `NAME`",
	tlsserver.RuleEmail: "e-mail `ADDRESS`",
	tlsserver.RuleIP:    "IP `ADDRESS` or prefix",
	tlsserver.RuleURI:   "`URI`",
	tlsserver.RulePin:   "`PIN` (SHA-256 of its public key, base64 or hex)",
}

// A trustConfig is what the flags say of certificates and clients.
type trustConfig struct {
	pairs      []certs.Pair
	clientCAs  []string
	clientAuth tlsserver.ClientAuth
	policy     *tlsserver.Policy
}

func trustConfigOf(c *cli.Context) (*trustConfig, error) {
	pairs, err := pairsOf(c)
	if err != nil {
		return nil, err
	}
	t := &trustConfig{pairs: pairs, clientCAs: list(c, "client-ca")}
	if mode := c.String("client-auth"); mode != "" {
		if t.clientAuth, err = tlsserver.ParseClientAuth(mode); err != nil {
			return nil, misuse("", "flag --client-auth: %v", err)
		}
	}
	if err := t.readPolicy(c); err != nil {
		return nil, err
	}
	return t, t.check()
}

// pairsOf pairs --cert and --key in order.
func pairsOf(c *cli.Context) ([]certs.Pair, error) {
	chains, keys := list(c, "cert"), list(c, "key")
	if len(keys) > len(chains) {
		return nil, misuse("give each --key the --cert that it belongs to", "--key %q has no --cert", keys[len(chains)])
	}
	var pairs []certs.Pair
	for i, chain := range chains {
		pair := certs.Pair{Cert: chain}
		if i < len(keys) {
			pair.Key = keys[i]
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

func (t *trustConfig) readPolicy(c *cli.Context) error {
	var policy tlsserver.Policy
	for action, rules := range map[string]*[]tlsserver.Rule{"allow": &policy.Allow, "deny": &policy.Deny} {
		for _, kind := range tlsserver.RuleKinds {
			flag := action + "-" + string(kind)
			for _, value := range list(c, flag) {
				rule, err := tlsserver.ParseRule(kind, value)
				if err != nil {
					return misuse("", "flag --%s: %v", flag, err)
				}
				*rules = append(*rules, rule)
			}
		}
	}
	if len(policy.Allow)+len(policy.Deny) > 0 {
		t.policy = &policy
	}
	return nil
}

// check refuses what cannot be meant, in the words of the flags.
func (t *trustConfig) check() error {
	if len(t.clientCAs) > 0 {
		if t.clientAuth == tlsserver.ClientAuthNone {
			return misuse("leave one of them out", "--client-auth none together with --client-ca: nobody would be asked for a certificate")
		}
		return nil
	}
	pinned := false
	if t.policy != nil {
		for _, rule := range t.policy.Allow {
			pinned = pinned || rule.Kind() == tlsserver.RulePin
		}
		for action, rules := range map[string][]tlsserver.Rule{"allow": t.policy.Allow, "deny": t.policy.Deny} {
			for _, rule := range rules {
				if rule.Kind() != tlsserver.RulePin || !pinned {
					return misuse("name the authority that vouches for clients: --client-ca FILE", "--%s-%s without --client-ca: anybody can write any name into a certificate", action, rule.Kind())
				}
			}
		}
	}
	switch {
	case t.clientAuth == tlsserver.ClientAuthNone && pinned:
		return misuse("leave one of them out", "--client-auth none together with --allow-pin: nobody would be asked for a certificate")
	case t.clientAuth != tlsserver.ClientAuthDefault && t.clientAuth != tlsserver.ClientAuthNone && !pinned:
		return misuse("name the authority that vouches for clients: --client-ca FILE", "--client-auth without --client-ca: there is nothing to judge a certificate by")
	}
	return nil
}

// asksClients reports whether any flag is about clients' certificates.
func (t *trustConfig) asksClients() bool {
	return len(t.clientCAs) > 0 || t.policy != nil || t.clientAuth != tlsserver.ClientAuthDefault
}

// A reloader keeps the trust value of a server as its files say.
type reloader struct {
	config *trustConfig
	server *tlsserver.Server
	log    *slog.Logger

	mu     sync.Mutex
	files  *certs.Files // nil: source is something else; guarded by mu
	source certs.Source // guarded by mu
}

// load reads the files for the first time; a source that is given takes the
// place of certificate files.
func (r *reloader) load(source certs.Source) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if source == nil {
		files, err := certs.LoadFiles(r.config.pairs...)
		if err != nil {
			return fileFailure(err)
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
			r.log.Error("reload refused, the old certificates go on serving", "cause", why, "err", err)
			return
		}
		source = files
	}
	if err := r.set(source); err != nil {
		r.log.Error("reload refused, the old certificates go on serving", "cause", why, "err", err)
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
}

func (r *reloader) set(source certs.Source) error {
	trust := &tlsserver.Trust{Source: source, ClientAuth: r.config.clientAuth, Policy: r.config.policy}
	if len(r.config.clientCAs) > 0 {
		pool, warnings, err := certs.LoadPool(r.config.clientCAs...)
		if err != nil {
			return fileFailure(err)
		}
		r.warn(warnings)
		trust.ClientCAs = pool
	}
	return r.server.SetTrust(trust)
}

func (r *reloader) warn(warnings []string) {
	for _, w := range warnings {
		r.log.Warn(w)
	}
}

// paths are the files and folders to watch.
func (r *reloader) paths() []string {
	paths := append([]string(nil), r.config.clientCAs...)
	for _, pair := range r.config.pairs {
		paths = append(paths, pair.Cert)
		if pair.Key != "" {
			paths = append(paths, pair.Key)
		}
	}
	return paths
}

// watch reloads when a file changes, or when somebody asks for it, until ctx
// ends.
func (r *reloader) watch(ctx context.Context, watcher *certs.Watcher, hangups <-chan os.Signal) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		if len(r.paths()) == 0 {
			return
		}
		if err := watcher.Run(ctx, func() { r.reload("a file has changed") }); err != nil {
			r.log.Warn("files are not watched, send SIGHUP after a change", "err", err)
		}
	})
	for {
		select {
		case <-hangups:
			r.reload("SIGHUP")
		case <-ctx.Done():
			return
		}
	}
}

// fileFailure adds what to do about a file that is not there.
func fileFailure(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failure(err, "check the path; \"tcps certs issue localhost\" makes a certificate")
	case errors.Is(err, fs.ErrPermission):
		return failure(err, "run as a user who may read it, or change its owner")
	case strings.Contains(err.Error(), "no private key"):
		return failure(err, "name the file that has it: --key FILE")
	}
	return failure(err)
}
