package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// LifetimeWarning says in a sentence that c, which it calls what, is expired, not yet valid, or in the last tenth of its
// lifetime, as of now. It is empty for a certificate that is well within its time.
func LifetimeWarning(what string, c *x509.Certificate) string {
	return validityWarning(what, c, time.Now())
}

// ServerNames returns the names by which a Source over certificates finds c, in lower case: its DNS names, or its common
// name if it has no alternative names at all.
func ServerNames(c *x509.Certificate) []string { return slices.Clone(namesOf(c)) }
