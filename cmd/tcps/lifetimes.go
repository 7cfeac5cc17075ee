package main

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tcps/certs"
	"tcps/tlsserver"
)

// A certificate is warned of once in repeatWarning, as long as maxWarned others
// have not been since.
const (
	repeatWarning = 24 * time.Hour
	maxWarned     = 1000
)

// lifetimes warns of certificates in use that have less than a tenth of their
// lifetime left.
type lifetimes struct {
	log *slog.Logger

	mu     sync.Mutex
	warned map[[sha256.Size]byte]time.Time // by digest of the certificate; guarded by mu
}

func newLifetimes(log *slog.Logger) *lifetimes {
	return &lifetimes{log: log, warned: make(map[[sha256.Size]byte]time.Time)}
}

// check looks at a chain, whose first certificate is called what.
func (l *lifetimes) check(what string, chain ...*x509.Certificate) {
	for _, c := range chain {
		text := certs.LifetimeWarning(fmt.Sprintf("%s %q", what, c.Subject), c)
		if text != "" && l.isNews(c) {
			l.log.Warn(text, "serial", c.SerialNumber.Text(16))
		}
		what = "authority"
	}
}

// isNews remembers c, and reports whether it had not been remembered.
func (l *lifetimes) isNews(c *x509.Certificate) bool {
	digest, now := sha256.Sum256(c.Raw), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.warned[digest]; ok && now.Sub(last) < repeatWarning {
		return false
	}
	if len(l.warned) >= maxWarned {
		for one := range l.warned {
			delete(l.warned, one)
			break
		}
	}
	l.warned[digest] = now
	return true
}

// checkClient looks at the certificate of a client and at those who vouch for it.
func (l *lifetimes) checkClient(c *tlsserver.Conn) {
	cs := c.TLS()
	switch {
	case cs == nil || len(cs.PeerCertificates) == 0:
	case len(cs.VerifiedChains) > 0:
		l.check("client certificate", cs.VerifiedChains[0]...)
	default: // a pin lets it in
		l.check("client certificate", cs.PeerCertificates[0])
	}
}
