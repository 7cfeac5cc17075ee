package certs

import (
	"errors"
	"fmt"
)

// Passphrase returns the passphrase of an encrypted private key. file is where the key is, for a prompt to name. It is
// asked only when a key is encrypted, and again when the file is read anew; it may be called concurrently.
type Passphrase func(file string) ([]byte, error)

// The causes when a private key is encrypted and cannot be read.
var (
	ErrPassphraseNeeded = errors.New("the private key is encrypted, and no passphrase is given")
	ErrWrongPassphrase  = errors.New("the passphrase is wrong")
)

// CheckPassphrase tells whether passphrase opens file, for a prompt that asks again: if not, errors.Is finds
// ErrWrongPassphrase. Other errors are about the file. A file that is not encrypted is opened by every passphrase.
func CheckPassphrase(file string, passphrase []byte) error {
	data, err := readFile(file)
	if err == nil {
		_, err = readAny(file, data, func(string) ([]byte, error) { return passphrase, nil })
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", file, err)
	}
	return nil
}
