package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsserver"
)

// addressFlags are the rules by the client's address.
func addressFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(authCategory, "allow-from", "`PREFIX` or address whose clients may connect, and no others"),
		listFlag(authCategory, "deny-from", "`PREFIX` or address whose clients may not connect"),
		listFlag(authCategory, "allow-from-file", "`FILE` with one such prefix a line; it is read anew when it changes"),
		listFlag(authCategory, "deny-from-file", "`FILE` with one such prefix a line; it is read anew when it changes"),
	}
}

// An addressBook keeps a server's rules by address as flags and files say.
type addressBook struct {
	server      *tlsserver.Server
	log         *slog.Logger
	fixed       tlsserver.AddressRules // of the flags
	allow, deny []string               // files
	watcher     *certs.Watcher         // nil: there are no files
	again       again
}

// addressBookOf reads the flags, and the files for the first time.
func addressBookOf(c *cli.Context, server *tlsserver.Server, log *slog.Logger) (*addressBook, error) {
	b := &addressBook{server: server, log: log, allow: list(c, "allow-from-file"), deny: list(c, "deny-from-file")}
	for flag, prefixes := range map[string]*[]netip.Prefix{"allow-from": &b.fixed.Allow, "deny-from": &b.fixed.Deny} {
		for _, text := range list(c, flag) {
			prefix, err := tlsserver.ParsePrefix(text)
			if err != nil {
				return nil, misuse("write an address, or a prefix such as 10.0.0.0/8", "flag --%s: %q: %v", flag, text, err)
			}
			*prefixes = append(*prefixes, prefix)
		}
	}
	if paths := append(b.allow[:len(b.allow):len(b.allow)], b.deny...); len(paths) > 0 {
		b.watcher = certs.NewWatcher(paths...) // before the files are read, so that no change is missed
	}
	_, err := b.load()
	return b, err
}

// load reads the files, and makes all rules count; ended is how many open
// connections they refuse.
func (b *addressBook) load() (ended int, err error) {
	rules := tlsserver.AddressRules{Allow: b.fixed.Allow, Deny: b.fixed.Deny}
	for _, path := range b.allow {
		if rules.Allow, err = appendPrefixes(rules.Allow, path); err != nil {
			return 0, err
		}
	}
	for _, path := range b.deny {
		if rules.Deny, err = appendPrefixes(rules.Deny, path); err != nil {
			return 0, err
		}
	}
	if len(b.allow) > 0 && len(rules.Allow) == 0 {
		return 0, failure(fmt.Errorf("read prefixes %s: there are none, and nobody could connect", b.allow[0]), "to let everybody in leave --allow-from-file out")
	}
	return b.server.SetAddressRules(&rules), nil
}

// appendPrefixes adds what a file has: a prefix a line, # begins a comment.
func appendPrefixes(prefixes []netip.Prefix, path string) ([]netip.Prefix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, failure(fmt.Errorf("read prefixes: %w", err))
	}
	defer f.Close()
	prefixes = prefixes[:len(prefixes):len(prefixes)]
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		prefix, err := tlsserver.ParsePrefix(text)
		if err != nil {
			return nil, failure(fmt.Errorf("read prefixes %s:%d: %q: %w", path, n, text, err), "write one address or prefix a line; # begins a comment")
		}
		prefixes = append(prefixes, prefix)
	}
	if err := lines.Err(); err != nil {
		return nil, failure(fmt.Errorf("read prefixes %s: %w", path, err))
	}
	return prefixes, nil
}

// reload reads the files anew, and keeps the old rules when anything is wrong.
func (b *addressBook) reload(why string) {
	if b.watcher == nil {
		return
	}
	ended, err := b.load()
	if err != nil {
		b.log.Error("reload refused, the rules for addresses stay as they are", "cause", why, "err", err)
		b.again.after(err)
		return
	}
	b.log.Info("rules for addresses reloaded", "cause", why, "ended", ended)
}

// watch reloads when a file changes, until ctx ends.
func (b *addressBook) watch(ctx context.Context) {
	if b.watcher == nil {
		return
	}
	var retrying sync.WaitGroup
	defer retrying.Wait()
	retrying.Go(func() { b.again.run(ctx, func() { b.reload("trying again") }) })
	if err := b.watcher.Run(ctx, func() { b.reload("a file has changed") }); err != nil {
		b.log.Warn("files are not watched, send SIGHUP after a change", "err", err)
	}
}
