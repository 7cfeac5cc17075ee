//go:build !windows

package wire

import "syscall"

// A write after the peer's reset gives EPIPE.
var resets = []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}

// peerOf is ENOTCONN once a connection was reset, or has ended on both sides.
func peerOf(fd uintptr) error {
	_, err := syscall.Getpeername(int(fd))
	return err
}
