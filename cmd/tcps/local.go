package main

import (
	"errors"
	"net"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
)

// manageLocally is the embedded default: without certificate files, the local
// authority issues for localhost, this machine's name and the addresses that
// are listened on.
func (p *program) manageLocally(c *cli.Context, s *serving, m *certs.Manager) error {
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	authority, created, err := certs.OpenOrCreateAuthority(dir, certs.AuthorityOptions{Passphrase: p.passphrase(c)})
	if errors.Is(err, certs.ErrPassphraseNeeded) || errors.Is(err, certs.ErrWrongPassphrase) {
		return fileFailure(err)
	} else if err != nil {
		return failure(err, "\"tcps certs init --force\" makes a new authority; --cert and --key use files instead")
	}
	for _, warning := range authority.Warnings() {
		s.log.Warn(warning)
	}
	if created {
		s.log.Info("made a local authority, which may only sign for local names", "root", rootFile(dir))
	}
	names, leftOut := authority.ServerNames(s.localNames()...)
	if len(leftOut) > 0 {
		s.log.Warn("the local authority does not permit some names, the service goes without certificates for them", "names", leftOut)
	}
	m.Names = append(list(c, "local"), names...)
	m.Issuer = authority.Issuer(durationOf(c, "for"))
	return nil
}

// localNames are what a client may call this server.
func (s *serving) localNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, e := range s.endpoints {
		if e.IsUnix() || !e.TLS() || e.Host == "" {
			continue
		}
		host, _, _ := strings.Cut(e.Host, "%") // without the zone
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	return names
}
