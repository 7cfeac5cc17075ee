package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// A Manager is a Source whose certificates look after themselves: it obtains one for each name, keeps them in a
// storage, renews them in the background before their time, and staples what their OCSP responder says. Set the fields
// before Start, and do not change them afterwards; do not copy it. Its methods may be called concurrently, and before
// Start: there is no certificate then.
type Manager struct {
	// Names are DNS names and IP addresses, each of which gets a certificate of its own. The first is presented to
	// clients that ask for no name, or for one that there is no certificate for.
	Names []string

	// Storage keeps keys, certificates and the account. Managers that share one, in any number of processes, obtain
	// a certificate once. OpenFileStorage makes one of files.
	Storage certmagic.Storage

	// Issuer signs: the local Authority's, or an *ACME.
	Issuer Issuer

	// KeyType is that of new keys; zero: ECDSAP256.
	KeyType KeyType

	// OnDemand are patterns of further names that get a certificate once a client asks for one. A * stands for any
	// characters of one label: *.example.org. The client that is first is refused; new names are limited to 10 at
	// once, and then one a minute, and to 10,000 in all.
	OnDemand []string

	// Logger is told what happens. Nil: nobody is.
	Logger *slog.Logger

	// Changed, if set, is called after a certificate was obtained, renewed, or replaced by another process, with the
	// name that it is for. It is never called twice at once, and must not call Close.
	Changed func(name string, leaf *x509.Certificate)

	begun atomic.Bool // Start was called
	ready atomic.Bool // what follows is set

	cache   *certmagic.Cache
	magic   *certmagic.Config
	gate    *gate
	demand  *demand
	cancel  context.CancelFunc
	check   time.Duration
	fixed   int           // how many names are not on demand
	patient bool          // the issuer takes its time, and may not be there
	poke    chan struct{} // something may have changed
	work    sync.WaitGroup
	closing sync.Once

	mu     sync.Mutex
	names  []string                     // managed, Names first; guarded by mu, as all below
	leaves map[string]*x509.Certificate // that Changed was told of, by name
	busy   map[string]bool              // an attempt is under way
	fresh  map[string]bool              // the storage has another one than memory
}

// An Issuer signs for a Manager: what Authority.Issuer returns, or an *ACME.
type Issuer interface {
	// issuer makes certmagic's form of it for a configuration and the names of a Manager.
	issuer(config *certmagic.Config, names []string) (certmagic.Issuer, error)

	// prepare is called once, before anything is obtained: it checks the names, completes the configuration, and says
	// how often to look whether a certificate is due, at most checkTime.
	prepare(config *certmagic.Config, names []string) (check time.Duration, err error)
}

// checkTime is how often certificates are looked at: whether one is due, whether another process renewed one. It is
// short for the sake of certificates that live for half a minute, and costs some microseconds a certificate.
const checkTime = 5 * time.Second

// renewalShare is the share of its lifetime that a certificate has left when it is renewed; an ACME authority may ask
// for an earlier time (RFC 9773).
const renewalShare = 1.0 / 3

// Start loads what the storage has, and begins to obtain what it does not have. The Manager of a local authority has
// all its certificates when Start returns, or fails. That of ACME may have none yet, and goes on in the background.
// Close ends what Start begins; the end of ctx does not. A Manager starts once, also where that fails.
func (m *Manager) Start(ctx context.Context) error {
	if !m.begun.CompareAndSwap(false, true) {
		return errors.New("manage certificates: this Manager was started before: make another one")
	}
	if err := m.start(ctx); err != nil {
		m.Close()
		return fmt.Errorf("manage certificates: %w", err)
	}
	return nil
}

func (m *Manager) start(ctx context.Context) error {
	if err := m.validate(); err != nil {
		return err
	}
	config := certmagic.Config{
		Storage:            m.Storage,
		RenewalWindowRatio: renewalShare,
		KeySource:          keySource{m.KeyType},
		OnEvent:            m.event,
		Logger:             zapLogger(m.Logger),
	}
	var err error
	if m.check, err = m.Issuer.prepare(&config, m.names); err != nil {
		return err
	}
	_, m.patient = m.Issuer.(*ACME)
	m.gate = newGate(m.logger(), !m.patient)
	m.poke = make(chan struct{}, 1)
	m.leaves, m.busy, m.fresh = make(map[string]*x509.Certificate), make(map[string]bool), make(map[string]bool)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		RenewCheckInterval: m.check,
		Logger:             config.Logger,
	})
	m.magic = certmagic.New(m.cache, config)
	issuer, err := m.Issuer.issuer(m.magic, m.names)
	if err != nil {
		return err
	}
	if m.patient {
		m.gate.starts = newStarts(m.Storage, issuer.IssuerKey(), m.names)
	}
	m.magic.Issuers = []certmagic.Issuer{m.gate.wrap(issuer)}
	if m.demand != nil {
		m.names = append(m.names, m.demand.stored(ctx, m)...)
	}
	m.ready.Store(true)
	return m.begin(ctx)
}

func (m *Manager) validate() error {
	switch {
	case m.Issuer == nil:
		return errors.New("no issuer: Authority.Issuer makes one, an *ACME is one")
	case m.Storage == nil:
		return errors.New("no storage to keep certificates in: OpenFileStorage makes one")
	case len(m.Names) == 0 && len(m.OnDemand) == 0:
		return errors.New("no name to obtain a certificate for")
	}
	for _, s := range m.Names {
		n, err := parseServerName(s)
		if err != nil {
			return err
		}
		if !slices.Contains(m.names, n.text) {
			m.names = append(m.names, n.text)
		}
	}
	var err error
	m.fixed = len(m.names)
	m.demand, err = newDemand(m.OnDemand)
	return err
}

func (m *Manager) logger() *slog.Logger { return cmp.Or(m.Logger, slog.New(slog.DiscardHandler)) }

// Close ends all that runs in the background, and waits for it. Certificates that are in memory can still be presented.
// It may be called twice, and of a Manager that has not started.
func (m *Manager) Close() error {
	m.closing.Do(func() {
		if m.cancel != nil {
			m.cancel()
		}
		m.work.Wait()
		if m.cache != nil {
			m.cache.Stop()
		}
	})
	return nil
}

// NotObtainedError is what a Manager answers to a handshake for a name that it has no certificate for yet.
type NotObtainedError struct {
	Name string
	Err  error     // of the last attempt; nil: the first one is under way
	Next time.Time // of the next attempt; zero: one is under way
}

func (e *NotObtainedError) Error() string {
	text := fmt.Sprintf("no certificate for %q yet: one is being obtained", e.Name)
	if e.Err != nil {
		text += fmt.Sprintf("; the last attempt failed: %v", e.Err)
	}
	if !e.Next.IsZero() {
		text += "; the next one is at " + e.Next.UTC().Format(time.RFC3339)
	}
	return text
}

func (e *NotObtainedError) Unwrap() error { return e.Err }

var errNotStarted = errors.New("no certificate yet: the Manager has not started")

// Certificate picks by the name that the client asks for (exact, then a wildcard). A client that asks for none, or for one
// that there is no certificate for, gets that of the first of Names; of the address that it came to, if only that
// one names it. The error is a *NotObtainedError as long as there is none. With names on demand alone, other names have none.
func (m *Manager) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !m.ready.Load() {
		return nil, errNotStarted
	}
	name := foldName(hello.ServerName)
	if c := m.choose(hello, name); c != nil {
		return c, nil
	}
	if m.managed(name) || m.demand.matches(name) {
		m.ask(name)
		return nil, m.notObtained(name)
	}
	first := m.first()
	c := m.choose(hello, first)
	if name == "" && hello.Conn != nil && (c == nil || c.Leaf.VerifyHostname(hostOf(hello.Conn)) != nil) {
		if ofAddress := m.choose(hello, foldName(hostOf(hello.Conn))); ofAddress != nil {
			return ofAddress, nil
		}
	}
	if c != nil || first == "" {
		return c, nil
	}
	return nil, m.notObtained(first)
}

// hostOf is the address that a client came to; empty: it has none.
func hostOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return ""
	}
	host, _, _ = strings.Cut(host, "%") // the zone
	return host
}

// choose returns the certificate that was made for a name, or for its wildcard, else another one that has it and that the
// client can verify; nil: none is in memory.
func (m *Manager) choose(hello *tls.ClientHelloInfo, name string) *tls.Certificate {
	if name == "" {
		return nil
	}
	choices := m.cache.AllMatchingCertificates(name)
	_, parent, _ := strings.Cut(name, ".")
	for _, made := range []string{name, "*." + parent} {
		if c, ok := madeFor(made, choices); ok {
			return &c.Certificate
		}
	}
	if len(choices) == 0 {
		return nil
	}
	c, err := certmagic.DefaultCertificateSelector(hello, choices)
	if err != nil || c.Leaf == nil {
		return nil
	}
	return &c.Certificate
}

// Leaves returns the certificates that are presented now, by the name that each is for.
func (m *Manager) Leaves() map[string]*x509.Certificate {
	leaves := make(map[string]*x509.Certificate)
	if !m.ready.Load() {
		return leaves
	}
	for _, name := range m.list() {
		if c, ok := m.current(name); ok {
			leaves[name] = c.Leaf
		}
	}
	return leaves
}

// current is the certificate in memory that was made for a name.
func (m *Manager) current(name string) (certmagic.Certificate, bool) {
	return madeFor(name, m.cache.AllMatchingCertificates(name))
}

// madeFor finds the certificate whose first name this is, as certmagic does; of two, the one that lasts longer.
func madeFor(name string, choices []certmagic.Certificate) (certmagic.Certificate, bool) {
	var best certmagic.Certificate
	for _, c := range choices {
		if c.Leaf != nil && len(c.Names) > 0 && c.Names[0] == name && (best.Leaf == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = c
		}
	}
	return best, best.Leaf != nil
}

func (m *Manager) list() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.names)
}

func (m *Manager) first() string {
	if len(m.Names) == 0 {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names[0]
}

func (m *Manager) managed(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.names, name)
}

func (m *Manager) notObtained(name string) error {
	e := &NotObtainedError{Name: name}
	e.Next, e.Err = m.gate.state(name)
	return e
}
