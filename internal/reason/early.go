package reason

import (
	"errors"
	"io"
	"syscall"

	"tcps/internal/wire"
)

// BeforeHello gives an end that came before the server's hello its reason. The
// server may have read nothing of ours, and then it depends on who was faster
// whether its end or a reset is seen: both are ClosedBeforeHello. Other errors stay
// as they are.
func BeforeHello(err error) error {
	switch {
	case wire.IsReset(err):
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			err = errno // no address: the peer is named already
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = io.ErrUnexpectedEOF
	default:
		return err
	}
	return &Error{ClosedBeforeHello, closedEarly{err}}
}

// closedEarly is an end whose text does not depend on who was faster.
type closedEarly struct{ cause error }

func (closedEarly) Error() string   { return "the server closed the connection before the handshake" }
func (e closedEarly) Unwrap() error { return e.cause }
