package service

import (
	"bufio"
	"fmt"
	"io"

	"tcps/internal/reason"
	"tcps/internal/wire"
	"tcps/tlsserver"
)

// eachChunk calls say with what each read gives, until the end. say must not
// keep it.
func eachChunk(r io.Reader, say func([]byte)) error {
	buf := wire.Buffer()
	defer wire.Release(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			say(buf[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// eachLine calls say with each line and its newline, until the end. say must
// not keep it. The last line may lack its newline at a clean end, and gets one;
// one that was cut otherwise is dropped.
func eachLine(r io.Reader, maxBytes int, say func([]byte)) error {
	lines := lineReader{buffered: bufio.NewReader(r), maxBytes: maxBytes}
	for {
		line, err := lines.next()
		switch {
		case err == nil:
			say(line)
			continue
		case err != io.EOF:
			return err
		case len(line) > 0:
			say(append(line, '\n'))
		}
		return nil
	}
}

// A lineReader holds no more of a line than its bound and a buffer.
type lineReader struct {
	buffered *bufio.Reader
	maxBytes int // of a line, without its newline
}

// next returns the next line, valid until the one after it; with io.EOF what
// came after the last newline.
func (l *lineReader) next() ([]byte, error) {
	var line []byte // what did not fit into the buffer
	for {
		part, err := l.buffered.ReadSlice('\n')
		n := len(line) + len(part)
		if err == nil {
			n--
		}
		if n > l.maxBytes {
			return nil, tlsserver.WithReason(reason.Limit("line"), fmt.Errorf("read a line: it is longer than %d bytes", l.maxBytes))
		}
		if err == nil && line == nil {
			return part, nil
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}
