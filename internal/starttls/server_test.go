package starttls_test

import (
	"strings"
	"testing"

	"tcps/internal/reason"
	"tcps/internal/starttls"
)

const (
	sslRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssencRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"
	cancelRequest = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x2a\xde\xad\xbe\xef"
	startup       = "\x00\x00\x00\x13\x00\x03\x00\x00user\x00alice\x00\x00"

	ldapStart   = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + oid
	ldapStarted = "\x30\x24\x02\x01\x01\x78\x1f\x0a\x01\x00\x04\x00\x04\x00\x8a\x16" + oid
	oid         = "1.3.6.1.4.1.1466.20037"
	required    = "TLS is required: StartTLS first" // 31 bytes

	imapHello = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Ready\r\n"
	smtpHello = "220 [127.0.0.1] ESMTP\r\n"
)

// injected is what a client or a server sends in plain after the words that begin TLS.
const injected = "INJECTED\r\n"

func TestServerSideByteForByte(t *testing.T) {
	for _, tt := range []struct {
		name, protocol, in string
		out, err           string
		rest               string // not read
	}{
		{"asks for TLS", "postgres", sslRequest + injected, "S", "", injected},
		{"GSS first", "postgres", gssencRequest + sslRequest + injected, "NS", "", injected},
		{"GSS twice", "postgres", gssencRequest + gssencRequest, "N", "want an SSLRequest", ""},
		{"no TLS", "postgres", startup, "E\x00\x00\x00\x53SFATAL\x00VFATAL\x00C28000\x00MTLS is required: connect with sslmode=require or better\x00\x00", "begins without TLS", startup[8:]},
		{"cancels", "postgres", cancelRequest, "", "CancelRequest in plain", cancelRequest[8:]},
		{"http", "postgres", "GET / HTTP/1.1\r\n", "", "want an SSLRequest", "TP/1.1\r\n"},
		{"wrong length", "postgres", "\x00\x00\x00\x09\x04\xd2\x16\x2f", "", "want an SSLRequest", ""},
		{"says nothing", "postgres", "", "", "EOF", ""},
		{"is cut", "postgres", sslRequest[:5], "", "unexpected EOF", ""},

		{"asks for TLS", "smtp", "EHLO me\r\nSTARTTLS\r\n" + injected, smtpHello + "250-[127.0.0.1]\r\n250 STARTTLS\r\n220 2.0.0 Ready to start TLS\r\n", "", injected},
		{"lower case, no EHLO", "smtp", "starttls\n" + injected, smtpHello + "220 2.0.0 Ready to start TLS\r\n", "", injected},
		{"sends mail", "smtp", "HELO me\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n", smtpHello + "250 [127.0.0.1]\r\n" + strings.Repeat("530 5.7.0 Must issue a STARTTLS command first\r\n", 2) + "221 2.0.0 Bye\r\n", "EOF", ""},
		{"parameters", "smtp", "STARTTLS now\r\nNOOP\r\nRSET\r\n", smtpHello + "501 5.5.4 STARTTLS takes no parameters\r\n250 2.0.0 OK\r\n250 2.0.0 OK\r\n", "EOF", ""},
		{"too long a line", "smtp", "EHLO " + strings.Repeat("x", 1000), smtpHello, "longer than 1000 bytes", "xxxxx"},
		{"too many", "smtp", strings.Repeat("NOOP\r\n", 30), smtpHello + strings.Repeat("250 2.0.0 OK\r\n", 20), "20 commands and still not", strings.Repeat("NOOP\r\n", 10)},
		{"is cut", "smtp", "EHL", smtpHello, "unexpected EOF", ""},

		{"asks for TLS", "imap", "a STARTTLS\r\n" + injected, imapHello + "a OK Begin TLS negotiation now\r\n", "", injected},
		{"looks first", "imap", "1 capability\r\n2 ID (\"name\" \"x\")\r\n3 NOOP\r\n4 STARTTLS\r\n", imapHello + "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n1 OK Completed\r\n* ID NIL\r\n2 OK Completed\r\n3 OK Completed\r\n4 OK Begin TLS negotiation now\r\n", "", ""},
		{"logs in", "imap", "a LOGIN joe secret\r\nb AUTHENTICATE PLAIN\r\nc SELECT inbox\r\nd LOGOUT\r\n", imapHello + "a NO [PRIVACYREQUIRED] TLS is required: STARTTLS first\r\nb NO [PRIVACYREQUIRED] TLS is required: STARTTLS first\r\nc BAD TLS is required: STARTTLS first\r\n* BYE Logging out\r\nd OK Completed\r\n", "EOF", ""},
		{"no tag", "imap", "\r\n* STARTTLS\r\na STARTTLS x\r\n", imapHello + "* BAD Want a tag and a command\r\n* BAD Want a tag and a command\r\na BAD TLS is required: STARTTLS first\r\n", "EOF", ""},

		{"asks for TLS", "pop3", "CAPA\r\nSTLS\r\n" + injected, "+OK Ready\r\n+OK\r\nSTLS\r\n.\r\n+OK Begin TLS negotiation now\r\n", "", injected},
		{"logs in", "pop3", "USER joe\r\nSTLS x\r\nQUIT\r\n", "+OK Ready\r\n-ERR TLS is required: STLS first\r\n-ERR TLS is required: STLS first\r\n+OK Bye\r\n", "EOF", ""},

		{"asks for TLS", "ldap", ldapStart + injected, ldapStarted, "", injected},
		{"long lengths", "ldap", "\x30\x84\x00\x00\x00\x21\x02\x01\x01\x77\x84\x00\x00\x00\x18\x80\x16" + oid, ldapStarted, "", ""},
		{"binds", "ldap", "\x30\x0c\x02\x01\x07\x60\x07\x02\x01\x03\x04\x00\x80\x00\x30\x05\x02\x01\x08\x42\x00", "\x30\x2b\x02\x01\x07\x61\x26\x0a\x01\x0d\x04\x00\x04\x1f" + required, "EOF", ""},
		{"searches", "ldap", "\x30\x05\x02\x01\x02\x63\x00", "\x30\x2b\x02\x01\x02\x65\x26\x0a\x01\x0d\x04\x00\x04\x1f" + required, "EOF", ""},
		{"deletes", "ldap", "\x30\x06\x02\x01\x02\x4a\x01x", "\x30\x2b\x02\x01\x02\x6b\x26\x0a\x01\x0d\x04\x00\x04\x1f" + required, "EOF", ""},
		{"another extension", "ldap", "\x30\x0a\x02\x01\x02\x77\x05\x80\x031.2", "\x30\x2b\x02\x01\x02\x78\x26\x0a\x01\x0d\x04\x00\x04\x1f" + required, "EOF", ""},
		{"indefinite length", "ldap", "\x30\x80\x02\x01\x01", "", "no LDAP message", "\x02\x01\x01"},
		{"too large", "ldap", "\x30\x82\x10\x01\x02", "", "no LDAP message", "\x02"},
		{"http", "ldap", "GET / HTTP/1.1\r\n" + strings.Repeat("x", 80), "", "no LDAP message", strings.Repeat("x", 25)},
		{"a length beyond", "ldap", "\x30\x05\x02\x01\x01\x77\x09", "", "no LDAP message", ""},
		{"an answer", "ldap", "\x30\x05\x02\x01\x01\x61\x00", "", "kind 0x61", ""},
		{"is cut", "ldap", ldapStart[:9], "", "unexpected EOF", ""},
	} {
		t.Run(tt.protocol+"/"+tt.name, func(t *testing.T) {
			_, w, err := accept(starttls.Server{Protocol: tt.protocol}, tt.in)
			check(t, err, tt.err)
			if got := w.out.String(); got != tt.out {
				t.Errorf("answered\n%q, want\n%q", got, tt.out)
			}
			if rest := w.rest(); rest != tt.rest {
				t.Errorf("left %q unread, want %q", rest, tt.rest)
			}
		})
	}
}

func TestWhoDoesNotAskForTLSIsNotTLS(t *testing.T) {
	for protocol, says := range map[string]string{
		"postgres": startup, "ldap": "\x30\x05\x02\x01\x01\x61\x00", "smtp": strings.Repeat("x", 2000),
	} {
		if _, _, err := accept(starttls.Server{Protocol: protocol}, says); reasonOf(err) != reason.NotTLS {
			t.Errorf("%s: reason %q, want not-tls", protocol, reasonOf(err))
		}
	}
}

func TestPostgresDirectTLSIsGivenBack(t *testing.T) {
	accepted, w, err := accept(starttls.Server{Protocol: "postgres"}, "\x16\x03\x01rest")
	if err != nil || string(accepted.Unread)+w.rest() != "\x16\x03\x01rest" || w.out.Len() > 0 {
		t.Errorf("got %q, %v, and %q was said", accepted.Unread, err, w.out.String())
	}
}

func TestPostgresCancelInPlainIsExactly16Bytes(t *testing.T) {
	s := starttls.Server{Protocol: "postgres", CancelPlain: true}
	accepted, w, err := accept(s, cancelRequest+startup)
	if err != nil || string(accepted.Cancel) != cancelRequest || w.rest() != startup || w.out.Len() > 0 {
		t.Errorf("got %x, %v, and %q was said", accepted.Cancel, err, w.out.String())
	}
	if _, _, err := accept(s, cancelRequest[:12]); err == nil {
		t.Error("half a request was taken")
	}
}

// On 32 bits such a length is less than nothing, unless that is looked at.
func TestALengthOfFourGiBIsNoLDAP(t *testing.T) {
	for _, says := range []string{"0\x84\xff\xff\xff\xff", "0\x06\x02\x84\xff\xff\xff\xff"} {
		if _, _, err := accept(starttls.Server{Protocol: "ldap"}, says); reasonOf(err) != reason.NotTLS {
			t.Errorf("%q: got %v, want not-tls", says, err)
		}
	}
}

func FuzzAccept(f *testing.F) {
	for i, seed := range []string{sslRequest, "", "EHLO x\r\nSTARTTLS\r\n", "a STARTTLS\r\n", "STLS\r\n", ldapStart} {
		f.Add(byte(i), []byte(seed))
	}
	f.Add(byte(1), []byte(mySSLRequest))
	f.Add(byte(0), []byte(gssencRequest+cancelRequest))
	names := starttls.ServerNames()
	f.Fuzz(func(t *testing.T, which byte, says []byte) {
		protocol := names[int(which)%len(names)]
		_, w, err := accept(starttls.Server{Protocol: protocol, CancelPlain: true}, string(says))
		if w.out.Len() > 64<<10 {
			t.Errorf("%d bytes were answered to %d", w.out.Len(), len(says))
		}
		if read := len(says) - w.in.Len(); err == nil && read > 128<<10 {
			t.Errorf("%d bytes were read", read)
		}
	})
}
