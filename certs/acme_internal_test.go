package certs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// What an authority answers comes to logs, and with each handshake that is refused.
func TestAnAnswerOfAnAuthorityIsFitForALog(t *testing.T) {
	problem := acme.Problem{
		Type: acme.ProblemTypeNamespace + "rejectedIdentifier", Detail: "no \x1b[31m way", Status: 400,
		Subproblems: []acme.Subproblem{{Problem: acme.Problem{Type: "x", Detail: "forbidden"}, Identifier: acme.Identifier{Value: "a.test"}}},
	}
	for want, err := range map[string]error{
		`the authority answered rejectedIdentifier: no \x1b[31m way (HTTP 400); for a.test: x: forbidden`: fmt.Errorf("[a.test] Obtain: %w", problem),
		`HTTP 500: \x1b]0;x\a`: certmagic.ErrNoRetry{Err: errors.New("HTTP 500: \x1b]0;x\a")},
	} {
		if got := inWordsOf(err); got.Error() != want || errors.Unwrap(got).Error() != err.Error() {
			t.Errorf("in words: %s, want %s", got, want)
		}
	}
	if got := inWordsOf(errors.New(strings.Repeat("é", 1<<20))).Error(); len([]rune(got)) != maxWords+1 {
		t.Errorf("an answer of a million characters is told by %d", len([]rune(got)))
	}
}
