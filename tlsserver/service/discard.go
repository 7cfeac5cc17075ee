package service

import (
	"context"
	"io"

	"tcps/tlsserver"
)

// Discard reads all that the peer sends, and sends nothing.
func Discard() tlsserver.Handler { return tlsserver.HandlerFunc(discard) }

func discard(_ context.Context, c *tlsserver.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}
