package certs

import "errors"

// Passphrase returns the passphrase of an encrypted private key. file is where the key is, for a prompt to name. It is
// asked only when a key is encrypted, and again when the file is read anew; it may be called concurrently.
type Passphrase func(file string) ([]byte, error)

// The causes when a private key is encrypted and cannot be read.
var (
	ErrPassphraseNeeded = errors.New("the private key is encrypted, and no passphrase is given")
	ErrWrongPassphrase  = errors.New("the passphrase is wrong")
)
