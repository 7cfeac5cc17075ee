package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
)

// Flags have no order in which they could say what holds for which server name,
// so that only a file can: in a list of names, each with flags of its own.

// A nameRules is what a file says of clients that ask for one of some names.
type nameRules struct {
	names []string
	flags *cli.Context // with nameFlags
}

// nameFlags are what may differ by server name.
func nameFlags() []cli.Flag {
	return slices.DeleteFunc(trustFlags(), func(f cli.Flag) bool {
		return slices.Contains([]string{"cert", "key", "on-revoke"}, f.Names()[0])
	})
}

// newNameRules reads the flags that hold for names. The state folder is that of
// the service c; nothing else is.
func newNameRules(c *cli.Context, names, line []string) (nameRules, error) {
	command := &cli.Command{Name: "names", Flags: append(nameFlags(), stateFlag())}
	if state := c.String("state"); state != "" {
		line = append([]string{"--state=" + state}, line...)
	}
	flags, err := contextOf(c.Context, command, line)
	if err != nil && len(names) > 0 {
		err = ofName(names[0], err)
	}
	return nameRules{names, flags}, err
}

// A nameTrust is a clientTrust for some server names.
type nameTrust struct {
	names []string
	clientTrust
}

func nameTrustsOf(named []nameRules) ([]nameTrust, error) {
	var all []nameTrust
	seen := make(map[string]bool)
	for _, rules := range named {
		for _, text := range rules.names {
			name, err := tlsserver.ServerName(text)
			if err != nil {
				return nil, misuse("for instance: name: admin.example.org, or '*.example.org' for any one label", "names: %q: %v", text, err)
			}
			if seen[name] {
				return nil, misuse("write all that holds for it in one place", "names: %q is there twice", text)
			}
			seen[name] = true
		}
		t, err := clientTrustOf(rules.flags)
		if err != nil {
			return nil, ofName(rules.names[0], err)
		}
		all = append(all, nameTrust{rules.names, t})
	}
	return all, nil
}

// ofName says which name an error is about.
func ofName(name string, err error) error {
	named := fmt.Errorf("names: %q: %w", name, err)
	if inner, ok := errors.AsType[*problem](err); ok {
		return &problem{err: named, hints: inner.hints, code: inner.code}
	}
	return named
}

// parts are all that is said of clients: of those that ask for none of the names,
// and of each of the names.
func (t *trustConfig) parts() []*clientTrust {
	parts := []*clientTrust{&t.clientTrust}
	for i := range t.names {
		parts = append(parts, &t.names[i].clientTrust)
	}
	return parts
}
