//go:build !windows

package wire

import "syscall"

// A write after the peer's reset gives EPIPE.
var resets = []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}

// waiting is whether something can be read.
func waiting(fd uintptr) bool {
	n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n > 0
}

// peerOf is ENOTCONN once a connection was reset, or has ended on both sides.
func peerOf(fd uintptr) error {
	_, err := syscall.Getpeername(int(fd))
	return err
}
