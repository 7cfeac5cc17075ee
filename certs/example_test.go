package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"tcps/certs"
)

// A server's certificate from files, and the same files read again after they changed.
func ExampleLoadFiles() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		log.Fatal(err)
	}
	issued, err := authority.Issue(certs.Request{Names: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		log.Fatal(err)
	}
	cert, key, err := issued.Write(dir, false)
	if err != nil {
		log.Fatal(err)
	}

	files, err := certs.LoadFiles(certs.Pair{Cert: cert, Key: key})
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{GetCertificate: files.Certificate}
	fmt.Println(filepath.Base(cert), files.Leaves()[0].DNSNames, config.GetCertificate != nil)

	files, err = files.Reload() // on an error, the files that serve go on
	fmt.Println(files != nil, err)
	// Output:
	// localhost.pem [localhost] true
	// true <nil>
}

// The local authority makes a server's certificate by itself and keeps it fresh.
func ExampleAuthority_Source() {
	authority, err := certs.NewAuthority(certs.AuthorityOptions{HostName: "box"})
	if err != nil {
		log.Fatal(err)
	}
	names, leftOut := authority.ServerNames("localhost", "box", "127.0.0.1", "example.com")
	source, err := authority.Source(names, 0)
	if err != nil {
		log.Fatal(err)
	}
	server := &tls.Config{GetCertificate: source.Certificate}
	client := &tls.Config{RootCAs: authority.Pool(), ServerName: "box"}
	fmt.Println(names, leftOut, server.GetCertificate != nil, client.ServerName)
	// Output: [localhost box 127.0.0.1] [example.com] true box
}

// A request for an authority, and what ours makes of it: openssl req -new, and
// openssl x509 -req.
func ExampleNewCSR() {
	csr, err := certs.NewCSR(certs.Request{Names: []string{"www.internal", "10.0.0.5"}}, nil) // nil: with a new key
	check(err)
	block, _ := pem.Decode(csr.RequestPEM)
	request, err := x509.ParseCertificateRequest(block.Bytes) // of a file: certs.ReadCSR
	check(err)

	authority, err := certs.NewAuthority(certs.AuthorityOptions{})
	check(err)
	issued, err := authority.SignCSR(request, certs.Request{}) // its key, for the names in it
	check(err)
	leaf := issued.Certificate.Leaf
	fmt.Println(leaf.DNSNames, leaf.IPAddresses, leaf.Version)
	// Output: [www.internal] [10.0.0.5] 3
}

// check ends the program at an error: the example is one of docs/tutorial.md.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
