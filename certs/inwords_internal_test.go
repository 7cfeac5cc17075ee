package certs

import (
	"testing"
	"time"
)

// Certificates that have no end are given the year 9999, which is further away than
// a time.Duration can say.
func TestTimesAreInWordsHoweverFarAway(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 5, time.UTC)
	for _, tt := range []struct {
		to   time.Time
		want string
	}{
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "7979 years"},
		{now.Add(48 * time.Hour), "2 days"},
		{now.Add(48*time.Hour - 1), "47 hours"},
		{now.Add(90 * time.Second), "90 seconds"},
		{now.Add(time.Second), "1 second"},
		{now, "0 seconds"},
	} {
		if got := inWords(now, tt.to); got != tt.want {
			t.Errorf("from %v to %v: %q, want %q", now, tt.to, got, tt.want)
		}
	}
}
