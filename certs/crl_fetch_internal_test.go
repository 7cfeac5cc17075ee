package certs

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Inside the package, because nothing sets the clock of a test.
func TestListsAreFetchedWhenAMachineHasSleptOrItsClockWasSet(t *testing.T) {
	f, err := NewCRLFetcher(CRLFetcherOptions{URLs: []string{"http://127.0.0.1:1/list"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := f.sources[0]
	wait := f.attempt(ctx, s).Next
	if strings.Contains(s.due.String(), " m=") {
		t.Errorf("the next attempt is at %v: by a clock that stands still while the machine sleeps", s.due)
	}
	now := s.due.Add(-wait)
	for name, c := range map[string]struct {
		now  time.Time
		want bool
	}{
		"a second later":          {now.Add(time.Second), false},
		"in time":                 {now.Add(wait), true},
		"after a night of sleep":  {now.Add(8 * time.Hour), true},
		"set back by ten minutes": {now.Add(-10 * time.Minute), false},
		"set back by a day":       {now.Add(-day), true},
	} {
		if got := s.isDue(c.now); got != c.want {
			t.Errorf("%s: due %v, want %v", name, got, c.want)
		}
	}
}
