package tlsserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"tcps/tlsserver"
)

// naming answers with its name, and ends.
func naming(name string) *tlsserver.Server {
	return &tlsserver.Server{Handler: tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		_, err := io.WriteString(c, name)
		return err
	})}
}

func ask(t *testing.T, network, address string) string {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatalf("a client is refused: %v", err)
	}
	defer nc.Close()
	answer, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("a client is cut: %v", err)
	}
	return string(answer)
}

// Server after server takes the socket over, while clients come without a pause:
// each is answered, and in the end by the last one.
func TestNoClientIsRefusedWhileASocketIsTakenOver(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets cannot be taken over there")
	}
	path := filepath.Join(t.TempDir(), "s")
	for _, endpoint := range []string{"tcp://127.0.0.1:0", "unix://" + path + "?mode=0600"} {
		t.Run(endpoint[:3], func(t *testing.T) {
			l, err := tlsserver.Listen(t.Context(), endpoint)
			if err != nil {
				t.Fatal(err)
			}
			network, address := l.Addr().Network(), l.Addr().String()
			server, served := naming("0"), make(chan error, 1)
			go func() { served <- server.ServePlain(t.Context(), l) }()

			stop, stopped := make(chan struct{}), make(chan struct{})
			asked := 0
			go func() {
				defer close(stopped)
				for {
					ask(t, network, address)
					asked++
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
			for i := 1; i <= 50; i++ {
				next, err := tlsserver.TakeOver(l, endpoint)
				if err != nil {
					t.Fatal(err)
				}
				if err := tlsserver.Settle(l, next, endpoint); err != nil {
					t.Fatal(err)
				}
				successor, nextServed := naming(fmt.Sprint(i)), make(chan error, 1)
				go func() { nextServed <- successor.ServePlain(t.Context(), next) }()
				if err := server.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := <-served; !errors.Is(err, tlsserver.ErrServerClosed) {
					t.Fatal(err)
				}
				server, l, served = successor, next, nextServed
			}
			close(stop)
			<-stopped
			if got := ask(t, network, address); got != "50" {
				t.Errorf("%q answers, want the last one", got)
			}
			t.Logf("%d clients were answered meanwhile", asked)
			if err := server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-served
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket's file is left: %v", err)
			}
		})
	}
}

// One that gives up before Settle leaves everything as it was.
func TestATakeoverThatIsGivenUpLeavesTheSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets cannot be taken over there")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := tlsserver.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	server, served := naming("first"), make(chan error, 1)
	go func() { served <- server.ServePlain(t.Context(), l) }()
	next, err := tlsserver.TakeOver(l, "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	if got := ask(t, "unix", path); got != "first" {
		t.Errorf("%q answers", got)
	}
	server.Close()
	<-served
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

// A lateListener hands a connection out only once its own end has begun.
type lateListener struct {
	net.Listener
	accepted, closed chan struct{}
	once             sync.Once
}

func (l *lateListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.closed
	}
	return nc, err
}

func (l *lateListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Nobody else would serve a client that has been accepted in the moment in which
// a drain begins.
func TestWhoIsAcceptedWhileADrainBeginsIsServed(t *testing.T) {
	inner, err := tlsserver.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lateListener{Listener: inner, accepted: make(chan struct{}), closed: make(chan struct{})}
	server, served := naming("it"), make(chan error, 1)
	go func() { served <- server.ServePlain(t.Context(), l) }()
	shut := make(chan error, 1)
	go func() {
		<-l.accepted
		shut <- server.Shutdown(t.Context())
	}()
	if got := ask(t, "tcp", inner.Addr().String()); got != "it" {
		t.Errorf("the answer is %q", got)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, tlsserver.ErrServerClosed) {
		t.Error(err)
	}
}
