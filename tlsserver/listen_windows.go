package tlsserver

import (
	"errors"
	"io/fs"
	"syscall"
)

func restrict(syscall.RawConn, fs.FileMode) error { return nil }

func chown(string, string) error {
	return errors.New("a Unix socket's owner cannot be set on Windows")
}
