package wire_test

import (
	"io"
	"net"
	"testing"

	"tcps/internal/wire"
)

func TestEndAfterHidesWhatThePeerStillSends(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := wire.NewConn(near)
	defer c.Close()
	go io.WriteString(far, "more")
	c.EndAfter([]byte("all"))
	if got, err := io.ReadAll(c); string(got) != "all" || err != nil {
		t.Errorf("read %q, %v; want all and the end", got, err)
	}
}
