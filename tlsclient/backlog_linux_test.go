package tlsclient_test

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tcps/tlsclient"
)

// Nobody accepts, and the queue of those who wait to be is full: the kernel
// answers no SYN any more, as a host does that is away.
func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 32 { // until one is not answered
		c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			break
		}
		defer c.Close()
	}
	endpoint := "tcps://" + l.Addr().String()
	start := time.Now()
	_, err = (&tlsclient.Dialer{Timeout: 100 * time.Millisecond}).Dial(t.Context(), endpoint)
	took(t, start, "a connect with a timeout of 100 ms")
	if failed := wantFailure(t, err, "timeout:connect", 4, "connect to "+endpoint); !failed.NotReached || !failed.Timeout() {
		t.Errorf("NotReached %v, Timeout %v; want both", failed.NotReached, failed.Timeout())
	}
}
