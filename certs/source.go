// Package certs is where a server and a client get their certificates from: files that are reloaded when they change
// (LoadFiles, Watcher), certificates in memory (Static), and certificates that look after themselves (Manager), whether
// an ACME authority issues them or one of our own that is constrained to local names (OpenOrCreateAuthority). It also
// reads certificate authorities (LoadPool), knows what was revoked (LoadRevocation), judges chains (Verify), names what
// is wrong with a file, and says in words what it holds (DescribeFile).
//
// Values may be used by many goroutines at once unless they say otherwise, and what is read from files never changes:
// to follow the files, read them anew. The package logs only to the Logger of a Manager, reads of the environment only
// the proxies that ACME goes through, and starts goroutines only inside Watcher.Run and between Start and Close of a
// Manager. These end before Run and Close return, but for the rate limiter of certmagic, which nothing ends.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// Source is what a server gets its certificate from at each handshake. The method has the signature of
// tls.Config.GetCertificate, and its contract: nil, nil means that there is no certificate for this name.
type Source interface {
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ClientSource is what a client gets its certificate from when a server asks for one. The method has the signature of
// tls.Config.GetClientCertificate: never nil without an error; an empty certificate means that the client has none to give.
type ClientSource interface {
	ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error)
}

// errNoCertificate is what a source without any certificate answers to a handshake.
var errNoCertificate = errors.New("no certificate to present: the source is empty")

// StaticSource is a Source and a ClientSource over certificates in memory.
type StaticSource struct{ selection *selection }

// Static makes a source of certs, the first of which is presented to clients that name no server or one that no
// certificate is for. With no certificates at all every server handshake fails.
func Static(certs ...tls.Certificate) *StaticSource {
	return &StaticSource{newSelection(certs)}
}

// Certificate picks by server name (exact, then a wildcard of one label), then by what the client can verify.
func (s *StaticSource) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.selection.server(hello)
}

// ClientCertificate picks the first certificate that the server says it accepts, else an empty one.
func (s *StaticSource) ClientCertificate(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return s.selection.client(request), nil
}

// selection finds a certificate by server name in constant time.
type selection struct {
	all      []*tls.Certificate            // in the order given
	exact    map[string][]*tls.Certificate // by lower-case name without a trailing dot
	wildcard map[string][]*tls.Certificate // by what follows "*."
	fallback []*tls.Certificate            // the first certificate, then those of other key types for its names
}

func newSelection(certs []tls.Certificate) *selection {
	s := &selection{exact: map[string][]*tls.Certificate{}, wildcard: map[string][]*tls.Certificate{}}
	for _, c := range certs {
		if c.Leaf == nil && len(c.Certificate) > 0 {
			// Static takes what it is given; a leaf that does not parse has no names and fails its handshake.
			c.Leaf, _ = x509.ParseCertificate(c.Certificate[0])
		}
		s.all = append(s.all, &c)
		for _, name := range ServerNames(c.Leaf) {
			if parent, ok := strings.CutPrefix(name, "*."); ok {
				s.wildcard[parent] = append(s.wildcard[parent], &c)
			} else {
				s.exact[name] = append(s.exact[name], &c)
			}
		}
	}
	if len(s.all) > 0 {
		s.fallback = s.sameNames(s.all[0])
	}
	return s
}

// foldName brings server names that mean the same into one spelling.
func foldName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// sameNames returns first and the other certificates that share a name with it, in the order given.
func (s *selection) sameNames(first *tls.Certificate) []*tls.Certificate {
	shared := map[*tls.Certificate]bool{first: true}
	for _, name := range ServerNames(first.Leaf) {
		for _, c := range s.exact[name] {
			shared[c] = true
		}
		for _, c := range s.wildcard[strings.TrimPrefix(name, "*.")] {
			shared[c] = shared[c] || strings.HasPrefix(name, "*.")
		}
	}
	var same []*tls.Certificate
	for _, c := range s.all {
		if shared[c] {
			same = append(same, c)
		}
	}
	return same
}

func (s *selection) server(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := foldName(hello.ServerName)
	exact := s.exact[name]
	var wildcard []*tls.Certificate
	if _, parent, ok := strings.Cut(name, "."); ok {
		wildcard = s.wildcard[parent]
	}
	switch {
	case len(exact)+len(wildcard) > 0:
		return firstSupported(hello, exact, wildcard), nil
	case len(s.fallback) > 0:
		return firstSupported(hello, s.fallback, nil), nil
	}
	return nil, errNoCertificate
}

// firstSupported returns the first certificate that the client can verify, else the very first: that handshake then
// fails with the alert that says why. At least one of the lists is not empty.
func firstSupported(hello *tls.ClientHelloInfo, preferred, others []*tls.Certificate) *tls.Certificate {
	var first *tls.Certificate
	if len(preferred) > 0 {
		first = preferred[0]
	} else {
		first = others[0]
	}
	if len(preferred)+len(others) == 1 {
		return first
	}
	// The name is settled; SupportsCertificate would refuse whatever is presented to a client with an unknown name.
	nameless := *hello
	nameless.ServerName = ""
	for _, list := range [...][]*tls.Certificate{preferred, others} {
		for _, c := range list {
			if nameless.SupportsCertificate(c) == nil {
				return c
			}
		}
	}
	return first
}

func (s *selection) client(request *tls.CertificateRequestInfo) *tls.Certificate {
	for _, c := range s.all {
		if request.SupportsCertificate(c) == nil {
			return c
		}
	}
	return &tls.Certificate{} // crypto/tls wants one that is not nil
}
