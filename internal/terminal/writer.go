package terminal

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// A Writer passes on what a stranger says as Printable does, but for line ends
// and tabs: \n and \r\n both end a line, as \n. What may be the beginning of a
// character or of a line end waits for the next Write, or for Flush.
type Writer struct {
	w    io.Writer
	rest []byte
}

// NewWriter writes to w. It may not be used concurrently.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write returns len(b), unless w fails.
func (w *Writer) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	keep := unfinished(w.rest)
	if err := w.pass(w.rest[:len(w.rest)-keep]); err != nil {
		return 0, err
	}
	w.rest = append(w.rest[:0], w.rest[len(w.rest)-keep:]...)
	return len(b), nil
}

// Flush writes what waits for more that does not come.
func (w *Writer) Flush() error {
	err := w.pass(w.rest)
	w.rest = w.rest[:0]
	return err
}

// unfinished is how many bytes at the end of b could be a part of something.
func unfinished(b []byte) int {
	if bytes.HasSuffix(b, []byte("\r")) {
		return 1
	}
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if start := b[len(b)-n:]; utf8.RuneStart(start[0]) {
			if utf8.FullRune(start) {
				return 0
			}
			return n
		}
	}
	return 0
}

func (w *Writer) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if ended {
			text = bytes.TrimSuffix(text, []byte("\r"))
		}
		for i, part := range bytes.Split(text, []byte("\t")) {
			if i > 0 {
				out.WriteByte('\t')
			}
			out.WriteString(Printable(string(part)))
		}
		if ended {
			out.WriteByte('\n')
		}
	}
	_, err := w.w.Write(out.Bytes())
	return err
}
