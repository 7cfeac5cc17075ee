package service

import (
	"context"
	"io"

	"tcps/tlsserver"
)

// Greet sends greeting, without waiting for the client, and then calls next;
// nil: nothing more.
func Greet(greeting string, next tlsserver.Handler) tlsserver.Handler {
	return tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		if _, err := io.WriteString(c, greeting); err != nil || next == nil {
			return err
		}
		return next.ServeConn(ctx, c)
	})
}
