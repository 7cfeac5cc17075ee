package service

import (
	"io"
	"sync"
)

// bufferSize is the largest that one read of a tls.Conn fills: one record
// (RFC 8446, 5.1).
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyPooled is io.Copy with a buffer from a pool: one of its own for each
// connection would be most of what a connection costs.
func copyPooled(dst io.Writer, src io.Reader) error {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(dst, src, buf[:])
	return err
}
