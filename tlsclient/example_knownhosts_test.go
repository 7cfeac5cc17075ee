package tlsclient_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"tcps/tlsclient"
)

// A server that no authority vouches for is known by the key that it showed the
// first time.
func ExampleKnownHosts() {
	_, endpoint, stop := startEcho()
	defer stop()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	dialer := &tlsclient.Dialer{KnownHosts: tlsclient.NewKnownHosts(filepath.Join(dir, "known_hosts"))}
	for range 2 {
		c, err := dialer.Dial(context.Background(), endpoint)
		if err != nil {
			log.Fatal(err)
		}
		_, learned := c.KnownHost()
		fmt.Println("a new server:", learned)
		c.Close()
	}
	// Output:
	// a new server: true
	// a new server: false
}
