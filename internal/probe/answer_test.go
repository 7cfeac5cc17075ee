package probe

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"tcps/internal/reason"
)

// The parts of answers, as servers send them.
const (
	random    = "0123456789abcdef0123456789abcdef"
	retryIs   = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
	hello12   = "\x02\x00\x00\x26\x03\x03" + random + "\x00\xc0\x2f\x00"
	extended  = "\x02\x00\x00\x31\x03\x03" + random + "\x00\xc0\x2f\x00\x00\x09\x00\x17\x00\x00\xff\x01\x00\x01\x00"
	retry13   = "\x02\x00\x00\x34\x03\x03" + retryIs + "\x00\x13\x02\x00\x00\x0c\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x02\x11\xec"
	hello13   = "\x02\x00\x00\x37\x03\x03" + random + "\x00\x13\x01\x00\x00\x0f\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x05\x00\x1d\x00\x01x"
	handshake = "\x16\x03\x03"
)

// record wraps a message of less than 256 bytes.
func record(message string) string { return handshake + "\x00" + string(rune(len(message))) + message }

func TestAnswersAreRead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     answer
	}{
		{"TLS 1.2", record(hello12), answer{version: 0x303, suite: 0xc02f}},
		{"with extensions", record(extended), answer{version: 0x303, suite: 0xc02f, secureRenegotiation: true, extendedMaster: true}},
		{"retry", record(retry13), answer{version: 0x304, suite: 0x1302, group: 4588}},
		{"TLS 1.3", record(hello13), answer{version: 0x304, suite: 0x1301, group: 29}},
		{"in pieces", record(hello12[:3]) + record(hello12[3:40]) + record(hello12[40:]), answer{version: 0x303, suite: 0xc02f}},
		{"with what follows", record(hello12 + "\x0b\x00"), answer{version: 0x303, suite: 0xc02f}},
		{"alert", "\x15\x03\x01\x00\x02\x02\x46", answer{refused: true, alert: 70}},
		{"warning first", "\x15\x03\x01\x00\x02\x01\x70" + record(hello12), answer{version: 0x303, suite: 0xc02f}},
		{"close_notify", "\x15\x03\x01\x00\x02\x01\x00", answer{refused: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := strings.NewReader(c.in + "unread")
			a, err := readAnswer(in)
			if err != nil || *a != c.want {
				t.Fatalf("got %+v, %v, want %+v", a, err, c.want)
			}
			if rest, _ := io.ReadAll(in); string(rest) != "unread" {
				t.Errorf("left %q unread, want what follows the answer's last record", rest)
			}
		})
	}
}

func TestWhatIsNoAnswerIsSaid(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		why            reason.Reason
	}{
		{"mail", "220 ready\r\n", `its answer "220 r" does not look like TLS`, reason.NotTLS},
		{"a short word", "hi", `its answer "hi" does not look like TLS`, reason.NotTLS},
		{"SSL 2.0", "\x80\x2e\x04\x00\x01\x00\x02", "does not look like TLS", reason.NotTLS},
		{"data", "\x17\x03\x03\x00\x01x", "the kind 23", reason.Malformed},
		{"another message", record("\x0b\x00\x00\x00"), "the type 11", reason.Malformed},
		{"long record", "\x16\x03\x03\xff\xff", "a record of 65535 bytes", reason.Malformed},
		{"long hello", record("\x02\xff\xff\xff"), "a ServerHello of 16777215 bytes", reason.Malformed},
		{"long alert", "\x15\x03\x03\x00\x03\x02\x46\x00", "an alert of 3 bytes", reason.Malformed},
		{"empty records", strings.Repeat(record(""), 9), "no ServerHello in 8 records", reason.Malformed},
		{"warnings", strings.Repeat("\x15\x03\x01\x00\x02\x01\x70", 9), "", ""},
		{"long session", record("\x02\x00\x00\x47\x03\x03" + random + "\x21" + random + "x" + "\xc0\x2f\x00"), "malformed", reason.Malformed},
		{"cut extensions", record("\x02\x00\x00\x29\x03\x03" + random + "\x00\xc0\x2f\x00\x00\x05x"), "malformed", reason.Malformed},
		{"bytes behind", record("\x02\x00\x00\x29\x03\x03" + random + "\x00\xc0\x2f\x00\x00\x00x"), "malformed", reason.Malformed},
		{"cut", record(hello12)[:20], "unexpected EOF", ""},
		{"cut between", record(hello12[:20]), "unexpected EOF", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := readAnswer(strings.NewReader(c.in))
			if c.name == "warnings" { // the fifth counts as an answer
				if err != nil || !a.refused {
					t.Errorf("got %+v, %v", a, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %+v, %v, want %q", a, err, c.want)
			}
			if known, ok := errors.AsType[*reason.Error](err); (ok || c.why != "") && (!ok || known.Reason != c.why) {
				t.Errorf("the reason of %v is not %q", err, c.why)
			}
		})
	}
	if _, err := readAnswer(strings.NewReader("")); err != io.EOF {
		t.Errorf("nothing at all is %v, want io.EOF", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, message := range []string{hello12, extended, retry13, hello13} {
		f.Add([]byte(record(message)))
	}
	f.Add([]byte("\x15\x03\x01\x00\x02\x01\x70" + record(hello12)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		a, err := readAnswer(r)
		if (a == nil) == (err == nil) {
			t.Errorf("got %+v and %v", a, err)
		}
		if read := len(data) - r.Len(); read > maxRecords*(maxRecord+5) {
			t.Errorf("%d bytes were read", read)
		}
	})
}

// What we write is a hello that crypto/tls understands, and says what it should.
func TestHellosAreWellFormed(t *testing.T) {
	for _, version := range Versions[1:] {
		p := &Prober{ServerName: "db.test.", NextProtos: []string{"h2", "made-up"}}
		got := understood(t, p.hello(version, SuitesOf(version), groups))
		if got.ServerName != "db.test" || strings.Join(got.SupportedProtos, " ") != "h2 made-up" {
			t.Errorf("%s: name %q, protocols %q", VersionName(version), got.ServerName, got.SupportedProtos)
		}
		if len(got.CipherSuites) != len(SuitesOf(version)) || len(got.SupportedCurves) != len(groups) {
			t.Errorf("%s: %d suites, %d groups", VersionName(version), len(got.CipherSuites), len(got.SupportedCurves))
		}
		if got.SupportedVersions[0] != version {
			t.Errorf("%s is offered as %s", VersionName(version), VersionName(got.SupportedVersions[0]))
		}
	}
	if got := understood(t, (&Prober{ServerName: "127.0.0.1"}).hello(tls.VersionTLS12, suites, groups)); got.ServerName != "" {
		t.Errorf("an address was sent as the name %q (RFC 6066, 3)", got.ServerName)
	}
}

// understood is how a server of crypto/tls reads a hello.
func understood(t *testing.T, h *hello) (got tls.ClientHelloInfo) {
	t.Helper()
	message, err := h.bytes()
	if err != nil {
		t.Fatal(err)
	}
	seen := errors.New("seen")
	server := tls.Server(oneWay{bytes.NewReader(message)}, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		got = *info
		return nil, seen
	}})
	if err := server.Handshake(); !errors.Is(err, seen) {
		t.Fatalf("%s: %v", VersionName(h.version), err)
	}
	return got
}
