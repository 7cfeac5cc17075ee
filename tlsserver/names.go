package tlsserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"tcps/certs"
)

// A NameTrust is whom a Trust lets in where a client asks for one of some
// server names (SNI). Each field has the meaning, the zero value and the checks
// of the field of Trust that has its name, and takes that one's place: nothing
// is inherited.
type NameTrust struct {
	// Names are DNS names: www.example.org, or *.example.org for any one label.
	// An exact name goes before a wildcard. No two NameTrusts of a Trust may
	// have the same one.
	Names []string

	ClientCAs  *x509.CertPool
	ClientAuth ClientAuth
	Revocation *certs.Revocation
	Policy     *Policy
}

// with is t for the clients of n.
func (t *Trust) with(n *NameTrust) *Trust {
	named := *t
	named.ClientCAs, named.ClientAuth, named.Revocation, named.Policy = n.ClientCAs, n.ClientAuth, n.Revocation, n.Policy
	return &named
}

// checkNames checks what t says of each name.
func (t *Trust) checkNames() error {
	seen := make(map[string]bool)
	for i := range t.Names {
		n := &t.Names[i]
		if len(n.Names) == 0 {
			return errors.New("the trust value has rules for names, but no name")
		}
		for _, text := range n.Names {
			name, err := ServerName(text)
			if err != nil {
				return fmt.Errorf("name %q: %w", text, err)
			}
			if seen[name] {
				return fmt.Errorf("name %q: it is there twice", text)
			}
			seen[name] = true
		}
		if err := t.with(n).checkClients(); err != nil {
			return fmt.Errorf("name %q: %w", n.Names[0], err)
		}
	}
	return nil
}

// trust is a Trust in use: what holds for clients that ask for one of its
// names, and for all others.
type trust struct {
	whole  *Trust
	others *ruling
	named  map[string]*ruling // by a name in lower case, a wildcard's without its *; nil: no names
}

// A ruling is a Trust, as it is for some names, with its side of crypto/tls.
type ruling struct {
	*Trust
	config *tls.Config
	names  []string // of the NameTrust; nil: it is for all others
}

// inUse makes t ready for handshakes.
func (s *Server) inUse(t *Trust) (*trust, error) {
	config, err := s.tlsConfig(t)
	if err != nil {
		return nil, err
	}
	used := &trust{whole: t, others: &ruling{Trust: t, config: config}}
	if len(t.Names) > 0 {
		used.named = make(map[string]*ruling)
	}
	for i := range t.Names {
		named := t.with(&t.Names[i])
		if config, err = s.tlsConfig(named); err != nil {
			return nil, err
		}
		r := &ruling{named, config, t.Names[i].Names}
		for _, text := range r.names {
			name, _ := ServerName(text) // checked
			used.named[strings.TrimPrefix(name, "*")] = r
		}
	}
	return used, nil
}

// rulingFor is what holds for a client that asks for name. A certificate is
// looked up in the same way.
func (t *trust) rulingFor(name string) *ruling {
	if t.named == nil {
		return t.others
	}
	name = strings.ToLower(name)
	if r := t.named[name]; r != nil {
		return r
	}
	if dot := strings.IndexByte(name, '.'); dot >= 0 {
		if r := t.named[name[dot:]]; r != nil {
			return r
		}
	}
	return t.others
}

// judges reports whether anything is judged in open connections.
func (t *trust) judges() bool {
	if t.others.judges() {
		return true
	}
	for _, r := range t.named {
		if r.judges() {
			return true
		}
	}
	return false
}

// configs are the sides of crypto/tls of all rulings; some may come twice.
func (t *trust) configs() []*tls.Config {
	configs := []*tls.Config{t.others.config}
	for _, r := range t.named {
		configs = append(configs, r.config)
	}
	return configs
}

// ServerName checks a name that clients can ask for, and brings it into one
// spelling: lower case, without a final dot. The first label may be a *.
// Addresses are no names (RFC 6066, 3).
func ServerName(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	host := strings.TrimPrefix(name, "*.")
	switch {
	case name == "":
		return "", errors.New("no name")
	case strings.Contains(host, "*"):
		return "", errors.New("a * stands for the whole first label: *.example.org")
	case len(name) > 253:
		return "", errors.New("more than 253 characters")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", fmt.Errorf("%q is no label of a DNS name", label)
		}
	}
	if last := labels[len(labels)-1]; strings.TrimLeft(last, "0123456789") == "" {
		return "", errors.New("an address is no server name: clients do not ask for one")
	}
	return name, nil
}

// isLabel reports whether a label may stand in a certificate and in a hello:
// letters, digits, hyphens and, outside of the rules, underscores.
func isLabel(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= 63 && strings.TrimLeft(s, allowed) == "" && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-")
}
