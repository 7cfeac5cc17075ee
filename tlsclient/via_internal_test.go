package tlsclient

import (
	"io"
	"net/url"
	"strings"
	"testing"
)

// An answering is a proxy whose answers are all there already.
type answering struct {
	io.Reader
	asked strings.Builder
}

func (a *answering) Write(b []byte) (int, error) { return a.asked.Write(b) }

// A proxy says what it likes: we take the answer and not one byte more, and end.
func FuzzViaAnswer(f *testing.F) {
	f.Add("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x15\x38", true)
	f.Add("\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x15\x38", true)
	f.Add("HTTP/1.1 200 OK\r\n\r\n", false)
	f.Add("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 204 OK\nA: b\n\n", false)
	f.Add("HTTP/1.1 407 Who\r\nProxy-Authenticate: \r\n\r\n", false)
	f.Fuzz(func(t *testing.T, answer string, socks bool) {
		const server = "220 the server speaks\r\n"
		connect := connectHTTP
		if socks {
			connect = connectSOCKS
		}
		// what a good answer is does not change with what follows
		in := strings.NewReader(answer)
		if err := connect(&answering{Reader: in}, url.User("alice"), "db.test", 5432); err != nil {
			return
		}
		taken := len(answer) - in.Len()
		in = strings.NewReader(answer[:taken] + server)
		if err := connect(&answering{Reader: in}, url.User("alice"), "db.test", 5432); err != nil {
			t.Fatalf("%q is taken, and not with more behind it: %v", answer[:taken], err)
		}
		if rest, _ := io.ReadAll(in); string(rest) != server {
			t.Fatalf("after %q the server says %q, want %q", answer[:taken], rest, server)
		}
	})
}
