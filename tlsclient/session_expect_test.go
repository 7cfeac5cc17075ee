package tlsclient_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tcps/tlsclient"
)

// The server neither reads nor ends: that is no reason to wait.
func TestTheExpectedTextIsFoundAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		chunks []string
		expect string
	}{
		{"alone", []string{"ready"}, "ready"},
		{"in the middle", []string{"are you ready or not"}, "ready"},
		{"across writes", []string{"are you re", "a", "dy"}, "ready"},
		{"with line ends in it", []string{"220 mail\r", "\n250 ok\r\nmore"}, "mail\r\n250 ok\r\n"},
		{"after a false start", []string{"aaa", "ab"}, "aab"},
		{"after long lines", []string{strings.Repeat("x", 50<<10) + "\n", strings.Repeat("y", 50<<10), "\nready"}, "ready"},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			conn := dialTo(t, func(c1 *tls.Conn) {
				for _, chunk := range c.chunks {
					io.WriteString(c1, chunk)
				}
				<-release
			})
			var out bytes.Buffer
			session := &tlsclient.Session{Conn: conn, In: neverEnding(t), Out: &out, Expect: []byte(c.expect)}
			if err := run(t, session); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.String(), c.expect) {
				t.Errorf("the output has %q, and not the text", out.String())
			}
		})
	}
}

// An input that has ended must not end the conversation before the answer.
func TestTheSendingSideStaysOpenUntilTheTextCame(t *testing.T) {
	conn := dialTo(t, func(c *tls.Conn) {
		io.ReadFull(c, make([]byte, 3))
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			io.WriteString(c, "ready")
		}
		c.SetReadDeadline(time.Time{})
		untilEnd(c)
	})
	session := &tlsclient.Session{Conn: conn, In: strings.NewReader("abc"), Out: io.Discard, Expect: []byte("ready")}
	if err := run(t, session); err != nil {
		t.Error(err)
	}
}

func TestTheExpectedTextDoesNotCome(t *testing.T) {
	says := func(text string) func(*tls.Conn) {
		return func(c *tls.Conn) {
			io.WriteString(c, text)
			c.CloseWrite()
			untilEnd(c)
		}
	}
	line := strings.Repeat("x", 64<<10)
	for _, c := range []struct {
		name    string
		handle  func(*tls.Conn)
		maxLine int
		want    error
	}{
		{"the server ends", says("hello\r\n"), 0, tlsclient.ErrNotFound},
		{"the server says nothing", says(""), 0, tlsclient.ErrNotFound},
		{"the longest line", says("12345\n12345"), 5, tlsclient.ErrNotFound},
		{"one byte more", says("12345\n123456"), 5, tlsclient.ErrLineTooLong},
		{"one byte more, and its end", says("123456\n"), 5, tlsclient.ErrLineTooLong},
		{"the text after a line too long", says("123456\nready"), 5, tlsclient.ErrLineTooLong},
		{"the text at the end of a line too long", says("1ready"), 5, tlsclient.ErrLineTooLong},
		{"the longest line by default", says(line), 0, tlsclient.ErrNotFound},
		{"one byte more by default", says(line + "x"), 0, tlsclient.ErrLineTooLong},
		{"a server that never ends a line", func(c *tls.Conn) { io.Copy(c, zeros{}) }, 0, tlsclient.ErrLineTooLong},
		{"cut", func(c *tls.Conn) {
			io.WriteString(c, "rea")
			c.NetConn().(*net.TCPConn).CloseWrite()
			untilEnd(c.NetConn())
		}, 0, tlsclient.ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			session := &tlsclient.Session{
				Conn: dialTo(t, c.handle), In: neverEnding(t), Out: io.Discard,
				Expect: []byte("ready"), MaxLineBytes: c.maxLine,
			}
			if err := run(t, session); !errors.Is(err, c.want) {
				t.Errorf("Run returned %v, want %v", err, c.want)
			}
		})
	}
	t.Run("the text ends just in time", func(t *testing.T) {
		session := &tlsclient.Session{Conn: dialTo(t, says("ready and more on this line")), Out: io.Discard, Expect: []byte("ready"), MaxLineBytes: 5}
		if err := run(t, session); err != nil {
			t.Error(err)
		}
	})
}
