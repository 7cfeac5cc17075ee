package wire

import "syscall"

var resets = []syscall.Errno{syscall.WSAECONNRESET, syscall.WSAECONNABORTED, syscall.EPIPE}
