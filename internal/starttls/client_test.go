package starttls_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"tcps/internal/reason"
	"tcps/internal/starttls"
)

// What servers say, and we.
const (
	xmppHello     = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
	xmppStream    = "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='example.org' id='1' version='1.0' xml:lang='en'>"
	xmppFeatures  = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
	xmppStartTLS  = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	xmppProceed   = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	xmppOverlong  = "<stream:features>"
	sieveGreeting = "\"IMPLEMENTATION\" \"x\"\r\n\"SIEVE\" \"fileinto\"\r\n\"StartTLS\"\r\nOK {5}\r\nNO\r\n! ready\r\n"
)

// Each is a whole dialogue that ends in TLS: what the server says, what it is
// asked, and how it has greeted us.
var agreements = map[string]struct{ says, asked, greeting string }{
	"postgres":    {"S", sslRequest, ""},
	"mysql":       {mariaDBGreeting, "", mariaDB},
	"smtp":        {"220-one\r\n220 two\r\n250-me\r\n250-PIPELINING\r\n250 starttls\r\n220 go\r\n", "EHLO [127.0.0.1]\r\nSTARTTLS\r\n", "220-one\r\n220 two\r\n"},
	"lmtp":        {"220 hi\r\n250-me\r\n250 STARTTLS\r\n220 go\r\n", "LHLO [127.0.0.1]\r\nSTARTTLS\r\n", "220 hi\r\n"},
	"imap":        {"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Hi\r\n* CAPABILITY x\r\nt1 OK go\r\n", "t1 STARTTLS\r\n", "* OK Hi\r\n"},
	"pop3":        {"+OK <1@x>\r\n+OK go\r\n", "STLS\r\n", "+OK <1@x>\r\n"},
	"ftp":         {"120 soon\r\n220-hello\r\n220you\r\n234 x\r\n220 ready\r\n234-AUTH\r\n234 go\r\n", "AUTH TLS\r\n", "220-hello\r\n220you\r\n234 x\r\n220 ready\r\n"},
	"nntp":        {"201 no posting\r\n101 list:\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n382 go\r\n", "CAPABILITIES\r\nSTARTTLS\r\n", "201 no posting\r\n"},
	"sieve":       {sieveGreeting + "OK\r\n", "STARTTLS\r\n", "\"IMPLEMENTATION\" \"x\"\r\n\"SIEVE\" \"fileinto\"\r\n\"StartTLS\"\r\nOK {5}NO\r\n! ready\r\n"},
	"ldap":        {ldapStarted, ldapStart, ""},
	"xmpp":        {xmppStream + xmppFeatures + xmppProceed, xmppHello + xmppStartTLS, ""},
	"xmpp-server": {strings.ReplaceAll(xmppStream+xmppFeatures, "jabber:client", "jabber:server") + "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>", strings.ReplaceAll(xmppHello, "jabber:client", "jabber:server") + xmppStartTLS, ""},
	"irc":         {":irc.x NOTICE * :*** Looking up your hostname\r\n@time=1 :irc.x 670 * :go\r\n", "STARTTLS\r\n", ""},
}

func TestEachProtocolIsAskedInItsOwnWords(t *testing.T) {
	for _, protocol := range starttls.ClientNames() {
		t.Run(protocol, func(t *testing.T) {
			a, ok := agreements[protocol]
			if !ok {
				t.Fatal("there is no dialogue of it")
			}
			for _, piece := range []int{0, 1, 3} { // 0: all at once
				greeting, w, err := requestPieces(protocol, a.says, piece)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.out.String(); got != a.asked && protocol != "mysql" {
					t.Errorf("asked\n%q, want\n%q", got, a.asked)
				}
				if string(greeting) != a.greeting {
					t.Errorf("greeted with %q, want %q", greeting, a.greeting)
				}
			}
		})
	}
}

// Whatever comes behind the last word, in one piece with it, is an attack, also
// if it is a TLS record: an alert that crypto/tls would pass over, a ServerHello.
func TestWhatComesBehindAnAgreementIsAnInjection(t *testing.T) {
	const warning, hello = "\x15\x03\x03\x00\x02\x01\x70", "\x16\x03\x03\x00\x04\x02\x00\x00\x00"
	for protocol, a := range agreements {
		for _, more := range []string{"x", "\n", " ", a.says, warning, hello, strings.Repeat("y", 10_000)} {
			t.Run(protocol, func(t *testing.T) {
				_, _, err := request(protocol, a.says+more)
				found, ok := errors.AsType[*starttls.Injection](err)
				if !ok || reasonOf(err) != reason.NotTLS {
					t.Fatalf("got %v, want an injection", err)
				}
				if !strings.HasPrefix(more, string(found.Bytes)) || len(found.Bytes) == 0 {
					t.Errorf("%q was injected, found is %q", more, found.Bytes)
				}
				if len(err.Error()) > 400 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
			})
		}
	}
}

// A dialogue that is cut anywhere is no agreement, and no clean end.
func TestACutDialogueIsNoAgreement(t *testing.T) {
	for protocol, a := range agreements {
		for n := range len(a.says) {
			if _, _, err := request(protocol, a.says[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: after %q: %v, want an unexpected EOF", protocol, a.says[:n], err)
			}
		}
	}
}

func TestClientSideByteForByte(t *testing.T) {
	for _, tt := range []struct{ name, protocol, in, out, err string }{
		{"has none", "postgres", "N", sslRequest, "does not offer TLS"},
		{"an error, which is not told", "postgres", "E\x00\x00\x00\x08evil", sslRequest, "answers with an error: it does not know TLS, or has no room"},
		{"something else", "postgres", "HTTP/1.1 400", sslRequest, `answers with 'H'`},

		{"has none", "smtp", "220 hi\r\n250-me\r\n250 STARTTLSX\r\n", "EHLO [127.0.0.1]\r\n", "does not offer STARTTLS"},
		{"its name is no offer", "smtp", "220 hi\r\n250 STARTTLS\r\n", "EHLO [127.0.0.1]\r\n", "does not offer STARTTLS"},
		{"refuses STARTTLS", "smtp", "220 hi\r\n250-me\r\n250 STARTTLS\r\n454 not now\r\n", "EHLO [127.0.0.1]\r\nSTARTTLS\r\n", `454 not now`},
		{"refuses us", "smtp", "554-no\r\n554 go away\r\n", "", `refuses us: "554-no\r\n554 go away"`},
		{"codes that differ", "smtp", "220-one\r\n250 two\r\n", "", "want a reply of SMTP"},
		{"no reply", "smtp", "SSH-2.0-x\r\n", "", "want a reply of SMTP"},
		{"an endless reply", "smtp", strings.Repeat("220-x\r\n", 101), "", "more than 100 lines"},

		{"has none", "lmtp", "220 hi\r\n250 me\r\n", "LHLO [127.0.0.1]\r\n", "does not offer STARTTLS"},
		{"is SMTP", "lmtp", "220 hi\r\n502 what\r\n", "LHLO [127.0.0.1]\r\n", `does not offer STARTTLS: ["502 what"]`},
		{"refuses us", "lmtp", "421 busy\r\n", "", `refuses us: "421 busy"`},
		{"an endless reply", "lmtp", "220 hi\r\n" + strings.Repeat("250-x\r\n", 101), "LHLO [127.0.0.1]\r\n", "more than 100 lines"},

		{"other codes stay", "imap", "* OK [ALERT] Hi\r\nt1 NO\r\n", "t1 STARTTLS\r\n", `with "t1 NO"`},
		{"refuses STARTTLS", "imap", "* OK hi\r\nt1 BAD what\r\n", "t1 STARTTLS\r\n", "t1 BAD what"},
		{"refuses us", "imap", "* BYE busy\r\n", "", `refuses us: "* BYE busy"`},
		{"authenticated", "imap", "* PREAUTH hi\r\n", "", "authenticated already"},
		{"something else", "imap", "220 hi\r\n", "", "want * OK"},
		{"endless words", "imap", "* OK hi\r\n" + strings.Repeat("* x\r\n", 101), "t1 STARTTLS\r\n", "more than 100 lines"},

		{"refuses STLS", "pop3", "+OK hi\r\n-ERR what\r\n", "STLS\r\n", "-ERR what"},
		{"refuses us", "pop3", "-ERR busy\r\n", "", "refuses us"},
		{"an endless line", "pop3", strings.Repeat("x", 2000), "", "longer than 1000 bytes"},

		{"has none", "ftp", "220 hi\r\n502 what\r\n", "AUTH TLS\r\n", `answers AUTH TLS with ["502 what"]`},
		{"wants more than we say", "ftp", "220 hi\r\n334 ADAT=x\r\n", "AUTH TLS\r\n", `answers AUTH TLS with ["334 ADAT=x"]`},
		{"refuses us", "ftp", "421-too many\r\nusers\r\n421 bye\r\n", "", `refuses us: "421-too many\r\nusers\r\n421 bye"`},
		{"no reply", "ftp", "SSH-2.0-x\r\n", "", "want a reply of FTP"},
		{"an endless reply", "ftp", "220-hi\r\n" + strings.Repeat("x\r\n", 101), "", "more than 100 lines"},
		{"endless patience", "ftp", strings.Repeat("120 soon\r\n", 21), "", "greeted us 20 times"},

		{"has none", "nntp", "200 hi\r\n101 list:\r\nVERSION 2\r\nSTARTTLSX\r\n.\r\n", "CAPABILITIES\r\n", "does not offer STARTTLS"},
		{"has no list", "nntp", "200 hi\r\n500 what\r\n", "CAPABILITIES\r\n", `does not offer STARTTLS, and answers CAPABILITIES with "500 what"`},
		{"refuses STARTTLS", "nntp", "200 hi\r\n101 list:\r\nSTARTTLS\r\n.\r\n580 not now\r\n", "CAPABILITIES\r\nSTARTTLS\r\n", "580 not now"},
		{"refuses us", "nntp", "502 who are you\r\n", "", `refuses us: "502 who are you"`},
		{"no response", "nntp", "+OK hi\r\n", "", "want a response of NNTP"},
		{"an endless list", "nntp", "200 hi\r\n101 list:\r\n" + strings.Repeat("X\r\n", 101), "CAPABILITIES\r\n", "more than 100 lines"},

		{"has none", "sieve", "\"IMPLEMENTATION\" \"STARTTLS\"\r\nOK\r\n", "", "does not offer STARTTLS"},
		{"a literal is no offer", "sieve", "\"SASL\" {14+}\r\n\r\n\"STARTTLS\"\r\n\r\nOK\r\n", "", "does not offer STARTTLS"},
		{"refuses STARTTLS", "sieve", sieveGreeting + "NO \"not now\"\r\n", "STARTTLS\r\n", `NO \"not now\"`},
		{"refuses us", "sieve", "BYE \"busy\"\r\n", "", `refuses us: "BYE \"busy\""`},
		{"something else", "sieve", "220 hi\r\n", "", "want a response of ManageSieve"},
		{"a huge literal", "sieve", "OK {2147483647}\r\n", "", "longer than 1000 bytes"},
		{"endless literals", "sieve", strings.Repeat("\"X\" {1}\r\ny", 500), "", "longer than 1000 bytes"},
		{"an endless list", "sieve", strings.Repeat("\"X\"\r\n", 101), "", "more than 100 lines"},

		{"agrees in few words", "ldap", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", ldapStart, ""},
		{"refuses", "ldap", "\x30\x10\x02\x01\x01\x78\x0b\x0a\x01\x34\x04\x00\x04\x04busy", ldapStart, `result 52, "busy"`},
		{"notice of disconnection", "ldap", "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", ldapStart, "a message of the kind 0x78"},
		{"something else", "ldap", "220 hi\r\n" + strings.Repeat("x", 80), ldapStart, "no LDAP message"},
		{"endless", "ldap", "\x30\x84\x7f\xff\xff\xff", ldapStart, "no LDAP message"},

		{"has none", "xmpp", xmppStream + "<stream:features/>", xmppHello, "does not offer STARTTLS"},
		{"another starttls", "xmpp", xmppStream + "<stream:features><starttls xmlns='x'/></stream:features>", xmppHello, "does not offer STARTTLS"},
		{"a starttls of another feature", "xmpp", xmppStream + "<stream:features><x xmlns='x'>" + xmppStartTLS + "</x></stream:features>", xmppHello, "does not offer STARTTLS"},
		{"too old", "xmpp", strings.Replace(xmppStream, " version='1.0' xml", " xml", 1), xmppHello, "older than version 1.0"},
		{"refuses starttls", "xmpp", xmppStream + xmppFeatures + "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>", xmppHello + xmppStartTLS, `answers starttls with "failure"`},
		{"another proceed", "xmpp", xmppStream + xmppFeatures + "<proceed/>", xmppHello + xmppStartTLS, `answers starttls with "proceed"`},
		{"more than an agreement", "xmpp", xmppStream + xmppFeatures + "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'><x/></proceed>", xmppHello + xmppStartTLS, "more than an agreement"},
		{"refuses us", "xmpp", xmppStream + "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", xmppHello, `refuses us: "stream error host-unknown"`},
		{"an empty refusal", "xmpp", xmppStream + "<stream:error/>", xmppHello, `refuses us: "stream error"`},
		{"ends", "xmpp", xmppStream + "</stream:stream>", xmppHello, "ends the stream before TLS"},
		{"a document type", "xmpp", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + xmppStream, xmppHello, "which XMPP forbids"},
		{"a comment", "xmpp", xmppStream + "<!-- x -->", xmppHello, "which XMPP forbids"},
		{"an instruction", "xmpp", xmppStream + "<?x y?>", xmppHello, "which XMPP forbids"},
		{"a second declaration", "xmpp", xmppStream + "<?xml version='1.0'?>", xmppHello, "which XMPP forbids"},
		{"an entity", "xmpp", xmppStream + "<stream:features>&a;", xmppHello, "no XML stream: invalid character entity &a;"},
		{"wrong nesting", "xmpp", xmppStream + "<stream:features></stream:x>", xmppHello, "no XML stream"},
		{"another encoding", "xmpp", "<?xml version='1.0' encoding='UTF-7'?>" + xmppStream, xmppHello, "encoding"},
		{"something else", "xmpp", "220 <hi>\r\n", xmppHello, `begins with "hi"`},
		{"endless text", "xmpp", strings.Repeat("x", 20_000), xmppHello, "has sent 16384 bytes"},
		{"endless features", "xmpp", xmppStream + xmppOverlong + strings.Repeat("<x>", 10_000), xmppHello, "has sent 16384 bytes"},
		{"an endless tag", "xmpp", "<x " + strings.Repeat("a='b' ", 10_000), xmppHello, "has sent 16384 bytes"},

		{"refuses STARTTLS", "irc", ":irc.x 691 * :no\r\n", "STARTTLS\r\n", `answers STARTTLS with ":irc.x 691 * :no"`},
		{"does not know it", "irc", ":irc.x 421 * STARTTLS :Unknown command\r\n", "STARTTLS\r\n", "421 * STARTTLS"},
		{"refuses us", "irc", "ERROR :too many\r\n", "STARTTLS\r\n", `refuses us: "ERROR :too many"`},
		{"something else", "irc", "220 hi\r\n\r\n", "STARTTLS\r\n", `says "": want a message of IRC`},
		{"no command", "irc", ":irc.x\r\n", "STARTTLS\r\n", "want a message of IRC"},
		{"endless notices", "irc", strings.Repeat("NOTICE * :x\r\n", 101), "STARTTLS\r\n", "more than 100 lines"},
	} {
		t.Run(tt.protocol+"/"+tt.name, func(t *testing.T) {
			_, w, err := request(tt.protocol, tt.in)
			check(t, err, tt.err)
			if got := w.out.String(); got != tt.out {
				t.Errorf("asked\n%q, want\n%q", got, tt.out)
			}
		})
	}
}

func TestAStreamIsForTheServerThatWeName(t *testing.T) {
	w := newWire(xmppStream)
	(&starttls.Client{Protocol: "xmpp", ServerName: `a'b<c>"&d`}).Request(w)
	if want := `to='a&#39;b&lt;c&gt;&#34;&amp;d'`; !strings.Contains(w.out.String(), want) {
		t.Errorf("asked %q, want %s", w.out.String(), want)
	}
	_, err := (&starttls.Client{Protocol: "xmpp"}).Request(newWire(xmppStream))
	check(t, err, "no name is known")
}

// An endless reply is none of the protocol's.
func TestAnEndlessReplyIsNotTLS(t *testing.T) {
	if _, _, err := request("smtp", strings.Repeat("220-x\r\n", 101)); reasonOf(err) != reason.NotTLS {
		t.Errorf("%v: reason %q, want %q", err, reasonOf(err), reason.NotTLS)
	}
}

func TestServersWithoutTLSAreNotTLSAndThoseThatRefuseUsAreTold(t *testing.T) {
	for protocol, says := range map[string]string{
		"postgres": "N", "smtp": "220 x\r\n250 x\r\n", "pop3": "+OK\r\n-ERR\r\n", "ftp": "220 x\r\n500 x\r\n",
		"xmpp": xmppStream + "<stream:features/>", "irc": ":x 691 x :x\r\n", "nntp": "200 x\r\n500 x\r\n", "sieve": "OK\r\n",
	} {
		if _, _, err := request(protocol, says); reasonOf(err) != reason.NotTLS {
			t.Errorf("%s: reason %q, want not-tls", protocol, reasonOf(err))
		}
	}
	_, _, err := request("smtp", "554 no\r\n")
	if r, ok := errors.AsType[*starttls.Refusal](err); !ok || string(r.Words) != "554 no\r\n" || reasonOf(err) != reason.PeerRefusedUs("greeting") {
		t.Errorf("got %v, reason %q", err, reasonOf(err))
	}
}

func FuzzRequest(f *testing.F) {
	names := starttls.ClientNames()
	for protocol, a := range agreements {
		which := byte(slices.Index(names, protocol))
		f.Add(which, byte(0), []byte(a.says))
		f.Add(which, byte(1), []byte(a.says+"x"))
	}
	f.Fuzz(func(t *testing.T, which, piece byte, says []byte) {
		protocol := names[int(which)%len(names)]
		_, w, err := requestPieces(protocol, string(says), int(piece))
		if w.out.Len() > 1000 {
			t.Errorf("%d bytes were asked", w.out.Len())
		}
		if read := len(says) - w.in.Len(); read > 256<<10 {
			t.Errorf("%d bytes were read", read)
		}
		// Whatever the pieces, an agreement with something behind it is none.
		if _, _, more := request(protocol, string(says)+"\x15"); err == nil && w.rest() == "" && more == nil {
			t.Error("what comes behind an agreement was passed over")
		}
	})
}
