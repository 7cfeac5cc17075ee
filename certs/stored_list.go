package certs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// A StoredCertificate is one that a Manager keeps in a storage.
type StoredCertificate struct {
	Certificate *x509.Certificate
	Issuer      string    // key of the issuer, made of the address of an ACME authority
	ByAuthority bool      // an Authority issued it, which has it on its own list
	Renewal     time.Time // when a Manager renews it: as the ACME authority asks, else when a third of its life is left
}

// StoredCertificates lists what Managers keep in a storage. What is damaged is left out: a Manager tells of it.
func StoredCertificates(ctx context.Context, storage certmagic.Storage) ([]StoredCertificate, error) {
	var all []StoredCertificate
	err := eachStored(ctx, storage, "certificates", func(key string, leaf *x509.Certificate) {
		issuer := path.Base(path.Dir(path.Dir(key)))
		all = append(all, StoredCertificate{
			Certificate: leaf, Issuer: issuer, ByAuthority: strings.HasPrefix(issuer, authorityKeyPrefix),
			Renewal: renewalOf(ctx, storage, strings.TrimSuffix(key, ".crt")+".json", leaf),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list stored certificates: %w", err)
	}
	return all, nil
}

// eachStored calls do for each certificate under prefix that is whole, with its key there.
func eachStored(ctx context.Context, storage certmagic.Storage, prefix string, do func(key string, leaf *x509.Certificate)) error {
	keys, err := storage.List(ctx, prefix, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, key := range keys {
		if path.Ext(key) != ".crt" {
			continue
		}
		data, err := storage.Load(ctx, key)
		if err != nil {
			continue // it may have been replaced meanwhile
		}
		if found, err := parsePEM(key, data); err == nil && len(found.certificates) > 0 {
			do(key, found.certificates[0])
		}
	}
	return nil
}

// renewalOf is when a certificate is to be renewed; its description has what the authority asked for (RFC 9773).
func renewalOf(ctx context.Context, storage certmagic.Storage, key string, leaf *x509.Certificate) time.Time {
	share := time.Duration(float64(leaf.NotAfter.Sub(leaf.NotBefore)) * renewalShare)
	due := leaf.NotAfter.Add(-share)
	data, err := storage.Load(ctx, key)
	if err != nil {
		return due
	}
	var description certmagic.CertificateResource
	var issued acme.Certificate
	if json.Unmarshal(data, &description) != nil || json.Unmarshal(description.IssuerData, &issued) != nil || issued.RenewalInfo == nil {
		return due
	}
	if asked := issued.RenewalInfo.SelectedTime; !asked.IsZero() && asked.Before(due) {
		return asked
	}
	return due
}
