package certs

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/caddyserver/certmagic"
)

// Issuer makes the authority the issuer of a Manager. life is how long a certificate lasts; zero means 7 days.
func (a *Authority) Issuer(life time.Duration) Issuer {
	if life == 0 {
		life = shortLife
	}
	return &authorityIssuer{a, life}
}

// authorityKeyPrefix begins the keys of issuers that are authorities of our own.
const authorityKeyPrefix = "authority-"

// authorityIssuer is the authority as certmagic sees it.
type authorityIssuer struct {
	authority *Authority
	life      time.Duration
}

func (i *authorityIssuer) prepare(config *certmagic.Config, names []string) (time.Duration, error) {
	config.DisableARI = true
	config.RenewalWindowRatio *= float64(i.life) / float64(i.life+backdateOf(i.life)) // of what a certificate says, which begins earlier
	for _, name := range names {
		if err := i.authority.Permits(name); err != nil {
			return 0, err
		}
	}
	return min(max(i.life/20, time.Second), checkTime), nil
}

func (i *authorityIssuer) issuer(_ *certmagic.Config, names []string) (certmagic.Issuer, error) {
	return &namingIssuer{i, names}, nil
}

// IssuerKey names the root, so that what another root signed is not taken for its own.
func (i *authorityIssuer) IssuerKey() string {
	id := i.authority.root.SubjectKeyId
	return authorityKeyPrefix + hex.EncodeToString(id[:min(len(id), 8)])
}

// A namingIssuer gives every certificate all names of a Manager: there are clients that verify by a name and ask for
// none (Java does, for names without a dot).
type namingIssuer struct {
	*authorityIssuer
	names []string
}

// Issue puts the name that the certificate is for first, which is how certmagic knows it again. One for an address has no
// other names: DNS names would come before it.
func (i *namingIssuer) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	names := []string{firstNameIn(csr)}
	if len(csr.DNSNames) > 0 {
		for _, name := range i.names {
			if name != names[0] {
				names = append(names, name)
			}
		}
	}
	issued, err := i.authority.SignCSR(csr, Request{Names: names, For: i.life})
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: issued.CertPEM}, nil
}
