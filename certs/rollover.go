package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// RolloverAuthority makes a new root for the authority at dir, which signs from now on, while the old one is trusted
// still: RootPEM has both. What the new one signs is sent with the new root as the old one has signed it, so that it
// can be verified by who has the old root only, until that one expires. The new root may sign for what the old one may,
// and for what o permits; its key is of the same type unless o says. It needs the key of the old root, which stays.
func RolloverAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	a, err := rolloverAuthority(dir, o)
	if err != nil {
		return nil, fmt.Errorf("roll over authority %q: %w", dir, err)
	}
	return a, nil
}

func rolloverAuthority(dir string, o AuthorityOptions) (*Authority, error) {
	dir, err := followLink(dir)
	if err != nil {
		return nil, err
	}
	old, err := openAuthority(dir, o.Passphrase)
	if err != nil {
		return nil, err
	}
	unlock, err := lockAuthority(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := old.checkRootIsLatest(); err != nil {
		return nil, err
	}
	if err := old.readRootKey(); err != nil {
		return nil, err
	}
	next, err := old.nextRoot(o)
	if err != nil {
		return nil, err
	}
	if err := old.rollTo(next); err != nil {
		return nil, err
	}
	return openAuthority(dir, o.Passphrase)
}

// nextRoot makes a root that follows the current one.
func (a *Authority) nextRoot(o AuthorityOptions) (signer, error) {
	if o.KeyType == "" {
		o.KeyType = keyTypeOf(a.root.PublicKey)
	}
	names, err := a.nextNames(o)
	if err != nil {
		return signer{}, err
	}
	return newRoot(machineOf(a.root), o.KeyType, func(t *x509.Certificate) {
		t.ExtKeyUsage, t.UnknownExtKeyUsage = a.root.ExtKeyUsage, a.root.UnknownExtKeyUsage
		names(t)
	})
}

// nextNames writes into a template what names the next root may sign for.
func (a *Authority) nextNames(o AuthorityOptions) (func(*x509.Certificate), error) {
	switch {
	case o.Unconstrained:
		return func(*x509.Certificate) {}, nil
	case len(o.Permit) == 0:
		return func(t *x509.Certificate) { copyConstraints(t, a.root) }, nil
	case !a.Constrained():
		return nil, errors.New("the root permits every name already")
	}
	c, err := newConstraints(machineOf(a.root), extraPermits(a.root))
	if err != nil || !isLike(c, a.root) {
		return nil, errors.New("the root's constraints are not of tcps' making, and can only be taken over as they are: leave out what to permit")
	}
	c, err = newConstraints(machineOf(a.root), append(extraPermits(a.root), o.Permit...))
	return c.apply, err
}

// isLike tells whether c is all that binds the root: nothing else would be handed on.
func isLike(c constraints, root *x509.Certificate) bool {
	var ours x509.Certificate
	c.apply(&ours)
	return fmt.Sprint(constraintsOf(&ours)...) == fmt.Sprint(constraintsOf(root)...)
}

func constraintsOf(c *x509.Certificate) []any {
	return []any{
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.ExcludedDNSDomains, c.PermittedIPRanges, c.ExcludedIPRanges,
		c.PermittedEmailAddresses, c.ExcludedEmailAddresses, c.PermittedURIDomains, c.ExcludedURIDomains,
	}
}

// rollTo writes the new root. Each step leaves an authority that works: until root.pem changes it is the old one, and
// then the old intermediate goes on until there is a new one. The caller holds the lock of the folder.
func (a *Authority) rollTo(next signer) error {
	cross, err := a.crossSign(next)
	if err != nil {
		return err
	}
	if err := writeFiles([]file{{a.path(crossFile), encodeCertificates(append(cross, a.cross...)...), 0o644}}, true); err != nil {
		return err
	}
	if err := a.ledger.record(cross[0]); err != nil {
		return err
	}
	oldKey, err := os.ReadFile(a.path(keyFile))
	if err != nil {
		return err
	}
	roots := append([]*x509.Certificate{next.certificate}, a.roots()...)
	if err := a.replacePair(a.path(rootFile), a.path(keyFile), encodeCertificates(roots...), next, oldKey); err != nil {
		return err
	}
	if a.current.certificate == a.root {
		return nil
	}
	intermediate, err := newIntermediate(next)
	if err != nil {
		return err
	}
	return a.replaceIntermediate(intermediate)
}

// crossSign has each root whose key is here sign the next one, until that root's own end.
func (a *Authority) crossSign(next signer) ([]*x509.Certificate, error) {
	keys, err := a.readRootKeys()
	if err != nil {
		return nil, err
	}
	var cross []*x509.Certificate
	for _, root := range a.roots() {
		i := slices.IndexFunc(keys, func(key crypto.Signer) bool { return samePublicKey(key, root) })
		if i < 0 || time.Now().After(root.NotAfter) {
			continue
		}
		template := *next.certificate
		template.SerialNumber, template.AuthorityKeyId = nil, nil
		template.MaxPathLen, template.MaxPathLenZero = 1, false // room for an intermediate
		template.NotBefore, template.NotAfter = later(template.NotBefore, root.NotBefore), earlier(template.NotAfter, root.NotAfter)
		der, err := x509.CreateCertificate(rand.Reader, &template, root, next.key.Public(), keys[i])
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		cross = append(cross, c)
	}
	if len(cross) == 0 {
		return nil, fmt.Errorf("the root expired %s: nobody trusts what it signs; make a new one with tcps certs init --force", moment(a.root.NotAfter, time.Now()))
	}
	return cross, nil
}
