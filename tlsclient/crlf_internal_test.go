package tlsclient

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// The same is sent however it is cut.
func TestLinesEndInCRLFOnce(t *testing.T) {
	const in, want = "a\nb\r\n\n\r\r\nc\rd\n", "a\r\nb\r\n\r\n\r\r\nc\rd\r\n"
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		w := &crlfWriter{w: &out}
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			if got, err := w.Write(rest[:n]); got != n || err != nil {
				t.Fatalf("Write returned %d, %v", got, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("%d bytes at a time: %q, want %q", size, out.String(), want)
		}
	}
	broken := &crlfWriter{w: brokenWriter{}}
	if n, err := broken.Write([]byte("a\n")); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write that failed returned %d, %v", n, err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
