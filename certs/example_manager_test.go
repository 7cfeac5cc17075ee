package certs_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"tcps/certs"
)

// The local authority issues, and the Manager keeps what it issues in a folder and renews it.
func ExampleManager() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	authority, _, err := certs.OpenOrCreateAuthority(filepath.Join(dir, "authority"), certs.AuthorityOptions{})
	if err != nil {
		log.Fatal(err)
	}
	storage, err := certs.OpenFileStorage(filepath.Join(dir, "storage"))
	if err != nil {
		log.Fatal(err)
	}
	manager := &certs.Manager{Names: []string{"localhost"}, Storage: storage, Issuer: authority.Issuer(0)}
	if err := manager.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	config := &tls.Config{GetCertificate: manager.Certificate}

	fmt.Println(manager.Leaves()["localhost"].DNSNames, config.GetCertificate != nil)
	// Output: [localhost] true
}

// A certificate from Let's Encrypt, proved on the listener of the service itself.
func ExampleACME() {
	storage, err := certs.OpenFileStorage("/var/lib/service")
	if err != nil {
		log.Fatal(err)
	}
	issuer := &certs.ACME{Agreed: true, Email: "me@example.org", Listener: netip.MustParseAddrPort("[::]:443")}
	manager := &certs.Manager{Names: []string{"db.example.org"}, Storage: storage, Issuer: issuer}
	if err := manager.Start(context.Background()); err != nil { // once the listener is up
		log.Fatal(err)
	}
	defer manager.Close()
	config := &tls.Config{GetCertificate: manager.Certificate}
	fmt.Println(config.GetCertificate != nil)
}
