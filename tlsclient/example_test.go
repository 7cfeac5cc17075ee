package tlsclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// startEcho starts an echo server on a free port, with a certificate of an
// authority in memory that the client is to trust.
func startEcho() (authority *certs.Authority, endpoint string, stop func()) {
	return start(service.Echo())
}

// startGreeting is startEcho with a greeting.
func startGreeting() (authority *certs.Authority, endpoint string, stop func()) {
	return start(service.Greet("hello\r\n", service.Echo()))
}

func start(h tlsserver.Handler) (authority *certs.Authority, endpoint string, stop func()) {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "localhost"})
	if err != nil {
		log.Fatal(err)
	}
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	server := &tlsserver.Server{Handler: h}
	if err := server.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	return authority, "tcps://" + l.Addr().String(), func() {
		server.Close()
		<-served
	}
}

// A client sends, ends its side, and reads to the server's end: io.ReadAll
// returns an error if the stream was cut before that.
func ExampleDialer_Dial() {
	authority, endpoint, stop := startEcho()
	defer stop()

	dialer := &tlsclient.Dialer{RootCAs: authority.Pool()} // nil: the system's roots
	conn, err := dialer.Dial(context.Background(), endpoint)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello, world"); err != nil {
		log.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s %v %d\n", answer, err, len(conn.ID()))
	// Output: hello, world <nil> 16
}

// What dialling fails for is one word, and an exit status.
func ExampleError() {
	_, endpoint, stop := startEcho()
	defer stop()

	var dialer tlsclient.Dialer // trusts the system's roots alone
	_, err := dialer.Dial(context.Background(), endpoint)
	if failed, ok := err.(*tlsclient.Error); ok {
		fmt.Println(failed.Reason, failed.Reason.ExitCode(), failed.NotReached)
	}
	// Output: untrusted 6 false
}

// A Session couples a connection with an input and an output; for scripts, it
// ends as soon as an expected text has come.
func ExampleSession() {
	authority, endpoint, stop := startEcho()
	defer stop()

	conn, err := (&tlsclient.Dialer{RootCAs: authority.Pool()}).Dial(context.Background(), endpoint)
	if err != nil {
		log.Fatal(err)
	}
	var out strings.Builder
	session := &tlsclient.Session{Conn: conn, Out: &out, Send: []byte("ping\n"), Expect: []byte("ping")}
	fmt.Println(session.Run(context.Background()))
	fmt.Print(out.String())
	// Output:
	// <nil>
	// ping
}

// The client of docs/tutorial.md: it is greeted, sends a line, ends its side, and
// reads to the server's end.
func Example() {
	authority, endpoint, stop := startGreeting() // the server of step 1, over TLS
	defer stop()

	dialer := &tlsclient.Dialer{RootCAs: authority.Pool()} // nil: the system's authorities
	conn, err := dialer.Dial(context.Background(), endpoint)
	check(err) // a *tlsclient.Error: it knows the reason in one word
	defer conn.Close()
	fmt.Println("connected with", tls.VersionName(conn.TLS().Version))
	_, err = io.WriteString(conn, "world123!\r\n")
	check(err)
	check(conn.CloseWrite())      // socket.end()
	said, err := io.ReadAll(conn) // 'data' … 'end'; a cut or a reset would be an error
	fmt.Printf("%q %v\n", said, err)
	// Output:
	// connected with TLS 1.3
	// "hello\r\nworld123!\r\n" <nil>
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
