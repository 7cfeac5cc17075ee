package tlsserver_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"tcps/certs"
	"tcps/tlsclient"
	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

// A service of one's own, and a client that visits it.
func Example() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		log.Fatal(err)
	}
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	server := &tlsserver.Server{Handler: tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		_, err := fmt.Fprintf(c, "you are %s\n", c.RemoteAddr().Network())
		return err
	})}
	if err := server.SetTrust(&tlsserver.Trust{Source: source}); err != nil {
		log.Fatal(err)
	}
	l, err := tlsserver.Listen(context.Background(), "tcps://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	defer server.Close()

	dialer := &tlsclient.Dialer{RootCAs: authority.Pool()}
	conn, err := dialer.Dial(context.Background(), "tcps://"+l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	answer, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(answer))
	// Output: you are tcp
}

// A TLS service that greets and echoes, with a certificate from files.
func ExampleServer() {
	files, err := certs.LoadFiles(certs.Pair{Cert: "server.pem", Key: "server.key"})
	if err != nil {
		log.Fatal(err)
	}
	server := &tlsserver.Server{Handler: service.Greet("hello\r\n", service.Echo())}
	if err := server.SetTrust(&tlsserver.Trust{Source: files}); err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.ListenAndServe(context.Background(), "tcps://127.0.0.1:8120"))
}

// Only clients of our authority get in, and of those only two.
func ExamplePolicy() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		log.Fatal(err)
	}
	source, err := authority.Source([]string{"localhost"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	var allow []tlsserver.Rule
	for _, name := range []string{"billing", "reports"} {
		rule, err := tlsserver.ParseRule(tlsserver.RuleCN, name)
		if err != nil {
			log.Fatal(err)
		}
		allow = append(allow, rule)
	}
	server := &tlsserver.Server{Handler: service.Echo()}
	err = server.SetTrust(&tlsserver.Trust{
		Source:    source,
		ClientCAs: authority.Pool(),
		Policy:    &tlsserver.Policy{Allow: allow},
	})
	fmt.Println(err, allow)
	// Output: <nil> [cn=billing cn=reports]
}
