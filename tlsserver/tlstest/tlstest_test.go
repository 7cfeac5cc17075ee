package tlstest_test

import (
	"io"
	"testing"

	"go.uber.org/goleak"

	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServerItsDialerAndItsEnds(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello", nil))
	c := s.Dial(s.Dialer())
	if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	c.Close()
	if e := s.WaitEnded(); e.Reason != "done" {
		t.Errorf("reason %q", e.Reason)
	}
}

func TestDialerAsHasACertificateThatTheServerKnows(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, service.Echo())
	s.Trust.ClientCAs = s.Authority.Pool()
	s.Start()
	c := s.Dial(s.DialerAs("alice"))
	c.CloseWrite()
	if got := s.WaitEnded().Conn.Identity().CommonName; got != "alice" {
		t.Errorf("identity %q, want alice", got)
	}
}
