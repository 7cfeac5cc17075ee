package starttls_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"tcps/internal/starttls"
)

// What a client and MariaDB send; tail is a packet's payload after the first
// 32 bytes of a login.
const (
	filler       = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	mySSLRequest = "\x20\x00\x00\x01" + "\x8d\xae\xbf\x01" + "\x00\x00\x00\x01" + "\x2d" + filler

	// user alice, an answer of three bytes, database shop, plugin, attributes.
	loginTail = "alice\x00" + "\x03abc" + "shop\x00" + "mysql_native_password\x00" + "\x08\x03_os\x03bsd"

	mariaDBGreeting = "\x5a\x00\x00\x00" + mariaDB
	mariaDB         = "\x0a5.5.5-10.11.14-MariaDB\x00\x2a\x00\x00\x00abcdefgh\x00\xfe\xff\x2d\x02\x00\xff\x81\x15" +
		"\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"

	ok = "\x07\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00"
)

func login(seq byte, capabilities uint32) string {
	payload := string(binary.LittleEndian.AppendUint32(nil, capabilities)) + "\x00\x00\x00\x01\x2d" + filler + loginTail
	return string([]byte{byte(len(payload)), 0, 0, seq}) + payload
}

// clientCapabilities are those of the mariadb client, with TLS.
const clientCapabilities = 0x01bfae8d

// greetingOf takes our greeting off what was said, and checks its form.
func greetingOf(t *testing.T, said []byte) []byte {
	t.Helper()
	form := regexp.MustCompile(`(?s)^\x4c?.\x00\x00\x00\x0a[^\x00]+\x00\x01\x00\x00\x00[\x01-\x7f]{8}\x00..\x2d\x02\x00..\x15\x00{10}[\x01-\x7f]{12}\x00mysql_native_password\x00`)
	found := form.Find(said)
	if found == nil || len(found) != 4+int(said[0]) {
		t.Fatalf("it greets with %q", said)
	}
	return found
}

func TestMySQLServerSide(t *testing.T) {
	for _, tt := range []struct{ name, in, out, err, rest string }{
		{"asks for TLS", mySSLRequest + injected, "", "", injected},
		{"logs in without", login(1, clientCapabilities&^(1<<11)), "\x3c\x00\x00\x02\xff\x57\x0c#HY000Connections using insecure transport are prohibited", "logs in without TLS", ""},
		{"wrong number", strings.Replace(mySSLRequest, "\x01", "\x02", 1), "", "want an SSLRequest", filler[:23] + "..."},
		{"too short", "\x04\x00\x00\x01\xff\xff\xff\xff", "", "want an SSLRequest", ""},
		{"http", "GET / HTTP/1.1\r\n", "", "want an SSLRequest", "TTP/1.1\r\n"},
		{"is cut", mySSLRequest[:20], "", "unexpected EOF", ""},
		{"says nothing", "", "", "EOF", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, w, err := accept(starttls.Server{Protocol: "mysql", Version: "9.9"}, tt.in)
			check(t, err, tt.err)
			greeting := greetingOf(t, w.out.Bytes())
			if !bytes.HasPrefix(greeting[4:], []byte("\x0a9.9\x00")) {
				t.Errorf("it greets as %q, want the version 9.9", greeting)
			}
			if got := w.out.String()[len(greeting):]; got != tt.out {
				t.Errorf("answered %q, want %q", got, tt.out)
			}
			if rest := w.rest(); err == nil && rest != tt.rest {
				t.Errorf("left %q unread, want %q", rest, tt.rest)
			}
		})
	}
}

func TestMySQLClientSide(t *testing.T) {
	greeting, w, err := request("mysql", mariaDBGreeting)
	if err != nil || string(greeting) != mariaDB {
		t.Errorf("greeted with %q, %v", greeting, err)
	}
	if got := w.out.Bytes(); len(got) != 36 || got[3] != 1 || binary.LittleEndian.Uint32(got[4:])&(1<<11) == 0 {
		t.Errorf("asked %q, want an SSLRequest", got)
	}
	for _, tt := range []struct{ name, in, err string }{
		{"has none", strings.Replace(mariaDBGreeting, "\xfe\xff", "\xfe\xf7", 1), "does not offer TLS"},
		{"too old", strings.Replace(mariaDBGreeting, "\xff\x81\x15", "\xf7\x81\x15", 1), "too old"},
		{"another version of the protocol", "\x05\x00\x00\x00\x095.5\x00", "want version 10"},
		{"is full", "\x17\x00\x00\x00\xff\x10\x04Too many connections", "refuses us"},
		{"is large", "\x01\x04\x00\x00", "a packet of 1025 bytes"},
		{"is empty", "\x00\x00\x00\x00", "a packet of 0 bytes"},
		{"is cut", mariaDBGreeting[:30], "unexpected EOF"},
		{"something else", "220 [127.0.0.1] ESMTP\r\n", "a packet of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, w, err := request("mysql", tt.in)
			check(t, err, tt.err)
			if w.out.Len() > 0 {
				t.Errorf("%q was asked", w.out.String())
			}
		})
	}
}

// introduce brings a MySQL client and a target together, and reads both to
// their ends.
func introduceMySQL(t *testing.T, how starttls.Upgrades, client, target *wire) (there, back string) {
	t.Helper()
	i, err := starttls.Meet("mysql", client, how)
	if err != nil {
		t.Fatal(err)
	}
	to := starttls.Target{Conn: target, Upgraded: how.Target}
	if how.Target {
		dialogue := starttls.Client{Protocol: "mysql", Login: starttls.LoginOf(i.Context(t.Context()))}
		plain := newWire(mariaDBGreeting)
		if to.Greeting, err = dialogue.Request(plain); err != nil {
			t.Fatal(err)
		}
		target.in.Seek(int64(len(mariaDBGreeting)), io.SeekStart) // the rest comes in TLS
		target.out.Write(plain.out.Bytes())
	}
	fromClient, fromTarget, err := i.Finish(to)
	if err != nil {
		t.Fatal(err)
	}
	if i.Version() != "5.5.5-10.11.14-MariaDB" {
		t.Errorf("the target is %q", i.Version())
	}
	one, err := io.ReadAll(iotest.OneByteReader(fromClient))
	if err != nil {
		t.Error(err)
	}
	other, err := io.ReadAll(fromTarget)
	if err != nil {
		t.Error(err)
	}
	return string(one), string(other)
}

// passed is what the target is to get of login: no TLS of its own, no answer to
// our scramble, and a plugin that makes it ask for one to its own.
func passed(seq byte, capabilities uint32) string {
	payload := string(binary.LittleEndian.AppendUint32(nil, capabilities)) + "\x00\x00\x00\x01\x2d" + filler +
		"alice\x00" + "\x00" + "shop\x00" + "tcps_ask_again\x00" + "\x08\x03_os\x03bsd"
	return string([]byte{byte(len(payload)), 0, 0, seq}) + payload
}

func TestMySQLSidesCountOnFromTheirOwnBegin(t *testing.T) {
	const (
		common  = 0x003fa68c // of client, our offer and MariaDB, without TLS
		query   = "\x03\x00\x00\x00\x03hi" + "\x01\x00\x00\x00\x01"
		results = "\x01\x00\x00\x01\x02" + "\x02\x00\x00\x02\x00\x00"
	)
	number := func(seq byte, payload string) string { return string([]byte{byte(len(payload)), 0, 0, seq}) + payload }
	for _, tt := range []struct {
		name           string
		how            starttls.Upgrades
		client, target byte // the number of the login, as each sees it
	}{
		{"client", starttls.Upgrades{Client: true}, 2, 1},
		{"target", starttls.Upgrades{Target: true}, 1, 2},
		{"both", starttls.Upgrades{Client: true, Target: true}, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			capabilities := uint32(clientCapabilities)
			want := uint32(common)
			if !tt.how.Client {
				capabilities &^= 1 << 11
			}
			if tt.how.Target {
				want |= 1 << 11
			}
			client := newWire(login(tt.client, capabilities) + number(tt.client+2, "scrambled") + query)
			target := newWire(mariaDBGreeting + number(tt.target+1, "\xfenative\x00scramble\x00") + number(tt.target+3, "\x00ok") + results)
			there, back := introduceMySQL(t, tt.how, client, target)
			if wanted := number(tt.target+2, "scrambled") + query; there != wanted {
				t.Errorf("the target gets %q, want %q", there, wanted)
			}
			if wanted := number(tt.client+1, "\xfenative\x00scramble\x00") + number(tt.client+3, "\x00ok") + results; back != wanted {
				t.Errorf("the client gets %q, want %q", back, wanted)
			}
			wanted := passed(tt.target, want)
			if tt.how.Target {
				wanted = "\x20\x00\x00\x01" + wanted[4:36] + wanted
			}
			if got := target.out.String(); got != wanted {
				t.Errorf("the target was told\n%q, want\n%q", got, wanted)
			}
			if said := client.out.Bytes(); !tt.how.Client {
				greetingOf(t, said)
			} else if len(said) > 0 {
				t.Errorf("the client was told %q", said)
			}
		})
	}
}

func TestMySQLLoginsThatAreNone(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":                "",
		"cut":                    login(2, clientCapabilities)[:50],
		"wrong number":           login(1, clientCapabilities),
		"no plugins":             login(2, clientCapabilities&^(1<<19)),
		"TLS again":              "\x20\x00\x00\x02" + mySSLRequest[4:],
		"too short":              "\x05\x00\x00\x02abcde",
		"no end of the user":     "\x24\x00\x00\x02" + mySSLRequest[4:] + "abcd",
		"an answer that is long": "\x24\x00\x00\x02" + mySSLRequest[4:] + "a\x00\xfcz",
		"too large":              "\x01\x00\x02\x02",
	} {
		if _, err := starttls.Meet("mysql", newWire(says), starttls.Upgrades{Client: true}); err == nil {
			t.Errorf("%s: it was taken for a login", name)
		}
	}
}

func FuzzLogin(f *testing.F) {
	f.Add([]byte(login(2, clientCapabilities)), []byte(mariaDBGreeting+ok))
	f.Add([]byte(login(2, clientCapabilities)), []byte("\x17\x00\x00\x00\xff\x10\x04Too many connections"))
	f.Fuzz(func(t *testing.T, client, target []byte) {
		i, err := starttls.Meet("mysql", newWire(string(client)), starttls.Upgrades{Client: true})
		if err != nil {
			return
		}
		fromClient, fromTarget, err := i.Finish(starttls.Target{Conn: newWire(string(target))})
		if err != nil {
			i.Tell(err)
			return
		}
		there, _ := io.ReadAll(fromClient)
		back, _ := io.ReadAll(fromTarget)
		if len(there) > len(client) || len(back) > len(target) {
			t.Error("there is more than was sent")
		}
	})
}
