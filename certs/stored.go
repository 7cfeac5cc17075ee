package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// damagedSuffix ends the key of what was moved aside.
const damagedSuffix = ".damaged"

// checkStored looks at what storage holds of the certificate that the issuer made for name (in ASCII): certificate, key
// and metadata. certmagic takes what is damaged there for an error for ever, so if one of the three is missing or damaged
// all are moved aside, under KEY.damaged, and what was done is returned in words; empty: all is well, or nothing there.
// Somebody may be writing the three just now: what looks damaged is looked at again under the lock that certmagic has then.
func checkStored(ctx context.Context, storage certmagic.Storage, issuerKey, name string) (done string, err error) {
	s := stored{keys: [3]string{
		certmagic.StorageKeys.SiteCert(issuerKey, name),
		certmagic.StorageKeys.SitePrivateKey(issuerKey, name),
		certmagic.StorageKeys.SiteMeta(issuerKey, name),
	}}
	err = s.load(ctx, storage)
	if err == nil && s.damage(name) != "" {
		done, err = s.check(ctx, storage, name)
	}
	if err != nil {
		return "", fmt.Errorf("check stored certificate of %q: %w", name, err)
	}
	return done, nil
}

// check is checkStored under the lock of certmagic's Config.lockKey.
func (s *stored) check(ctx context.Context, storage certmagic.Storage, name string) (done string, err error) {
	lock := "issue_cert_" + name
	if err := storage.Lock(ctx, lock); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), lock)) }()
	if err := s.load(ctx, storage); err != nil {
		return "", err
	}
	why := s.damage(name)
	if why == "" {
		return "", nil
	}
	moved, err := moveAside(ctx, storage, s.keys[:], s.values[:])
	if err != nil {
		return "", fmt.Errorf("move it aside: %w", err)
	}
	return fmt.Sprintf("the stored certificate of %q is damaged (%s): moved aside to %s", name, why, strings.Join(moved, ", ")), nil
}

// stored is what a storage holds of one certificate.
type stored struct {
	keys   [3]string // of certificate, private key, metadata
	values [3][]byte // nil: not there
}

func (s *stored) load(ctx context.Context, storage certmagic.Storage) error {
	for i, key := range s.keys {
		value, err := storage.Load(ctx, key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.values[i] = nil
		case err != nil:
			return err
		default:
			s.values[i] = append([]byte{}, value...) // empty is not nil
		}
	}
	return nil
}

// damage says what is wrong with a certificate for name; empty: nothing.
func (s *stored) damage(name string) string {
	parts := [3]string{"certificate", "private key", "metadata"}
	var missing []string
	for i, value := range s.values {
		if value == nil {
			missing = append(missing, parts[i])
		}
	}
	if len(missing) == len(parts) {
		return ""
	}
	if len(missing) > 0 {
		return "missing: " + strings.Join(missing, ", ")
	}
	for i, value := range s.values[:2] {
		if !isWholePEM(value) {
			return "the " + parts[i] + " is not whole PEM"
		}
	}
	pair, err := tls.X509KeyPair(s.values[0], s.values[1])
	if err != nil {
		return strings.TrimPrefix(err.Error(), "tls: ")
	}
	if first := firstName(pair.Leaf); first != name {
		return fmt.Sprintf("the certificate is for %q", first)
	}
	if err := json.Unmarshal(s.values[2], new(certmagic.CertificateResource)); err != nil {
		return "the metadata is not what certmagic writes: " + err.Error()
	}
	return ""
}

// firstName is the name that certmagic takes a certificate to be for.
func firstName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return strings.ToLower(c.Subject.CommonName)
	case len(c.DNSNames) > 0:
		return strings.ToLower(c.DNSNames[0])
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return ""
}

// isWholePEM reports whether data is PEM to its end: crypto/tls overlooks a chain that was cut off.
func isWholePEM(data []byte) bool {
	block, rest := pem.Decode(data)
	for block != nil && len(bytes.TrimSpace(rest)) > 0 {
		block, rest = pem.Decode(rest)
	}
	return block != nil
}

// moveAside gives what is there other keys, and returns them. The copies are all there before the first original goes.
func moveAside(ctx context.Context, storage certmagic.Storage, keys []string, values [][]byte) (moved []string, err error) {
	suffix := damagedSuffix
	for _, key := range keys {
		if storage.Exists(ctx, key+suffix) {
			suffix = damagedSuffix + time.Now().UTC().Format(".20060102T150405.000000000Z")
			break
		}
	}
	for i, key := range keys {
		if values[i] == nil {
			continue
		}
		if err := storage.Store(ctx, key+suffix, values[i]); err != nil {
			return nil, err
		}
		moved = append(moved, key+suffix)
	}
	for _, key := range keys {
		if err := storage.Delete(ctx, key); err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// checkAccounts moves the parts of accounts at an ACME authority aside that are damaged: certmagic registers another
// account then.
func checkAccounts(ctx context.Context, storage certmagic.Storage, issuerKey string) (done string, err error) {
	prefix := path.Join("acme", certmagic.StorageKeys.Safe(issuerKey), "users")
	keys, err := storage.List(ctx, prefix, true)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("check stored accounts: %w", err)
	}
	var all []string
	for _, key := range keys {
		parse, ok := accountParts[path.Ext(key)]
		if !ok {
			continue
		}
		value, err := storage.Load(ctx, key)
		if err != nil || parse(value) == nil {
			continue // who needs it will say why it cannot be loaded
		}
		moved, err := moveAside(ctx, storage, []string{key}, [][]byte{value})
		if err != nil {
			return "", fmt.Errorf("move the damaged account %q aside: %w", key, err)
		}
		all = append(all, moved...)
	}
	if len(all) == 0 {
		return "", nil
	}
	return "a stored account is damaged: moved aside to " + strings.Join(all, ", "), nil
}

// accountParts are what certmagic keeps of an account, by the ending of the key.
var accountParts = map[string]func([]byte) error{
	".json": func(value []byte) error { return json.Unmarshal(value, new(acme.Account)) },
	".key":  func(value []byte) error { _, err := certmagic.PEMDecodePrivateKey(value); return err },
}
