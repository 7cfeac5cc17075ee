// Package truststore puts authorities into the trust stores of this machine
// and takes them out again. It is the only place that knows
// smallstep/truststore, whose settings are package variables, and what that
// leaves out: which stores there are, what is in them, and what a person can
// do where a program may not. Its functions may not be called concurrently.
package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/smallstep/truststore"

	"tcps/internal/terminal"
)

// A Kind is the sort of a store.
type Kind string

// The kinds of stores.
const (
	System Kind = "system" // what most programs ask
	NSS    Kind = "nss"    // a profile of Firefox, or what Chrome asks on Linux
	Java   Kind = "java"   // that of JAVA_HOME
)

// Kinds lists all of them, in the order in which Find returns stores.
var Kinds = [...]Kind{System, NSS, Java}

// A Store is one place in which authorities are trusted. Adding what is there
// and removing what is not is no error.
type Store interface {
	Kind() Kind
	Place() string // what it is and where
	Has(root *x509.Certificate) (bool, error)
	Add(root *x509.Certificate) error
	Remove(root *x509.Certificate) error
	Ours() ([]*x509.Certificate, error) // what Add put there, as far as the store can tell

	// ByHand is the command that does it in our place; file holds the root.
	ByHand(add bool, root *x509.Certificate, file string) string
}

// Find returns the stores of this machine and of the user whose home it is. A
// store that is there but cannot be used is among them, and says why when it is.
func Find(home string) []Store {
	var stores []Store
	if s := findSystem(); s != nil {
		stores = append(stores, s)
	}
	stores = append(stores, findNSS(home)...)
	if s := findJava(); s != nil {
		stores = append(stores, s)
	}
	return stores
}

// prefix and nameOf make the name under which a root is kept. It carries the
// fingerprint: a serial number alone is no name, each authority has a 1.
func prefix(root *x509.Certificate) truststore.Option {
	return truststore.WithPrefix(namePrefix(root))
}

func namePrefix(root *x509.Certificate) string {
	sum := sha256.Sum256(root.Raw)
	return fmt.Sprintf("tcps-%x-", sum[:8])
}

func nameOf(root *x509.Certificate) string { return namePrefix(root) + root.SerialNumber.String() }

var ourName = regexp.MustCompile(`^tcps-[0-9a-f]{16}-[0-9]+$`)

// ran is an error of smallstep/truststore with what the program said that it ran.
func ran(err error) error {
	failed, ok := errors.AsType[*truststore.CmdError](err)
	if !ok {
		return err
	}
	return said(filepath.Base(failed.Cmd().Path), failed.Err(), failed.Out())
}

// said is how a program failed, with the last line that it printed.
func said(program string, err error, output []byte) error {
	text := strings.TrimSpace(string(output))
	text = terminal.Printable(strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]))
	if text == "" {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return fmt.Errorf("run %s: %w: %s", program, err, text)
}

// words makes a command line of its words.
func words(line ...string) string {
	for i, w := range line {
		line[i] = terminal.ShellWord(w)
	}
	return strings.Join(line, " ")
}
