//go:build !linux && !freebsd

package truststore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"

	"github.com/smallstep/truststore"
)

// keychain is the store of macOS and Windows. It does not tell who put what
// there, so it knows none of ours.
type keychain struct{}

func findSystem() Store {
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" {
		return nil
	}
	return keychain{}
}

func (keychain) Kind() Kind { return System }

func (keychain) Place() string {
	if runtime.GOOS == "windows" {
		return "the root store of this user"
	}
	return "the system's keychain"
}

// Has asks the system's own verifier.
func (keychain) Has(root *x509.Certificate) (bool, error) {
	_, err := root.Verify(x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil, nil
}

func (keychain) Add(root *x509.Certificate) error {
	return ran(truststore.Install(root, prefix(root)))
}

// Remove goes by the serial number on Windows, and that has to be one of its
// own: with a small one it would remove other authorities too.
func (k keychain) Remove(root *x509.Certificate) error {
	if has, err := k.Has(root); err != nil || !has {
		return err
	}
	if bits := root.SerialNumber.BitLen(); runtime.GOOS == "windows" && bits < 64 {
		return fmt.Errorf("its serial number has %d bits: other authorities may have it too", bits)
	}
	err := truststore.Uninstall(root, prefix(root))
	if errors.Is(err, truststore.ErrNotFound) {
		return nil
	}
	return ran(err)
}

func (keychain) Ours() ([]*x509.Certificate, error) { return nil, nil }

func (keychain) ByHand(add bool, root *x509.Certificate, file string) string {
	switch {
	case runtime.GOOS == "windows" && add:
		return words("certutil", "-user", "-addstore", "Root", file)
	case runtime.GOOS == "windows":
		return words("certutil", "-user", "-delstore", "Root", fmt.Sprintf("%x", root.SerialNumber))
	case add:
		return words("sudo", "security", "add-trusted-cert", "-d", "-k", "/Library/Keychains/System.keychain", file)
	}
	return words("sudo", "security", "remove-trusted-cert", "-d", file)
}
