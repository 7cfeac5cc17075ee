package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"tcps/internal/terminal"
)

// The directories of Let's Encrypt.
const (
	LetsEncrypt        = certmagic.LetsEncryptProductionCA
	LetsEncryptStaging = certmagic.LetsEncryptStagingCA // issues what nobody trusts, under wider limits: for trying things out
)

// A Challenge is a way to prove to an ACME authority that a name is ours.
type Challenge string

// The challenges. The zero Challenge is TLSALPN.
const (
	TLSALPN Challenge = "tls-alpn" // on the service's own listener (RFC 8737); the authority connects to port 443
	HTTP    Challenge = "http"     // on a listener of its own (RFC 8555, 8.3); the authority connects to port 80
	DNS     Challenge = "dns"      // by a record in the zone (RFC 8555, 8.4); the only one for wildcards
)

// ACME is an Issuer: a certificate authority that is asked by the protocol of that name (RFC 8555).
type ACME struct {
	Directory string         // URL of the authority's directory; empty: LetsEncrypt
	Roots     *x509.CertPool // vouch for the directory's own certificate; nil: the system's
	Email     string         // that the authority writes to; may be empty

	// Agreed says that the authority's terms of service are agreed to. Start fails without: see Terms.
	Agreed bool

	// KeyID and MACKey bind the account to one that the authority knows already (RFC 8555, 7.3.4). MACKey is in
	// base64url, as authorities hand it out. Both or neither.
	KeyID, MACKey string

	Profile   string    // of the certificate, as the authority's directory lists them; empty: its default
	Challenge Challenge // zero: TLSALPN

	// Listener is the address on which challenges are answered: for TLSALPN that of a listener of a server that has the
	// Manager as its source, for HTTP that of one that serves Manager.HTTPHandler. Start after these listen. The
	// authority may reach them through a forwarded port.
	Listener netip.AddrPort

	// Provider writes the records of the DNS challenge, and Resolvers ("host:port"; nil: the system's) are asked whether
	// they can be seen.
	Provider  certmagic.DNSProvider
	Resolvers []string

	used *certmagic.ACMEIssuer
}

// ErrTermsNotAgreed is what Start returns for an ACME authority whose terms of service were not agreed to.
var ErrTermsNotAgreed = errors.New("the terms of service of the ACME authority are not agreed to")

func (a *ACME) directory() string { return cmp.Or(a.Directory, LetsEncrypt) }

// Terms asks the authority for the address of its terms of service; empty: it has none.
func (a *ACME) Terms(ctx context.Context) (string, error) {
	client := acme.Client{Directory: a.directory(), HTTPClient: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: a.Roots}, DisableKeepAlives: true},
	}}
	directory, err := client.GetDirectory(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %q for its terms of service: %w", a.directory(), err)
	}
	if directory.Meta == nil {
		return "", nil
	}
	return terminal.Printable(directory.Meta.TermsOfService), nil
}

func (a *ACME) prepare(_ *certmagic.Config, names []string) (time.Duration, error) {
	return checkTime, a.Check(names)
}

// Check finds all that can be known to be wrong before names are ordered, without
// asking the authority.
func (a *ACME) Check(names []string) error {
	if !a.Agreed {
		return ErrTermsNotAgreed
	}
	if (a.KeyID == "") != (a.MACKey == "") {
		return errors.New("an external account has a key ID and a MAC key: one of them is missing")
	}
	if _, err := base64.RawURLEncoding.DecodeString(a.MACKey); err != nil {
		return fmt.Errorf("the MAC key of the external account is not in base64url: %w", err)
	}
	u, err := url.Parse(a.directory())
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no address of an ACME directory: it begins with https://", a.directory())
	}
	switch cmp.Or(a.Challenge, TLSALPN) {
	case TLSALPN, HTTP:
		for _, name := range names {
			if strings.HasPrefix(name, "*.") {
				return fmt.Errorf("%q: ACME proves wildcards by the dns challenge only", name)
			}
		}
		if !a.Listener.IsValid() {
			return fmt.Errorf("the %s challenge needs the address of the listener that answers it", cmp.Or(a.Challenge, TLSALPN))
		}
	case DNS:
		if a.Provider == nil {
			return errors.New("the dns challenge needs a provider that writes its records")
		}
	default:
		return fmt.Errorf("challenge %q is none of tls-alpn, http and dns", a.Challenge)
	}
	return nil
}

func (a *ACME) issuer(config *certmagic.Config, _ []string) (certmagic.Issuer, error) {
	template := certmagic.ACMEIssuer{
		CA:           a.directory(),
		TestCA:       a.directory(),
		Email:        a.Email,
		Agreed:       true,
		Profile:      a.Profile,
		TrustedRoots: a.Roots,
		Logger:       config.Logger,
	}
	if a.directory() == LetsEncrypt {
		template.TestCA = LetsEncryptStaging // for what is tried again
	}
	if a.Email == "" {
		// certmagic takes the folder of an account without an address, which another attempt is just making, for an
		// address.
		template.NewAccountFunc = func(_ context.Context, _ *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
			account.Contact = nil
			return account, nil
		}
	}
	if a.KeyID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: a.KeyID, MACKey: a.MACKey}
	}
	// certmagic listens by itself for a challenge unless it finds that somebody does already.
	if a.Listener.IsValid() {
		template.ListenHost = a.Listener.Addr().String()
		template.AltTLSALPNPort, template.AltHTTPPort = int(a.Listener.Port()), int(a.Listener.Port())
	}
	template.DisableTLSALPNChallenge = cmp.Or(a.Challenge, TLSALPN) != TLSALPN
	template.DisableHTTPChallenge = a.Challenge != HTTP
	if a.Challenge == DNS {
		template.DNS01Solver = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: a.Provider, Resolvers: a.Resolvers, Logger: config.Logger,
		}}
	}
	a.used = certmagic.NewACMEIssuer(config, template)
	return a.used, nil
}

// ChallengeSource is a Source that answers ACME challenges on the listener of a server.
type ChallengeSource interface {
	Source

	// ChallengeConfig returns the configuration for a hello that is an ACME challenge, and nil for all others. The
	// connection is closed after the handshake; no service sees it.
	ChallengeConfig(*tls.ClientHelloInfo) *tls.Config
}

// ChallengeConfig answers the tls-alpn challenge: hellos that offer acme-tls/1 and nothing else (RFC 8737, 3).
func (m *Manager) ChallengeConfig(hello *tls.ClientHelloInfo) *tls.Config {
	a, ok := m.Issuer.(*ACME)
	if !ok || !m.ready.Load() || cmp.Or(a.Challenge, TLSALPN) != TLSALPN || hello.ServerName == "" {
		return nil
	}
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmez.ACMETLS1Protocol {
		return nil
	}
	return &tls.Config{
		GetCertificate:         m.magic.GetCertificate,
		NextProtos:             []string{acmez.ACMETLS1Protocol},
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
	}
}

// HTTPHandler answers the http challenges of the manager, and leaves everything else to next: all of it before Start.
func (m *Manager) HTTPHandler(next http.Handler) http.Handler {
	a, ok := m.Issuer.(*ACME)
	if !ok || !m.ready.Load() {
		return next
	}
	return a.used.HTTPChallengeHandler(next)
}

// inWordsOf is an error of an attempt without what certmagic puts around it, fit for a log: an authority may answer
// anything. A problem document (RFC 9457) is told by its last word and its sentence.
func inWordsOf(err error) error {
	text := []rune(terminal.Printable(wordsOf(err)))
	if len(text) > maxWords {
		text = append(text[:maxWords], '…')
	}
	return &wordedError{string(text), err}
}

// maxWords is how many characters of an authority's answer are told, by each handshake that is refused too.
const maxWords = 600

type wordedError struct {
	words string
	err   error
}

func (e *wordedError) Error() string { return e.words }
func (e *wordedError) Unwrap() error { return e.err }

func wordsOf(err error) string {
	if problem, ok := errors.AsType[acme.Problem](err); ok {
		return "the authority answered " + problemInWords(problem)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return "the authority was not reached: " + op.Error()
	}
	if stop, ok := errors.AsType[certmagic.ErrNoRetry](err); ok {
		return wordsOf(stop.Err)
	}
	return err.Error()
}

func problemInWords(p acme.Problem) string {
	kind := strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace)
	text := fmt.Sprintf("%s: %s", kind, cmp.Or(p.Detail, p.Title, "it does not say why"))
	if p.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", p.Status)
	}
	for _, sub := range p.Subproblems {
		text += fmt.Sprintf("; for %s: %s", sub.Identifier.Value, problemInWords(sub.Problem))
	}
	return text
}
