package tlsserver_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

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

// A server with certificates in files, which our own authority has made; they are
// what openssl req and openssl x509 are for elsewhere.
func ExampleServer_SetTrust() {
	dir, err := os.MkdirTemp("", "tutorial")
	check(err)
	defer os.RemoveAll(dir)
	authority, err := certs.NewAuthority(certs.AuthorityOptions{}) // kept: certs.OpenOrCreateAuthority
	check(err)
	issued, err := authority.Issue(certs.Request{Names: []string{"localhost", "127.0.0.1"}})
	check(err)
	cert, key, err := issued.Write(dir, false)
	check(err)

	files, err := certs.LoadFiles(certs.Pair{Cert: cert, Key: key}) // what you have: server.pem, server.key
	check(err)
	server := &tlsserver.Server{Handler: service.Greet("welcome!\n", service.Echo())}
	check(server.SetTrust(&tlsserver.Trust{Source: files}))                // again with files.Reload(), while clients go on
	l, err := tlsserver.Listen(context.Background(), "tcps://127.0.0.1:0") // yours: tcps://127.0.0.1:8000
	check(err)
	go server.Serve(context.Background(), l)
	defer server.Close()

	conn, err := (&tlsclient.Dialer{RootCAs: authority.Pool()}).Dial(context.Background(), "tcps://"+l.Addr().String())
	check(err)
	defer conn.Close()
	check(conn.CloseWrite())
	said, err := io.ReadAll(conn)
	fmt.Printf("%q %v\n", said, err)

	var stranger tlsclient.Dialer // trusts the system's authorities: rejectUnauthorized is always true
	_, err = stranger.Dial(context.Background(), "tcps://"+l.Addr().String())
	if refused, ok := errors.AsType[*tlsclient.Error](err); ok {
		fmt.Println(refused.Reason)
	}
	// Output:
	// "welcome!\n" <nil>
	// untrusted
}

// A server that asks for client certificates, knows who came, and lets in one of two.
func ExampleTrust() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	check(err)
	source, err := authority.Source([]string{"localhost", "127.0.0.1"}, 0)
	check(err)
	billing, err := tlsserver.ParseRule(tlsserver.RuleCN, "billing")
	check(err)
	server := &tlsserver.Server{Handler: tlsserver.HandlerFunc(func(ctx context.Context, c *tlsserver.Conn) error {
		_, err := fmt.Fprintf(c, "hello, %s\n", c.Identity()) // c.Identity().Certificate has all of it
		return err
	})}
	check(server.SetTrust(&tlsserver.Trust{
		Source:    source,
		ClientCAs: authority.Pool(), // requestCert and rejectUnauthorized
		Policy:    &tlsserver.Policy{Allow: []tlsserver.Rule{billing}},
	}))
	l, err := tlsserver.Listen(context.Background(), "tcps://127.0.0.1:0")
	check(err)
	go server.Serve(context.Background(), l)
	defer server.Close()

	for _, name := range []string{"billing", "mallory"} {
		issued, err := authority.Issue(certs.Request{Names: []string{name}, Client: true})
		check(err)
		dialer := &tlsclient.Dialer{RootCAs: authority.Pool(), Source: certs.Static(issued.Certificate)}
		conn, err := dialer.Dial(context.Background(), "tcps://"+l.Addr().String())
		check(err) // in TLS 1.3 a client is refused behind its handshake: at the first read
		said, err := io.ReadAll(conn)
		if refused, ok := errors.AsType[*tlsclient.Error](err); ok {
			fmt.Println(name, "is refused:", refused.Reason)
		}
		fmt.Printf("%s", said)
		conn.Close()
	}
	// Output:
	// hello, billing
	// mallory is refused: peer-refused-us:bad_certificate
}

// Other rules for clients that ask for another name, and what they mean for whom.
func ExampleServer_Judge() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	check(err)
	source, err := authority.Source([]string{"localhost", "admin.localhost"}, 0)
	check(err)
	admin, err := tlsserver.ParseRule(tlsserver.RuleCN, "admin")
	check(err)
	server := new(tlsserver.Server)
	check(server.SetTrust(&tlsserver.Trust{
		Source: source,
		Names: []tlsserver.NameTrust{{
			Names:     []string{"admin.localhost"},
			ClientCAs: authority.Pool(),
			Policy:    &tlsserver.Policy{Allow: []tlsserver.Rule{admin}},
		}},
	}))
	alice, err := authority.Issue(certs.Request{Names: []string{"alice"}, Client: true})
	check(err)
	for _, name := range []string{"localhost", "admin.localhost"} {
		verdict, err := server.Judge(context.Background(), tlsserver.Visitor{
			ServerName: name,
			Chain:      []*x509.Certificate{alice.Certificate.Leaf},
		})
		check(err)
		fmt.Println(name, verdict.Reason)
	}
	// Output:
	// localhost done
	// admin.localhost policy:allow-cn
}

// check ends the program at an error: the examples are those of docs/tutorial.md.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
