package certs

import (
	"errors"
	"fmt"
	"time"
)

// Warnings returns a sentence for each part of the authority that nears its end and does not renew itself, as of now,
// with what to do.
func (a *Authority) Warnings() []string {
	now := time.Now()
	var warnings []string
	if w := validityWarning("the root", a.root, now); w != "" {
		warnings = append(warnings, w+"; tcps certs init --rollover makes a new one while this one is trusted still")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.current.certificate; c != a.root && isDue(c, now) && !c.NotAfter.Equal(a.root.NotAfter) {
		warnings = append(warnings, fmt.Sprintf("the intermediate expires %s and was not renewed: %v", moment(c.NotAfter, now), a.whyNotRenewedLocked()))
	}
	if a.current.certificate != a.root {
		for _, older := range a.older {
			if older.MaxPathLen == 1 || older.MaxPathLen == 0 && older.MaxPathLenZero {
				warnings = append(warnings, fmt.Sprintf("the older root %q leaves no room for an intermediate of the new one: its clients need the new root.pem", older.Subject.CommonName))
			}
		}
	}
	return warnings
}

func (a *Authority) whyNotRenewed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.whyNotRenewedLocked()
}

// whyNotRenewedLocked says what to do about an intermediate that is due. The caller holds mu.
func (a *Authority) whyNotRenewedLocked() error {
	if a.failure == nil {
		return errors.New("the root ends too: tcps certs init --rollover makes a new one")
	}
	return fmt.Errorf("%w; put the root's key back and run tcps certs crl, which renews it", a.failure)
}
