package tlsserver

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

func restrict(syscall.RawConn, fs.FileMode) error { return nil }

var errNoOwner = errors.New("a Unix socket's owner cannot be set on Windows")

func chown(string, string) error { return errNoOwner }

func ownerIDs(string) (uid, gid int, err error) { return 0, 0, errNoOwner }

func accepts(net.Listener) error { return nil }
