package tlsserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/tlsserver"
	"tcps/tlsserver/tlstest"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestTheZeroServerServesNothingInTheClear(t *testing.T) {
	s := &tlsserver.Server{Handler: greetEcho}
	if err := s.Serve(t.Context(), listen(t)); !errors.Is(err, tlsserver.ErrNoTrust) {
		t.Errorf("Serve without a trust value: %v, want ErrNoTrust", err)
	}
	if err := s.ListenAndServe(t.Context(), "127.0.0.1:0"); !errors.Is(err, tlsserver.ErrNoTrust) {
		t.Errorf("ListenAndServe of an endpoint without a scheme: %v, want ErrNoTrust", err)
	}
	if err := (&tlsserver.Server{}).ServePlain(t.Context(), listen(t)); err == nil || !strings.Contains(err.Error(), "no Handler") {
		t.Errorf("without a Handler: %v", err)
	}
}

func TestPlainAndUnixEndpointsServeTheSameHandler(t *testing.T) {
	path := t.TempDir() + "/s"
	for _, endpoint := range []string{"tcp://127.0.0.1:0", "unix://" + path} {
		s := &tlsserver.Server{Handler: greetEcho}
		l, err := tlsserver.Listen(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.ServePlain(t.Context(), l) }()
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		greeted(t, c)
		s.Close()
		if err := <-served; !errors.Is(err, tlsserver.ErrServerClosed) {
			t.Errorf("%s: Serve returned %v, want ErrServerClosed", endpoint, err)
		}
	}
}

// holder holds its connections until it is told to let go.
func holder() (h tlsserver.Handler, arrived chan struct{}, release chan struct{}) {
	arrived, release = make(chan struct{}, 100), make(chan struct{})
	return tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		arrived <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}), arrived, release
}

func TestShutdownLetsConnectionsEndByThemselves(t *testing.T) {
	draining := make(chan struct{})
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		io.WriteString(c, "hello")
		<-c.Draining()
		close(draining)
		_, err := io.WriteString(c, "good-bye")
		return err
	}))
	c := s.Dial(s.Dialer())
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Config.Shutdown(t.Context()) }()
	<-draining
	if nc, err := net.Dial("tcp", s.Addr); err == nil {
		nc.Close()
		t.Error("a drained server still accepts")
	}
	if b, err := io.ReadAll(c); string(b) != "good-bye" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Config.Serve(t.Context(), listen(t)); !errors.Is(err, tlsserver.ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v, want ErrServerClosed", err)
	}
}

func TestShutdownClosesWhatIsLeftAtItsDeadlineAndCloseWorksAfterIt(t *testing.T) {
	h, arrived, _ := holder()
	s := tlstest.NewServer(t, h)
	c := s.Dial(s.Dialer())
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Config.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want the deadline's error", err)
	}
	wantReason(t, s, tlsserver.ReasonShutdown)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client read %v, want a clean end by close_notify", err)
	}
	if err := s.Config.Close(); err != nil {
		t.Errorf("Close after Shutdown: %v", err)
	}
}

func TestCloseAndShutdownMayBeCalledTwiceAndAtOnce(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	h, arrived, _ := holder()
	s := tlstest.NewServer(t, h)
	var clients []net.Conn
	for range 20 {
		clients = append(clients, s.Dial(s.Dialer()))
		<-arrived
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	var calls sync.WaitGroup
	for range 5 {
		calls.Go(func() { s.Config.Close() })
		calls.Go(func() { s.Config.Shutdown(canceled) })
	}
	calls.Wait()
	s.Config.Close()
	if err := s.Config.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown after Close: %v", err)
	}
	s.Close()
	for _, c := range clients {
		c.Close()
	}
	goleak.VerifyNone(t, ignore)
}

func TestCloseEndsConnectionsInEveryState(t *testing.T) {
	h, arrived, _ := holder()
	s := tlstest.NewServer(t, h)
	silent, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	shaking, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer shaking.Close()
	shaking.Write(captureHello(t))
	if _, err := shaking.Read(make([]byte, 1)); err != nil { // the server's flight has begun
		t.Fatal(err)
	}
	s.Dial(s.Dialer())
	<-arrived
	s.Config.Close()
	for range 3 {
		wantReason(t, s, tlsserver.ReasonShutdown)
	}
}

func TestAWriteThatIsStuckDoesNotHoldUpClose(t *testing.T) {
	arrived := make(chan struct{})
	s := tlstest.NewServer(t, tlsserver.HandlerFunc(func(_ context.Context, c *tlsserver.Conn) error {
		close(arrived)
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil { // the client does not read
				return err
			}
		}
	}))
	s.Dial(s.Dialer())
	<-arrived
	s.Config.Close()
	wantReason(t, s, tlsserver.ReasonShutdown)
}

func TestTheEndOfServesCtxMeansClose(t *testing.T) {
	h, arrived, _ := holder()
	s := &tlsserver.Server{Handler: h}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := listen(t), listen(t)
	served := make(chan error, 2)
	go func() { served <- s.ServePlain(ctx, first) }()
	go func() { served <- s.ServePlain(context.Background(), second) }()
	for _, l := range []net.Listener{first, second} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		<-arrived
	}
	cancel()
	for range 2 {
		if err := <-served; !errors.Is(err, tlsserver.ErrServerClosed) {
			t.Errorf("Serve: %v, want ErrServerClosed", err)
		}
	}
}

func TestTheHandlersCtxHasTheValuesOfServesAndEndsWithTheConnection(t *testing.T) {
	type key struct{}
	got := make(chan any, 1)
	ended := make(chan error, 1)
	s := &tlsserver.Server{Handler: tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		got <- ctx.Value(key{})
		sub, cancel := context.WithCancel(ctx)
		defer cancel()
		<-sub.Done()
		ended <- ctx.Err()
		return nil
	})}
	l := listen(t)
	go s.ServePlain(context.WithValue(context.Background(), key{}, "value"), l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v := <-got; v != "value" {
		t.Errorf("the Handler's ctx has %v", v)
	}
	s.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ctx.Err() = %v", err)
	}
}

func TestABusyPortIsNamed(t *testing.T) {
	l := listen(t)
	s := &tlsserver.Server{Handler: greetEcho}
	err := s.ListenAndServe(t.Context(), "tcp://"+l.Addr().String())
	if err == nil || err.Error() != "listen on tcp://"+l.Addr().String()+": address already in use" {
		t.Errorf("ListenAndServe on a busy port: %v", err)
	}
}

func TestListenerGivesOtherServersWhatCameThroughHandshakeAndPolicy(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, nil)
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Trust.Policy = &tlsserver.Policy{Allow: []tlsserver.Rule{rule(t, tlsserver.RuleCN, "alice")}}
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	inner := listen(t)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Proto)
	})}
	served := make(chan error, 1)
	go func() { served <- web.Serve(s.Config.Listener(inner)) }()

	silent, err := net.Dial("tcp", inner.Addr().String()) // holds up nobody
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	get := func(names ...string) (string, error) {
		d := s.DialerAs(names...)
		transport := &http.Transport{DialTLSContext: d.DialContext}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		r, err := client.Get("https://" + inner.Addr().String())
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return string(b), err
	}
	if got, err := get("alice"); got != "alice HTTP/1.1" || err != nil {
		t.Errorf("alice got %q, %v", got, err)
	}
	if got, err := get("mallory"); err == nil {
		t.Errorf("mallory got %q, want a refusal", got)
	}
	web.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the web server ended with %v", err)
	}
	s.Config.Close()
}

func TestServerCloseEndsWhatTheListenerHandedOut(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, nil)
	if err := s.Config.SetTrust(s.Trust); err != nil {
		t.Fatal(err)
	}
	inner := listen(t)
	l := s.Config.Listener(inner)
	client, err := s.Dialer().Dial(t.Context(), "tcps://"+inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !nc.(*tls.Conn).ConnectionState().HandshakeComplete {
		t.Error("Accept returned a connection whose handshake is not done")
	}
	s.Config.Close()
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that was handed out outlived Close")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
	}
}

func TestUnixSocketsGetTheirModeAndStaleOnesAreReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := t.TempDir() + "/s"
	l, err := tlsserver.Listen(t.Context(), "unix://"+path+"?mode=0660")
	if err != nil {
		t.Fatal(err)
	}
	if mode := fileMode(t, path); mode != 0o660 {
		t.Errorf("mode %#o, want 0660", mode)
	}
	if _, err := tlsserver.Listen(t.Context(), "unix://"+path); err == nil {
		t.Error("a socket that is listened on was taken over")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // as a killed process leaves it
	again, err := tlsserver.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	again.Close()
	writeFile(t, path, "precious")
	if _, err := tlsserver.Listen(t.Context(), "unix://"+path); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if got := readFile(t, path); got != "precious" {
		t.Errorf("the file now holds %q", got)
	}
}
