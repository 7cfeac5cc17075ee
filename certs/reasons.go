package certs

import (
	"fmt"
	"slices"
	"strings"
)

// revocationReasons are the reasons of RFC 5280, 5.3.1, by their codes. Those that cannot be given to Revoke are about
// authorities, about lists that change, or about attribute certificates.
var revocationReasons = [...]struct {
	name, words string
	given       bool // to Revoke
}{
	{"unspecified", "no reason is given", true},
	{"keyCompromise", "key compromise", true},
	{"cACompromise", "CA compromise", false},
	{"affiliationChanged", "affiliation changed", true},
	{"superseded", "superseded", true},
	{"cessationOfOperation", "cessation of operation", true},
	{"certificateHold", "certificate hold", false},
	{"7", "reason 7", false},
	removeFromCRL: {"removeFromCRL", "remove from CRL", false},
	{"privilegeWithdrawn", "privilege withdrawn", true},
	{"aACompromise", "AA compromise", false},
}

// removeFromCRL is the reason that only delta lists may give.
const removeFromCRL = 8

// reasonName is the name of a reason, or its code where it has none.
func reasonName(code int) string {
	if code < 0 || code >= len(revocationReasons) {
		return fmt.Sprint(code)
	}
	return revocationReasons[code].name
}

func reasonInWords(code int) string {
	if code < 0 || code >= len(revocationReasons) {
		return fmt.Sprintf("reason %d", code)
	}
	return revocationReasons[code].words
}

// ReasonName is the word that RFC 5280, 5.3.1, has for the reason.
func (r RevokedCertificate) ReasonName() string { return reasonName(r.Reason) }

// RevocationReasons returns the words for a reason, sorted.
func RevocationReasons() []string {
	var words []string
	for _, r := range revocationReasons {
		if r.given {
			words = append(words, r.name)
		}
	}
	slices.Sort(words)
	return words
}

// ParseRevocationReason returns the code of a word; the error lists all of them.
func ParseRevocationReason(word string) (int, error) {
	for code, r := range revocationReasons {
		if r.given && r.name == word {
			return code, nil
		}
	}
	return 0, fmt.Errorf("reason %q is not one of %s", word, strings.Join(RevocationReasons(), ", "))
}
