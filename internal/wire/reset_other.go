//go:build !windows

package wire

import "syscall"

// A write after the peer's reset gives EPIPE.
var resets = []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
