package starttls_test

import (
	"errors"
	"strings"
	"testing"

	"tcps/internal/reason"
	"tcps/internal/starttls"
)

func TestClientSideByteForByte(t *testing.T) {
	for _, tt := range []struct {
		name, protocol, in string
		out, greeting, err string
		rest               string
	}{
		{"agrees", "postgres", "S" + injected, sslRequest, "", "", injected},
		{"has none", "postgres", "N", sslRequest, "", "does not offer TLS", ""},
		{"an error, which is not read", "postgres", "E\x00\x00\x00\x08evil", sslRequest, "", "answers with an error", "\x00\x00\x00\x08evil"},
		{"something else", "postgres", "HTTP/1.1 400", sslRequest, "", `answers with 'H'`, "TTP/1.1 400"},
		{"ends", "postgres", "", sslRequest, "", "unexpected EOF", ""},

		{"agrees", "smtp", "220-one\r\n220 two\r\n250-me\r\n250-PIPELINING\r\n250 starttls\r\n220 go\r\n" + injected, "EHLO [127.0.0.1]\r\nSTARTTLS\r\n", "220-one\r\n220 two\r\n", "", injected},
		{"has none", "smtp", "220 hi\r\n250-me\r\n250 STARTTLSX\r\n", "EHLO [127.0.0.1]\r\n", "", "does not offer STARTTLS", ""},
		{"its name is no offer", "smtp", "220 hi\r\n250 STARTTLS\r\n", "EHLO [127.0.0.1]\r\n", "", "does not offer STARTTLS", ""},
		{"refuses STARTTLS", "smtp", "220 hi\r\n250-me\r\n250 STARTTLS\r\n454 not now\r\n", "EHLO [127.0.0.1]\r\nSTARTTLS\r\n", "", `454 not now`, ""},
		{"refuses us", "smtp", "554-no\r\n554 go away\r\n", "", "", `refuses us: "554-no\r\n554 go away"`, ""},
		{"codes that differ", "smtp", "220-one\r\n250 two\r\n", "", "", "want a reply of SMTP", ""},
		{"no reply", "smtp", "SSH-2.0-x\r\n", "", "", "want a reply of SMTP", ""},
		{"an endless reply", "smtp", strings.Repeat("220-x\r\n", 101), "", "", "more than 100 lines", "220-x\r\n"},
		{"ends", "smtp", "220 hi\r\n", "EHLO [127.0.0.1]\r\n", "", "unexpected EOF", ""},

		{"agrees", "imap", "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Hi\r\n* CAPABILITY x\r\nt1 OK go\r\n" + injected, "t1 STARTTLS\r\n", "* OK Hi\r\n", "", injected},
		{"other codes stay", "imap", "* OK [ALERT] Hi\r\nt1 OK\r\n", "t1 STARTTLS\r\n", "* OK [ALERT] Hi\r\n", "", ""},
		{"refuses STARTTLS", "imap", "* OK hi\r\nt1 BAD what\r\n", "t1 STARTTLS\r\n", "", "t1 BAD what", ""},
		{"refuses us", "imap", "* BYE busy\r\n", "", "", `refuses us: "* BYE busy"`, ""},
		{"authenticated", "imap", "* PREAUTH hi\r\n", "", "", "authenticated already", ""},
		{"something else", "imap", "220 hi\r\n", "", "", "want * OK", ""},

		{"agrees", "pop3", "+OK <1@x>\r\n+OK go\r\n" + injected, "STLS\r\n", "+OK <1@x>\r\n", "", injected},
		{"refuses STLS", "pop3", "+OK hi\r\n-ERR what\r\n", "STLS\r\n", "", "-ERR what", ""},
		{"refuses us", "pop3", "-ERR busy\r\n", "", "", "refuses us", ""},

		{"agrees", "ldap", ldapStarted + injected, ldapStart, "", "", injected},
		{"agrees in few words", "ldap", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", ldapStart, "", "", ""},
		{"refuses", "ldap", "\x30\x10\x02\x01\x01\x78\x0b\x0a\x01\x34\x04\x00\x04\x04busy", ldapStart, "", `result 52, "busy"`, ""},
		{"notice of disconnection", "ldap", "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", ldapStart, "", "a message of the kind 0x78", ""},
		{"something else", "ldap", "220 hi\r\n" + strings.Repeat("x", 80), ldapStart, "", "no LDAP message", "x"},
	} {
		t.Run(tt.protocol+"/"+tt.name, func(t *testing.T) {
			greeting, w, err := request(tt.protocol, tt.in)
			check(t, err, tt.err)
			if got := w.out.String(); got != tt.out {
				t.Errorf("asked\n%q, want\n%q", got, tt.out)
			}
			if err == nil && string(greeting) != tt.greeting {
				t.Errorf("greeted with %q, want %q", greeting, tt.greeting)
			}
			if rest := w.rest(); !strings.HasPrefix(rest, tt.rest) || tt.rest == "" && rest != "" {
				t.Errorf("left %q unread, want %q", rest, tt.rest)
			}
		})
	}
}

func TestServersWithoutTLSAreNotTLSAndThoseThatRefuseUsAreTold(t *testing.T) {
	for protocol, says := range map[string]string{"postgres": "N", "smtp": "220 x\r\n250 x\r\n", "pop3": "+OK\r\n-ERR\r\n"} {
		if _, _, err := request(protocol, says); reasonOf(err) != reason.NotTLS {
			t.Errorf("%s: reason %q, want not-tls", protocol, reasonOf(err))
		}
	}
	_, _, err := request("smtp", "554 no\r\n")
	if r, ok := errors.AsType[*starttls.Refusal](err); !ok || string(r.Words) != "554 no\r\n" || reasonOf(err) != reason.Failed {
		t.Errorf("got %v, reason %q", err, reasonOf(err))
	}
}

func FuzzRequest(f *testing.F) {
	for i, seed := range []string{"S", "", "220 x\r\n250-x\r\n250 STARTTLS\r\n220 x\r\n", "* OK x\r\nt1 OK\r\n", "+OK\r\n+OK\r\n", ldapStarted} {
		f.Add(byte(i), []byte(seed))
	}
	f.Add(byte(1), []byte(mariaDBGreeting))
	names := starttls.Names()
	f.Fuzz(func(t *testing.T, which byte, says []byte) {
		_, w, _ := request(names[int(which)%len(names)], string(says))
		if w.out.Len() > 1000 {
			t.Errorf("%d bytes were asked", w.out.Len())
		}
	})
}
