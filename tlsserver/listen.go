package tlsserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"tcps/internal/endpoint"
)

// Listen listens on an endpoint, without serving it yet: a Unix socket gets its
// mode and owner before anybody can connect, and one that a dead process left
// behind is replaced. Whether the endpoint means TLS is for the caller to
// heed: Serve or ServePlain.
func Listen(ctx context.Context, endpoint string) (net.Listener, error) {
	l, _, err := listen(ctx, endpoint)
	return l, err
}

func listen(ctx context.Context, s string) (l net.Listener, secure bool, err error) {
	e, err := endpoint.Parse(s)
	if err != nil {
		return nil, false, err
	}
	if e.IsUnix() {
		l, err = listenUnix(ctx, e)
	} else {
		l, err = (&net.ListenConfig{}).Listen(ctx, e.Network(), e.Address())
	}
	if err != nil {
		return nil, false, fmt.Errorf("listen on %s: %w", e, bare(err))
	}
	return l, e.TLS(), nil
}

// bare leaves out what net puts in front of the cause: the endpoint is named
// already.
func bare(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		return sys.Err
	}
	return err
}

func listenUnix(ctx context.Context, e endpoint.Endpoint) (net.Listener, error) {
	// Between bind and chmod anybody could connect whom the umask lets: so
	// nobody but the owner can until the mode is set.
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error { return restrict(rc, e.Mode) }}
	l, err := lc.Listen(ctx, "unix", e.Path)
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(ctx, e.Path) {
		l, err = lc.Listen(ctx, "unix", e.Path)
	}
	if err != nil {
		return nil, err
	}
	if err := setOwner(e); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func setOwner(e endpoint.Endpoint) error {
	if e.Owner != "" {
		if err := chown(e.Path, e.Owner); err != nil {
			return err
		}
	}
	if e.Mode != 0 {
		return os.Chmod(e.Path, e.Mode)
	}
	return nil
}

// removeStale removes a socket on which nobody listens any more, and nothing else.
func removeStale(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		nc.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}
