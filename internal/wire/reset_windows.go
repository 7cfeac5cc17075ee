package wire

import (
	"syscall"
	"unsafe"
)

var resets = []syscall.Errno{syscall.WSAECONNRESET, syscall.WSAECONNABORTED, syscall.EPIPE}

// waiting is whether something can be read.
func waiting(fd uintptr) bool {
	const fionRead = 0x4004667f // of winsock2.h
	var n, size uint32
	err := syscall.WSAIoctl(syscall.Handle(fd), fionRead, nil, 0, (*byte)(unsafe.Pointer(&n)), uint32(unsafe.Sizeof(n)), &size, nil, 0)
	return err == nil && n > 0
}

// peerOf says nothing: Windows tells of a reset as often as it is asked.
func peerOf(uintptr) error { return nil }
