package starttls_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"tcps/internal/starttls"
)

// Which side of a tunnel was upgraded by a dialogue decides what the other has
// missed: all four pairs, for each protocol but mysql.
func TestWhatEachSideHasMissed(t *testing.T) {
	type pair struct{ client, target bool }
	neither, client, target, both := pair{}, pair{client: true}, pair{target: true}, pair{true, true}
	for _, tt := range []struct {
		protocol       string
		pair           pair
		clientSays     string
		targetSays     string
		greeting       string // that the dialogue with the target took
		clientHears    string // of us
		toTarget, back string // what is left to be relayed
	}{
		{"smtp", neither, "EHLO\r\n", "220 hi\r\n250 x\r\n", "", "", "EHLO\r\n", "220 hi\r\n250 x\r\n"},
		{"smtp", client, "EHLO\r\n", "220-hi\r\n220 hi\r\n250 x\r\n", "", "", "EHLO\r\n", "250 x\r\n"},
		{"smtp", target, "EHLO\r\n", "250 x\r\n", "220 hi\r\n", "220 hi\r\n", "EHLO\r\n", "250 x\r\n"},
		{"smtp", both, "EHLO\r\n", "250 x\r\n", "220 hi\r\n", "", "EHLO\r\n", "250 x\r\n"},
		{"imap", neither, "a NOOP\r\n", "* OK hi\r\na OK\r\n", "", "", "a NOOP\r\n", "* OK hi\r\na OK\r\n"},
		{"imap", client, "a NOOP\r\n", "* OK hi\r\na OK\r\n", "", "", "a NOOP\r\n", "a OK\r\n"},
		{"imap", target, "a NOOP\r\n", "a OK\r\n", "* OK hi\r\n", "* OK hi\r\n", "a NOOP\r\n", "a OK\r\n"},
		{"imap", both, "a NOOP\r\n", "a OK\r\n", "* OK hi\r\n", "", "a NOOP\r\n", "a OK\r\n"},
		{"pop3", neither, "STAT\r\n", "+OK hi\r\n+OK 0\r\n", "", "", "STAT\r\n", "+OK hi\r\n+OK 0\r\n"},
		{"pop3", client, "STAT\r\n", "+OK hi\r\n+OK 0\r\n", "", "", "STAT\r\n", "+OK 0\r\n"},
		{"pop3", target, "STAT\r\n", "+OK 0\r\n", "+OK hi\r\n", "+OK hi\r\n", "STAT\r\n", "+OK 0\r\n"},
		{"pop3", both, "STAT\r\n", "+OK 0\r\n", "+OK hi\r\n", "", "STAT\r\n", "+OK 0\r\n"},
		{"ldap", neither, "x", "y", "", "", "x", "y"},
		{"ldap", client, "x", "y", "", "", "x", "y"},
		{"ldap", target, "x", "y", "", "", "x", "y"},
		{"ldap", both, "x", "y", "", "", "x", "y"},
		{"postgres", neither, sslRequest + startup, "y", "", "", sslRequest + startup, "y"},
		{"postgres", client, startup, "y", "", "", startup, "y"},
		{"postgres", target, startup, "y", "", "", startup, "y"},
		{"postgres", target, sslRequest + startup, "y", "", "N", startup, "y"},
		{"postgres", target, gssencRequest + sslRequest + startup, "y", "", "NN", startup, "y"},
		{"postgres", target, sslRequest + sslRequest + sslRequest, "y", "", "NN", sslRequest, "y"},
		{"postgres", target, cancelRequest, "y", "", "", cancelRequest, "y"},
		{"postgres", target, "abc", "y", "", "", "abc", "y"},
		{"postgres", both, startup, "y", "", "", startup, "y"},
		{"lmtp", target, "LHLO\r\n", "250 x\r\n", "220 hi\r\n", "220 hi\r\n", "LHLO\r\n", "250 x\r\n"},
		{"nntp", target, "HELP\r\n", "100 x\r\n", "200 hi\r\n", "200 hi\r\n", "HELP\r\n", "100 x\r\n"},
		{"sieve", target, "NOOP\r\n", "\"SIEVE\" \"x\"\r\nOK\r\n", "OK\r\n", "", "NOOP\r\n", "\"SIEVE\" \"x\"\r\nOK\r\n"},
		{"xmpp", target, "<stream:stream>", "<stream:stream>", "", "", "<stream:stream>", "<stream:stream>"},
		{"irc", target, "NICK x\r\n", ":x 001 x\r\n", "", "", "NICK x\r\n", ":x 001 x\r\n"},
		{"mysql", neither, "x", mariaDBGreeting, "", "", "x", mariaDBGreeting},
	} {
		t.Run(tt.protocol, func(t *testing.T) {
			c, s := newWire(tt.clientSays), newWire(tt.targetSays)
			i, err := starttls.Meet(tt.protocol, c, starttls.Upgrades{Client: tt.pair.client, Target: tt.pair.target})
			if err != nil {
				t.Fatal(err)
			}
			fromClient, fromTarget, err := i.Finish(starttls.Target{Conn: s, Upgraded: tt.pair.target, Greeting: []byte(tt.greeting)})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.out.String(); got != tt.clientHears {
				t.Errorf("%+v: the client hears %q, want %q", tt.pair, got, tt.clientHears)
			}
			if got := s.out.String(); got != "" {
				t.Errorf("%+v: the target hears %q", tt.pair, got)
			}
			if got, _ := io.ReadAll(fromClient); string(got) != tt.toTarget {
				t.Errorf("%+v: %q goes to the target, want %q", tt.pair, got, tt.toTarget)
			}
			if got, _ := io.ReadAll(fromTarget); string(got) != tt.back {
				t.Errorf("%+v: %q goes to the client, want %q", tt.pair, got, tt.back)
			}
		})
	}
}

// FTP sends files past a tunnel.
func TestFTPIsNotForTunnels(t *testing.T) {
	i, err := starttls.Meet("ftp", newWire(""), starttls.Upgrades{Target: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := i.Finish(starttls.Target{Conn: newWire(""), Upgraded: true}); err == nil || !strings.Contains(err.Error(), "past the tunnel") {
		t.Errorf("got %v", err)
	}
}

func TestAClientIsToldByTheWordsOfATargetThatRefuses(t *testing.T) {
	for _, tt := range []struct{ protocol, client, target, told string }{
		{"smtp", "", "421-busy\r\n421 later\r\n", "421-busy\r\n421 later\r\n"},
		{"imap", "", "* BYE busy\r\n", "* BYE busy\r\n"},
		{"pop3", "", "-ERR busy\r\n", "-ERR busy\r\n"},
		{"mysql", login(2, clientCapabilities), "\x17\x00\x00\x00\xff\x10\x04Too many connections", "\x17\x00\x00\x03\xff\x10\x04Too many connections"},
		{"smtp", "", "SSH-2.0\r\n", ""},
		{"imap", "", "* PREAUTH hi\r\n", ""},
		{"pop3", "", "", ""},
	} {
		t.Run(tt.protocol, func(t *testing.T) {
			c := newWire(tt.client)
			i, err := starttls.Meet(tt.protocol, c, starttls.Upgrades{Client: true})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = i.Finish(starttls.Target{Conn: newWire(tt.target)})
			if err == nil || errors.Is(err, io.EOF) {
				t.Fatalf("got %v, want an error", err)
			}
			i.Tell(err)
			if got := c.out.String(); got != tt.told {
				t.Errorf("it is told %q, want %q", got, tt.told)
			}
		})
	}
}
