package service_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// startTLSTunnel leads to a target of the test's own, which gets the first
// connection, and gives a client that has gone over to TLS.
func startTLSTunnel(t *testing.T, protocol, request string) (s *tlstest.Server, target net.Conn, client *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s = tlstest.NewUnstartedServer(t, &service.Forward{Targets: service.NewTargets("tcp://" + l.Addr().String())})
	s.Config.StartTLS = protocol
	s.Start()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	plain := bufio.NewReader(nc)
	plain.ReadString('\n')
	io.WriteString(nc, request)
	plain.ReadString('\n')
	client = tls.Client(nc, &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost"})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if target, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return s, target, client
}

func TestTheGreetingOfTheTargetDoesNotComeASecondTime(t *testing.T) {
	s, target, client := startTLSTunnel(t, "pop3", "STLS\r\n")
	io.WriteString(target, "+OK target\r\n+OK answer\r\n")
	if line, err := bufio.NewReader(client).ReadString('\n'); line != "+OK answer\r\n" {
		t.Errorf("the client reads %q, %v", line, err)
	}
	client.Close()
	target.Close()
	s.WaitEnded()
}

func TestATargetThatDoesNotGreetDoesNotHoldUpTheEnd(t *testing.T) {
	s, _, _ := startTLSTunnel(t, "smtp", "STARTTLS\r\n")
	begun := time.Now()
	s.Config.Close()
	if e := s.WaitEnded(); e.Reason != tlsserver.ReasonShutdown || time.Since(begun) > 5*time.Second {
		t.Errorf("reason %q (%v) after %v", e.Reason, e.Err, time.Since(begun))
	}
}

func TestATargetThatIsNoneOfTheProtocol(t *testing.T) {
	s, target, client := startTLSTunnel(t, "smtp", "STARTTLS\r\n")
	io.WriteString(target, "SSH-2.0-x\r\n")
	target.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("the client reads %q, %v; want a clean close", got, err)
	}
	client.Close()
	if e := s.WaitEnded(); e.Reason != "target:failed" || !strings.Contains(e.Err.Error(), `the server says "SSH-2.0-x"`) {
		t.Errorf("reason %q (%v)", e.Reason, e.Err)
	}
}
