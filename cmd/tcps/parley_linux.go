package main

import (
	"os"
	"os/signal"
	"syscall"
)

// parleyPair makes the two ends of a parley.
func parleyPair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), kinship), os.NewFile(uintptr(fds[1]), kinship), nil
}

// rights is a descriptor, as it goes along with a packet.
func rights(file *os.File) []byte {
	if file == nil {
		return nil
	}
	return syscall.UnixRights(int(file.Fd()))
}

// descriptor is the one that came along with a packet; nil: none did.
func descriptor(control []byte) *os.File {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err == nil && len(fds) > 0 { // we send one at a time
			return os.NewFile(uintptr(fds[0]), "socket")
		}
	}
	return nil
}

// closeInPrograms has the pipes to the process before closed in programs that
// this one runs. tableflip does not, and they are its first two descriptors.
func closeInPrograms() {
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
}

func notifyUpgrade(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR2) }
