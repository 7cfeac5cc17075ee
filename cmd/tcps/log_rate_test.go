package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/tlsserver"
)

func TestAFloodOfOneReasonIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		lines := &lineRate{log: slog.New(slog.NewTextHandler(&b, nil)), most: 3}
		taken := func(why tlsserver.Reason, of int) (n int) {
			for range of {
				if lines.take(why) {
					n++
				}
			}
			return n
		}
		for _, c := range []struct {
			why  tlsserver.Reason
			of   int
			want int
		}{
			{"done", 10, 3},
			{"reset", 2, 2},
			{"done", 5, 0},
			{"limit:rate", 4, 3},
			{"limit:address", 4, 3}, // each limit has its own
			{"policy:deny-cn=a", 2, 2},
			{"policy:deny-cn=b", 2, 1}, // rules have one
		} {
			if got := taken(c.why, c.of); got != c.want {
				t.Errorf("of %d lines for %s %d were taken, want %d", c.of, c.why, got, c.want)
			}
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		for _, want := range []string{"reason=done count=12 limit=--log-rate", "reason=limit:rate count=1 ", "reason=limit:address count=1 ", "reason=policy count=1 "} {
			if strings.Count(b.String(), want) != 1 {
				t.Errorf("the log does not say %q once:\n%s", want, &b)
			}
		}
		if strings.Contains(b.String(), "reset") {
			t.Errorf("nothing was left out for reset, but the log says so:\n%s", &b)
		}
		b.Reset()
		if got := taken("done", 5); got != 3 {
			t.Errorf("in the next second %d lines were taken, want 3", got)
		}
		lines.flush()
		if !strings.Contains(b.String(), "reason=done count=2 ") {
			t.Errorf("at the end it is not said that 2 were left out:\n%s", &b)
		}
		b.Reset()
		time.Sleep(time.Hour)
		if b.Len() > 0 {
			t.Errorf("it is said twice:\n%s", &b)
		}
	})
}

func TestAllLinesWhereThereIsNoRate(t *testing.T) {
	lines := &lineRate{log: slog.New(slog.NewTextHandler(io.Discard, nil)), most: -1}
	for range 1000 {
		if !lines.take("done") {
			t.Fatal("a line was left out")
		}
	}
}
