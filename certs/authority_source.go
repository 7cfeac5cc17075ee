package certs

import (
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shortLife is how long certificates last that an Authority makes anew by itself: short, since another costs nothing.
const shortLife = 7 * day

// AuthoritySource is a Source that has an Authority issue its certificate, in memory only, and another one when two
// thirds of its life are gone: the handshake that finds it so makes it. There is no goroutine and nothing to close.
type AuthoritySource struct {
	authority *Authority
	request   Request
	current   atomic.Pointer[timed]
	renewal   sync.Mutex // held while a certificate is issued
}

// timed is a certificate and when to replace it: by the clock on the wall, as whoever verifies it does, for the other one
// stands still while a machine sleeps.
type timed struct {
	certificate *tls.Certificate
	renew       time.Time
}

// isDue is true before its time too: a clock was ahead that is not any more.
func (t *timed) isDue(now time.Time) bool {
	return !now.Before(t.renew) || now.Before(t.certificate.Leaf.NotBefore)
}

// Source issues a certificate for names and returns a source that keeps it fresh. life zero means 7 days.
func (a *Authority) Source(names []string, life time.Duration) (*AuthoritySource, error) {
	if life == 0 {
		life = shortLife
	}
	s := &AuthoritySource{authority: a, request: Request{Names: slices.Clone(names), For: life}}
	if err := s.issue(); err != nil {
		return nil, err
	}
	return s, nil
}

// Certificate returns the current certificate whatever name the client asks for. If issuing a new one fails, the
// current one serves as long as it is valid.
func (s *AuthoritySource) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	current := s.current.Load()
	now := time.Now()
	if !current.isDue(now) {
		return current.certificate, nil
	}
	valid := now.Before(current.certificate.Leaf.NotAfter) // one before its time may be good by the clocks of others
	if valid {
		if !s.renewal.TryLock() {
			return current.certificate, nil
		}
	} else {
		s.renewal.Lock()
	}
	defer s.renewal.Unlock()
	if latest := s.current.Load(); latest != current { // issued while we waited for the lock
		return latest.certificate, nil
	}
	if err := s.issue(); err != nil && !valid {
		return nil, err
	}
	return s.current.Load().certificate, nil
}

// issue replaces the current certificate. The caller holds renewal, or is alone.
func (s *AuthoritySource) issue() error {
	issued, err := s.authority.Issue(s.request)
	if err != nil {
		return err
	}
	end := issued.Certificate.Leaf.NotAfter
	s.current.Store(&timed{&issued.Certificate, end.Add(-time.Until(end) / 3)})
	return nil
}
