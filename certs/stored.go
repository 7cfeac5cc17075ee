package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// certmagic takes what its storage has as it is: a damaged value is an error for ever. This file looks first, and moves
// what is damaged to a key that ends in .damaged, so that another one is made.

const damagedEnding = ".damaged"

// checkStored moves what the storage has of a certificate aside, all of it, if a part is damaged or missing. It returns
// a sentence for each part that it moved.
func checkStored(ctx context.Context, s certmagic.Storage, issuerKey, name string) (moved []string, err error) {
	keys := []string{
		certmagic.StorageKeys.SiteCert(issuerKey, name),
		certmagic.StorageKeys.SitePrivateKey(issuerKey, name),
		certmagic.StorageKeys.SiteMeta(issuerKey, name),
	}
	check := func() (error, error) {
		values, missing, err := loadAll(ctx, s, keys)
		switch {
		case err != nil || missing == len(keys):
			return nil, err
		case missing > 0:
			return errors.New("a part of it is missing"), nil
		}
		return whyNoSite(keys[0], values), nil
	}
	if damage, err := check(); damage == nil || err != nil {
		return nil, err
	}
	// Whoever obtains a certificate writes its parts one after the other, under this lock of certmagic's.
	lock := "issue_cert_" + name
	if err := s.Lock(ctx, lock); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Unlock(ctx, lock)) }()
	damage, err := check()
	if damage == nil || err != nil {
		return nil, err
	}
	return moveAside(ctx, s, keys, damage)
}

// loadAll loads values, and counts those that are not there.
func loadAll(ctx context.Context, s certmagic.Storage, keys []string) (values [][]byte, missing int, err error) {
	for _, key := range keys {
		value, err := s.Load(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
		} else if err != nil {
			return nil, 0, err
		}
		values = append(values, value)
	}
	return values, missing, nil
}

// whyNoSite is nil for a certificate, its key and its description that belong together.
func whyNoSite(where string, values [][]byte) error {
	found, err := parsePEM(where, values[0])
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	if len(found.certificates) == 0 {
		return errors.New("the certificate: there is none")
	}
	key, err := certmagic.PEMDecodePrivateKey(values[1])
	switch {
	case err != nil:
		return fmt.Errorf("the key: %w", err)
	case !samePublicKey(key, found.certificates[0]):
		return errors.New("the key belongs to another certificate")
	}
	var description certmagic.CertificateResource
	if err := json.Unmarshal(values[2], &description); err != nil {
		return fmt.Errorf("the description: %w", err)
	}
	return nil
}

// moveAside renames keys, as far as a storage can: another one of the same name is overwritten.
func moveAside(ctx context.Context, s certmagic.Storage, keys []string, why error) (moved []string, err error) {
	for _, key := range keys {
		value, err := s.Load(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = s.Store(ctx, key+damagedEnding, value)
		}
		if err == nil {
			err = s.Delete(ctx, key)
		}
		if err != nil {
			return moved, err
		}
		moved = append(moved, fmt.Sprintf("%s is now %s: %v", key, path.Base(key)+damagedEnding, why))
	}
	return moved, nil
}

// checkAccounts moves the accounts at an ACME authority aside that are damaged: certmagic registers another one then.
func checkAccounts(ctx context.Context, s certmagic.Storage, issuerKey string) (moved []string, err error) {
	prefix := path.Join("acme", certmagic.StorageKeys.Safe(issuerKey), "users")
	keys, err := s.List(ctx, prefix, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, key := range keys {
		why := error(nil)
		switch path.Ext(key) {
		case ".json":
			why = whyNo(ctx, s, key, func(value []byte) error { return json.Unmarshal(value, new(acme.Account)) })
		case ".key":
			why = whyNo(ctx, s, key, func(value []byte) error { _, err := certmagic.PEMDecodePrivateKey(value); return err })
		}
		if why == nil {
			continue
		}
		more, err := moveAside(ctx, s, []string{key}, why)
		if err != nil {
			return moved, err
		}
		moved = append(moved, more...)
	}
	return moved, nil
}

// whyNo is what parse says of a value; one that cannot be loaded is somebody else's fault.
func whyNo(ctx context.Context, s certmagic.Storage, key string, parse func([]byte) error) error {
	value, err := s.Load(ctx, key)
	if err != nil {
		return nil
	}
	return parse(value)
}
