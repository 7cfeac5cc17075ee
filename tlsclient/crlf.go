package tlsclient

import (
	"bytes"
	"io"
)

// A crlfWriter ends lines with \r\n. It remembers what it wrote last, so that a
// \r\n that comes in two parts stays one.
type crlfWriter struct {
	w       io.Writer
	afterCR bool
}

func (c *crlfWriter) Write(b []byte) (int, error) {
	lines := make([]byte, 0, len(b)+bytes.Count(b, []byte("\n")))
	for _, char := range b {
		if char == '\n' && !c.afterCR {
			lines = append(lines, '\r')
		}
		lines = append(lines, char)
		c.afterCR = char == '\r'
	}
	if _, err := c.w.Write(lines); err != nil {
		return 0, err
	}
	return len(b), nil
}
