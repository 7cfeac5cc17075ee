package terminal_test

import (
	"bytes"
	"testing"

	"tcps/internal/terminal"
)

// The same comes out however what goes in is cut.
func TestAWriterSteersNoTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"hello\r\n":               "hello\n",
		"a\nb\r\n\r\nc":           "a\nb\n\nc",
		"a\tb":                    "a\tb",
		"\x1b]0;title\x07\x1b[2J": `\x1b]0;title\a\x1b[2J`,
		"over\rwritten":           `over\rwritten`,
		"\r\r\n":                  "\\r\n",
		"Zürich 東京 😀":             "Zürich 東京 😀",
		"bad \xff\xf0\x9f":        `bad \xff\xf0\x9f`,
		"\u202eright":             `\u202eright`,
		"ends in \r":              `ends in \r`,
		"\x80\x9b31m":             `\x80\x9b31m`,
	} {
		for size := 1; size <= len(in); size++ {
			var out bytes.Buffer
			w := terminal.NewWriter(&out)
			for rest := []byte(in); len(rest) > 0; {
				n := min(size, len(rest))
				if got, err := w.Write(rest[:n]); got != n || err != nil {
					t.Fatalf("Write returned %d, %v", got, err)
				}
				rest = rest[n:]
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Errorf("%q, %d bytes at a time, came out as %q, want %q", in, size, out.String(), want)
			}
		}
	}
}
