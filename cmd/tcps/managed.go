package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/urfave/cli/v2"

	"tcps/certs"
)

const managedCategory = "Certificates by the local authority"

// managedFlags are those of certificates that nobody has to make or renew.
func managedFlags() []cli.Flag {
	flags := []cli.Flag{
		listFlag(managedCategory, "local", "`NAME` or address that the local authority issues a certificate for, besides localhost, this machine's name and the addresses listened on"),
		durationFlag(managedCategory, "for", 7*24*time.Hour, "`TIME` that a certificate of the local authority is valid; it is renewed when a third is left"),
	}
	return append(flags, acmeFlags()...)
}

// A managed is the certificates of a serve that look after themselves.
type managed struct {
	manager *certs.Manager
	acme    *acmeConfig // nil: the local authority issues
	servers *challengeServers
	done    func() // with the challenges' server; nil: there is none
}

// managementOf reports whether certificates have to be managed, and by which
// ACME authority: nil is the local one.
func (p *program) managementOf(c *cli.Context, s *serving) (managed bool, acme *acmeConfig, err error) {
	if acme, err = p.acmeOf(c); err != nil {
		return false, nil, err
	}
	local := list(c, "local")
	switch {
	case acme != nil && len(local) > 0:
		return false, nil, misuse("leave one of them out", "--local together with --acme: each of them manages all certificates of the service")
	case len(s.trust.pairs) > 0 && (acme != nil || len(local) > 0 || c.IsSet("for")):
		return false, nil, misuse("leave one of them out", "--cert together with --local, --for or --acme: files are not managed")
	case acme != nil && c.IsSet("for"):
		return false, nil, misuse("--acme-profile chooses among what the authority offers", "--for together with --acme: how long a certificate lasts is the ACME authority's choice")
	case len(s.trust.pairs) > 0 || !s.secure():
		return false, nil, nil
	case durationOf(c, "for") < 0:
		return false, nil, misuse("", "flag --for: a certificate cannot be valid for ever")
	}
	return true, acme, nil
}

// managedOf prepares what the flags ask for; nil: they name certificate files.
func (p *program) managedOf(c *cli.Context, s *serving) (*managed, error) {
	needed, acme, err := p.managementOf(c, s)
	if err != nil || !needed {
		return nil, err
	}
	storage, err := storageOf(c)
	if err != nil {
		return nil, err
	}
	m := &managed{manager: &certs.Manager{Storage: storage, Logger: s.log}, acme: acme, servers: &p.challenges}
	if acme != nil {
		return m, acme.apply(m.manager, s)
	}
	return m, p.manageLocally(c, s, m.manager)
}

// storageOf is where managed certificates are kept.
func storageOf(c *cli.Context) (certmagic.Storage, error) {
	dir, err := stateDir(c)
	if err != nil {
		return nil, err
	}
	storage, err := certs.OpenFileStorage(storageDir(dir))
	if err != nil {
		return nil, failure(err, "certificates are kept there: --state DIR names another place, --cert and --key use files instead")
	}
	return storage, nil
}

// start obtains what there is to obtain, once the listeners are up: an ACME
// authority will connect to them.
func (m *managed) start(ctx context.Context, listeners []listening) error {
	if m.acme != nil {
		if err := m.listen(listeners); err != nil {
			return err
		}
	}
	err := m.manager.Start(ctx)
	if err == nil {
		return nil
	}
	m.close()
	if notPermitted, ok := errors.AsType[*certs.NotPermittedError](err); ok {
		return failure(err, notPermitted.Hint())
	}
	if m.acme != nil {
		return failure(err)
	}
	return failure(err, "\"tcps certs init --force\" makes a new authority; --cert and --key use files instead")
}

// listen tells the authority's challenges which listener answers them, and
// opens the one for http.
func (m *managed) listen(listeners []listening) error {
	if m.acme.challenge == certs.HTTP {
		bound, done, err := m.servers.add(m.acme.httpAddress, m.manager)
		if err != nil {
			return err
		}
		m.acme.issuer.Listener, m.done = bound, done
		return nil
	}
	for _, l := range listeners {
		if l.endpoint.TLS() && !l.endpoint.IsUnix() {
			m.acme.issuer.Listener = addrPort(l.Addr())
			return nil
		}
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// close ends all that start has begun.
func (m *managed) close() {
	if m.done != nil {
		m.done()
		m.done = nil
	}
	m.manager.Close()
}
