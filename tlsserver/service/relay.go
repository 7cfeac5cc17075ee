package service

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"

	"tcps/internal/wire"
)

// A side is one end of a tunnel.
type side interface {
	net.Conn
	CloseWrite() error
	Reset() error
}

// relay carries bytes both ways until both sides have ended. The end of one
// side's sending ends ours to the other, a cut one too; a reset on one side is
// a reset on the other.
func relay(ctx context.Context, client, target side) error {
	defer context.AfterFunc(ctx, func() { target.Close() })()
	back := make(chan error, 1)
	go func() { back <- carry(client, target) }()
	there := carry(target, client)
	return cmp.Or(there, <-back)
}

// carry is one direction of a tunnel.
func carry(dst, src side) error {
	err := copyPooled(dst, src)
	switch {
	case wire.IsReset(err):
		dst.Reset()
		src.Reset()
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
		dst.CloseWrite()
	}
	return err
}
