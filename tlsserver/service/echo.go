package service

import (
	"context"
	"io"

	"tcps/tlsserver"
)

// Echo sends back what it receives, byte for byte and with back-pressure: it
// reads on only when the peer has taken what was sent. It ends when the peer
// ends its side; what a truncated peer sent is echoed too.
func Echo() tlsserver.Handler { return tlsserver.HandlerFunc(echo) }

func echo(_ context.Context, c *tlsserver.Conn) error {
	_, err := io.Copy(c, c)
	return err
}
