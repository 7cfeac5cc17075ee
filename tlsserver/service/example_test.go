package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// check ends the program at an error: the examples are those of docs/tutorial.md.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A greeting on plain TCP: who connects is told hello before it has said anything.
func ExampleGreet() {
	server := &tlsserver.Server{Handler: service.Greet("hello\r\n", service.Echo())}
	l, err := tlsserver.Listen(context.Background(), "tcp://127.0.0.1:0") // yours: tcp://127.0.0.1:8120
	check(err)
	go server.ServePlain(context.Background(), l)
	defer server.Close()

	conn, err := net.Dial("tcp", l.Addr().String())
	check(err)
	defer conn.Close()
	hello, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Printf("%q %v\n", hello, err)
	// Output: "hello\r\n" <nil>
}

// Server and client in one process, over TLS, with an authority in memory; an
// Observer hears what the server's events say in Node.
func Example() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	check(err)
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	check(err)
	server := &tlsserver.Server{
		Handler: service.Greet("hello\r\n", service.Echo()),
		Observer: tlsserver.ObserverFunc(func(e tlsserver.Event) {
			switch e := e.(type) {
			case tlsserver.Established:
				fmt.Println("client connected")
			case tlsserver.Ended:
				fmt.Println("client disconnected:", e.Reason)
			}
		}),
	}
	check(server.SetTrust(&tlsserver.Trust{Source: source}))
	l, err := tlsserver.Listen(context.Background(), "tcps://127.0.0.1:0")
	check(err)
	go server.Serve(context.Background(), l)

	dialer := &tlsclient.Dialer{RootCAs: authority.Pool()}
	conn, err := dialer.Dial(context.Background(), "tcps://"+l.Addr().String())
	check(err)
	_, err = io.WriteString(conn, "world123!\r\n")
	check(err)
	check(conn.CloseWrite())
	said, err := io.ReadAll(conn)
	check(err)
	check(conn.Close())
	check(server.Shutdown(context.Background())) // waits for connections, as server.close does
	fmt.Printf("%q\n", said)
	// Output:
	// client connected
	// client disconnected: done
	// "hello\r\nworld123!\r\n"
}

// A room of two, whose members are called as their certificates say.
func ExampleBroadcast() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	check(err)
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	check(err)
	server := &tlsserver.Server{Handler: &service.Broadcast{}}
	check(server.SetTrust(&tlsserver.Trust{Source: source, ClientCAs: authority.Pool()}))
	l, err := tlsserver.Listen(context.Background(), "tcps://127.0.0.1:0") // yours: tcps://:5000
	check(err)
	go server.Serve(context.Background(), l)
	defer server.Close()

	enter := func(name string) (*tlsclient.Conn, *bufio.Scanner) {
		issued, err := authority.Issue(certs.Request{Names: []string{name}, Client: true})
		check(err)
		dialer := &tlsclient.Dialer{RootCAs: authority.Pool(), Source: certs.Static(issued.Certificate)}
		conn, err := dialer.Dial(context.Background(), "tcps://"+l.Addr().String())
		check(err)
		lines := bufio.NewScanner(conn)
		lines.Scan()
		fmt.Println(lines.Text()) // Welcome
		return conn, lines
	}
	alice, toAlice := enter("alice")
	defer alice.Close()
	bob, toBob := enter("bob")
	defer bob.Close()

	_, err = io.WriteString(alice, "hello, bob\n")
	check(err)
	toBob.Scan()
	fmt.Println(toBob.Text())
	check(bob.CloseWrite()) // bob leaves
	for toAlice.Scan() {
		fmt.Println(toAlice.Text())
		if toAlice.Text() == "bob left the chat." {
			break
		}
	}
	// Output:
	// Welcome alice
	// Welcome bob
	// alice> hello, bob
	// bob joined the chat
	// bob left the chat.
}
