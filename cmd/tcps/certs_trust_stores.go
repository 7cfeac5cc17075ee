package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/terminal"
	"tcps/internal/truststore"
)

// storesOf finds the stores that are meant.
func (p *program) storesOf(c *cli.Context) ([]truststore.Store, error) {
	kinds := list(c, "store")
	for _, kind := range kinds {
		if !slices.Contains(truststore.Kinds[:], truststore.Kind(kind)) {
			return nil, misuse("", "flag --store: %q is none of system, nss and java", kind)
		}
	}
	home, _ := os.UserHomeDir() // without one there are no profiles
	var stores []truststore.Store
	for _, s := range truststore.Find(home) {
		if len(kinds) == 0 || slices.Contains(kinds, string(s.Kind())) {
			stores = append(stores, s)
		}
	}
	for _, kind := range kinds {
		if !slices.ContainsFunc(stores, func(s truststore.Store) bool { return string(s.Kind()) == kind }) {
			return nil, notFound(truststore.Kind(kind))
		}
	}
	if java := truststore.JavaElsewhere(); java != "" && len(kinds) == 0 {
		fmt.Fprintf(p.err, "tcps: JAVA_HOME is not set, so the Java in %s is left alone; with JAVA_HOME=%[1]s it is found\n", terminal.ShellWord(java))
	}
	return stores, nil
}

// notFound says what a store that was asked for would have been.
func notFound(kind truststore.Kind) error {
	switch kind {
	case truststore.NSS:
		return failure(errors.New("find stores of kind nss: no profile of Firefox or Chrome is in your home folder"), "start the browser once: it makes one")
	case truststore.Java:
		hint := "set JAVA_HOME to the folder of a Java that has bin/keytool"
		if java := truststore.JavaElsewhere(); java != "" {
			hint = "set JAVA_HOME: JAVA_HOME=" + terminal.ShellWord(java)
		}
		return failure(errors.New("find stores of kind java: JAVA_HOME names no folder of a Java"), hint)
	}
	return failure(fmt.Errorf("find stores of kind %s: this system has none that tcps knows", kind))
}

// A change is what is done to stores, and how that is said.
type change struct {
	add           bool
	roots         []*x509.Certificate // nil: whatever a store has of ours
	file          string              // with the roots
	already, done string
}

// changeStores does the same to every store, and fails at the end if one of
// them has failed.
func (p *program) changeStores(stores []truststore.Store, ch change) error {
	p.printRoots(ch.roots)
	p.printFound(stores)
	if len(stores) == 0 {
		return failure(errors.New("find trust stores: this machine has none that tcps knows"))
	}
	failed := 0
	for _, s := range stores {
		if !p.changeStore(s, ch) {
			failed++
		}
	}
	if failed > 0 {
		return failure(fmt.Errorf("change trust stores: %d of %d failed", failed, len(stores)), "the lines \"by hand\" are commands that do what could not be done")
	}
	return nil
}

// changeStore reports whether all went well.
func (p *program) changeStore(s truststore.Store, ch change) bool {
	roots, err := ch.roots, error(nil)
	if roots == nil {
		if roots, err = s.Ours(); err == nil && len(roots) == 0 {
			p.printStore(s, ch.already)
		}
	}
	if err != nil {
		p.printStore(s, fmt.Sprintf("failed: %v", err))
	}
	good := err == nil
	for _, root := range roots {
		name, file := "", ch.file
		if len(ch.roots) != 1 {
			name, file = ": "+subjectOf(root), "FILE-WITH-IT-ALONE"
		}
		did, err := ch.apply(s, root)
		if err == nil {
			p.printStore(s, did+name)
			continue
		}
		good = false
		p.printStore(s, fmt.Sprintf("failed%s: %v", name, err))
		fmt.Fprintf(p.out, "%-13s %s\n", "by hand:", s.ByHand(ch.add, root, file))
	}
	return good
}

// apply says what it did to one root in one store.
func (ch change) apply(s truststore.Store, root *x509.Certificate) (did string, err error) {
	has, err := s.Has(root)
	switch {
	case err != nil:
		return "", err
	case ch.add && has:
		return ch.already, nil
	case ch.add:
		return ch.done, s.Add(root)
	}
	err = s.Remove(root) // a store may have it without trusting it: then too
	if !has {
		return ch.already, err
	}
	return ch.done, err
}

func (p *program) printStore(s truststore.Store, text string) {
	fmt.Fprintf(p.out, "%-13s %s: %s\n", string(s.Kind())+":", terminal.Printable(s.Place()), text)
}

// printFound counts the stores of each kind.
func (p *program) printFound(stores []truststore.Store) {
	counts := map[truststore.Kind]int{}
	for _, s := range stores {
		counts[s.Kind()]++
	}
	var found []string
	if counts[truststore.System] > 0 {
		found = append(found, "the system's")
	}
	switch n := counts[truststore.NSS]; n {
	case 0:
	case 1:
		found = append(found, "1 profile of NSS")
	default:
		found = append(found, fmt.Sprintf("%d profiles of NSS", n))
	}
	if counts[truststore.Java] > 0 {
		found = append(found, "Java's")
	}
	if len(found) == 0 {
		found = []string{"none"}
	}
	fmt.Fprintf(p.out, "%-13s %s\n", "found:", strings.Join(found, ", "))
}

func (p *program) printRoots(roots []*x509.Certificate) {
	for _, root := range roots {
		fmt.Fprintf(p.out, "%-13s %s, SHA-256 %s\n", "root:", subjectOf(root), certs.Fingerprint(root))
	}
}

func subjectOf(root *x509.Certificate) string {
	return certs.DescribeCertificate(root, root.NotBefore).Subject
}
