package tlsserver

import (
	"fmt"
	"net"
	"os"

	"tcps/internal/endpoint"
)

// TakeOver makes a second listener on the socket of one that Listen has made,
// so that another server can serve there and the first can end, and no client
// is refused between. The endpoint is that of the second one: the same address,
// perhaps with another scheme. Closing the second listener leaves the file of a
// Unix socket alone until Settle has been called. Not on Windows.
func TakeOver(l net.Listener, s string) (net.Listener, error) {
	e, err := endpoint.Parse(s)
	if err != nil {
		return nil, err
	}
	second, err := takeOver(l, e)
	if err != nil {
		return nil, fmt.Errorf("take over %s: %w", e, bare(err))
	}
	return second, nil
}

func takeOver(l net.Listener, e endpoint.Endpoint) (net.Listener, error) {
	if e.Owner != "" { // Settle is too late to find that nobody has this name
		if _, _, err := ownerIDs(e.Owner); err != nil {
			return nil, err
		}
	}
	filer, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T cannot be", l)
	}
	file, err := filer.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

// Adopt makes a listener of a socket that another process has opened: the one
// before this one, or systemd. The file is the caller's to close. Closing the
// listener leaves the file of a Unix socket alone, which Settle changes. Not on
// Windows.
func Adopt(file *os.File) (net.Listener, error) {
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("adopt the socket %s: %w", file.Name(), bare(err))
	}
	if err := accepts(l); err != nil {
		l.Close()
		return nil, fmt.Errorf("adopt the socket %s: %w", file.Name(), err)
	}
	return l, nil
}

// Settle ends what TakeOver has begun: the first listener no longer removes the
// file of a Unix socket when it is closed, the second does, and the file gets
// the mode and the owner of the endpoint. The error is about those. The first is
// nil where another process has it.
func Settle(first, second net.Listener, s string) error {
	after, ok := second.(*net.UnixListener)
	if !ok {
		return nil
	}
	if before, ok := first.(*net.UnixListener); ok {
		before.SetUnlinkOnClose(false)
	}
	after.SetUnlinkOnClose(true)
	e, err := endpoint.Parse(s)
	if err != nil {
		return err
	}
	if err := setOwner(e); err != nil {
		return fmt.Errorf("take over %s: %w", e, bare(err))
	}
	return nil
}
