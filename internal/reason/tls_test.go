package reason

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// The errors here are made by the crypto/tls that we are built with: one that
// says them otherwise must not go unnoticed.

// A tlsCase makes one error of crypto/tls, on the side that is named by it.
type tlsCase struct {
	name   string
	text   string // of tlsTexts, where it is told by one
	reason Reason
	make   func(t *testing.T) error
}

// atServer and atClient are handshakes of which one end's error is meant.
func (a *ca) atServer(change func(server, client *tls.Config)) func(*testing.T) error {
	return func(t *testing.T) error {
		server, client := a.pair(t)
		change(server, client)
		err, _ := shake(server, client)
		return err
	}
}

func (a *ca) atClient(change func(server, client *tls.Config)) func(*testing.T) error {
	return func(t *testing.T) error {
		server, client := a.pair(t)
		change(server, client)
		_, err := shake(server, client)
		return err
	}
}

// only12 limits a handshake to TLS 1.2.
func only12(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }

func textCases(t *testing.T) []tlsCase {
	a := newCA(t)
	garbage := tls.Certificate{Certificate: [][]byte{[]byte("no certificate")}, PrivateKey: newKey(t)}
	return []tlsCase{
		{"TLS 1.3, no client certificate", "tls: client didn't provide a certificate", NoCertificate, a.atServer(func(_, c *tls.Config) { c.Certificates = nil })},
		{"TLS 1.2, no client certificate", "tls: client didn't provide a certificate", NoCertificate, a.atServer(func(_, c *tls.Config) { c.Certificates = nil; only12(c) })},
		{"no certificate for the name", "tls: no certificates configured", SNI, a.atServer(func(s, _ *tls.Config) {
			s.Certificates = nil
			s.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		})},
		{"client too old", "tls: client offered only unsupported versions", Version, a.atServer(func(s, c *tls.Config) { s.MinVersion = tls.VersionTLS13; only12(c) })},
		{"server too old", "tls: server selected unsupported protocol version", Version, func(t *testing.T) error {
			_, client := a.pair(t)
			return toClient(client, serverHello(tls.VersionTLS11))
		}},
		{"fallback to TLS 1.2", "tls: client using inappropriate protocol fallback", Version, func(t *testing.T) error {
			server, client := a.pair(t)
			only12(client)
			h := helloOf(t, client)
			h.suites = append(h.suites, 0x56, 0x00) // TLS_FALLBACK_SCSV (RFC 7507)
			return toServer(server, h.bytes())
		}},
		{"TLS 1.2, other suites", "tls: no cipher suite supported by both client and server", NoSharedCipher, a.atServer(func(s, c *tls.Config) {
			only12(c)
			s.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		})},
		{"TLS 1.3, other suites", "tls: no cipher suite supported by both client and server", NoSharedCipher, func(t *testing.T) error {
			server, client := a.pair(t)
			h := helloOf(t, client)
			h.suites = []byte{0x13, 0x05} // TLS_AES_128_CCM_8_SHA256
			return toServer(server, h.bytes())
		}},
		{"TLS 1.3, other groups", "tls: no key exchanges supported by both client and server", NoSharedGroup, a.atServer(func(s, c *tls.Config) {
			s.CurvePreferences, c.CurvePreferences = []tls.CurveID{tls.X25519}, []tls.CurveID{tls.CurveP256}
		})},
		{"no signature in common", "tls: peer doesn't support any of the certificate's signature algorithms", NoSharedCipher, func(t *testing.T) error {
			server, client := a.pair(t)
			h := helloOf(t, client)
			h.extensions[13] = []byte{0, 2, 0x08, 0x04} // rsa_pss_rsae_sha256; the key is ECDSA
			return toServer(server, h.bytes())
		}},
		{"the client's protocols", "tls: client requested unsupported application protocols", ALPN, a.atServer(func(s, c *tls.Config) { s.NextProtos, c.NextProtos = []string{"a"}, []string{"b"} })},
		{"the server's protocol", "tls: server selected unadvertised ALPN protocol", ALPN, func(t *testing.T) error {
			_, client := a.pair(t)
			client.NextProtos = []string{"ours"}
			client.MaxVersion = tls.VersionTLS12
			return toClient(client, serverHello(tls.VersionTLS12, 0, 16, 0, 4, 0, 2, 1, 'x'))
		}},
		{"TLS 1.3, client with another key", "tls: invalid signature by the client certificate", Untrusted, a.atServer(func(_, c *tls.Config) { c.Certificates[0] = withOtherKey(t, c.Certificates[0]) })},
		{"TLS 1.2, client with another key", "tls: invalid signature by the client certificate", Untrusted, a.atServer(func(_, c *tls.Config) { c.Certificates[0] = withOtherKey(t, c.Certificates[0]); only12(c) })},
		{"TLS 1.3, server with another key", "tls: invalid signature by the server certificate", Untrusted, a.atClient(func(s, _ *tls.Config) { s.Certificates[0] = withOtherKey(t, s.Certificates[0]) })},
		{"TLS 1.2, server with another key", "tls: invalid signature by the server certificate", Untrusted, a.atClient(func(s, c *tls.Config) { s.Certificates[0] = withOtherKey(t, s.Certificates[0]); only12(c) })},
		{"the server's certificate is none", "tls: failed to parse certificate from server", Untrusted, a.atClient(func(s, _ *tls.Config) { s.Certificates = []tls.Certificate{garbage} })},
		{"the client's certificate is none", "tls: failed to parse client certificate", Untrusted, a.atServer(func(_, c *tls.Config) { c.GetClientCertificate = always(garbage) })},
	}
}

// unreachable are the texts that this Go version has and cannot say, with the
// reason; what is not here must be made.
var unreachable = map[string]string{
	"tls: no supported elliptic curves offered": "TLS 1.2 takes a suite with ECDHE only where a group is in common, so that the check before it fails; kept for a version in which the two differ",
}

func TestEachTextOfCryptoTLSIsStillSaid(t *testing.T) {
	made := make(map[string]bool)
	for _, c := range textCases(t) {
		made[c.text] = true
		t.Run(c.name, func(t *testing.T) {
			err := c.make(t)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("crypto/tls says %v, want %q", err, c.text)
			}
			wantReason(t, err, c.reason)
		})
	}
	for _, row := range tlsTexts {
		if !made[row.text] && unreachable[row.text] == "" {
			t.Errorf("no test makes %q", row.text)
		}
		if err := errors.New(row.text); Of(err, "") != row.reason {
			t.Errorf("%q is %q, want %q", row.text, Of(err, ""), row.reason)
		}
	}
}

// wantReason checks the error as it is, and wrapped as others do.
func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	if err == nil {
		if want != Done {
			t.Errorf("no error, want %q", want)
		}
		return
	}
	for _, wrapped := range []error{err, fmt.Errorf("shake hands: %w", err), errors.Join(errors.New("other"), fmt.Errorf("deep: %w", fmt.Errorf("deeper: %w", err)))} {
		if got := Of(wrapped, "handshake"); got != want {
			t.Errorf("%v (%T) is %q, want %q", wrapped, wrapped, got, want)
		}
	}
}

func TestTheReasonOfARefusedCertificate(t *testing.T) {
	a, foreign := newCA(t), newCA(t)
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	for _, c := range []struct {
		name   string
		issuer *ca
		change func(*x509.Certificate)
		reason Reason
		client Reason // where a client's certificate is judged otherwise
	}{
		{"foreign", foreign, nil, Untrusted, ""},
		{"self-signed", &ca{}, nil, Untrusted, ""},
		{"expired", a, func(c *x509.Certificate) { c.NotAfter = past }, Expired, ""},
		{"not yet valid", a, func(c *x509.Certificate) { c.NotBefore = future }, NotYetValid, ""},
		{"for another use", a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, WrongUsage, ""},
		{"for another name", a, func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }, Name, Done},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := c.issuer.issue(t, c.change)
			t.Run("server's", func(t *testing.T) {
				server, client := a.pair(t)
				server.Certificates[0] = cert
				serverErr, err := shake(server, client)
				wantReason(t, err, c.reason)
				if kind := Of(serverErr, "").Kind(); kind != "peer-refused-us" {
					t.Errorf("the server's reason is %q, want peer-refused-us", kind)
				}
			})
			t.Run("client's", func(t *testing.T) {
				server, client := a.pair(t)
				client.Certificates, client.GetClientCertificate = nil, always(cert)
				err, clientErr := shake(server, client)
				want := c.reason
				if c.client != "" {
					want = c.client
				}
				wantReason(t, err, want)
				if kind := Of(clientErr, "").Kind(); want != Done && kind != "peer-refused-us" {
					t.Errorf("the client's reason is %q, want peer-refused-us", kind)
				}
			})
		})
	}
}

// What a peer's alert says: the words of the negotiation are the same on both
// ends, the others name the alert.
func TestTheReasonOfARefusalByThePeer(t *testing.T) {
	a := newCA(t)
	for _, c := range []tlsCase{
		{"version", "", Version, a.atClient(func(s, c *tls.Config) { s.MinVersion = tls.VersionTLS13; only12(c) })},
		{"name", "", SNI, a.atClient(func(s, _ *tls.Config) {
			s.Certificates = nil
			s.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		})},
		{"protocol", "", ALPN, a.atClient(func(s, c *tls.Config) { s.NextProtos, c.NextProtos = []string{"a"}, []string{"b"} })},
		{"TLS 1.3, no certificate", "", PeerRefusedUs("certificate_required"), a.atClient(func(_, c *tls.Config) { c.Certificates = nil })},
		{"TLS 1.2, no certificate", "", PeerRefusedUs("handshake_failure"), a.atClient(func(_, c *tls.Config) { c.Certificates = nil; only12(c) })},
		{"VerifyConnection", "", PeerRefusedUs("bad_certificate"), a.atClient(func(s, _ *tls.Config) {
			s.VerifyConnection = func(tls.ConnectionState) error { return errors.New("no") }
		})},
		{"an error of the server", "", PeerRefusedUs("internal_error"), a.atClient(func(s, _ *tls.Config) {
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }
		})},
		{"the client's refusal", "", PeerRefusedUs("bad_certificate"), a.atServer(func(_, c *tls.Config) { c.ServerName = "other.test" })},
	} {
		t.Run(c.name, func(t *testing.T) { wantReason(t, c.make(t), c.reason) })
	}
}

// Every alert there is, from a real client that gets it.
func TestEachAlertHasItsName(t *testing.T) {
	words := map[uint8]Reason{70: Version, 112: SNI, 120: ALPN}
	for n := range 256 {
		number := uint8(n)
		name := alertNames[number]
		text := tls.AlertError(number).Error()
		if found, ok := alertNumber(tls.AlertError(number)); ok != (name != "") || ok && found != number {
			t.Errorf("%q is found as %d, %v; want %d", text, found, ok, number)
		}
		if known := !strings.Contains(text, "alert("); known && name == "" {
			t.Errorf("crypto/tls knows the alert %d as %q, and we do not", number, text)
		}
		if number == 0 {
			continue // close_notify is an end
		}
		want, ok := words[number]
		switch {
		case ok:
		case name != "":
			want = PeerRefusedUs(name)
		default:
			want = PeerRefusedUs("unknown")
		}
		err := toClient(&tls.Config{ServerName: "localhost"}, record(21, []byte{2, number}))
		if got := Of(err, "handshake"); got != want {
			t.Errorf("alert %d: %v is %q, want %q", number, err, got, want)
		}
	}
	seen := make(map[string]bool)
	for number, name := range alertNames {
		if seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("alert %d has the name %q", number, name)
		}
		seen[name] = true
	}
}

func TestWhatBreaksTheProtocolIsMalformed(t *testing.T) {
	a := newCA(t)
	server, client := a.pair(t)
	good := helloOf(t, client).bytes()
	for _, c := range []tlsCase{
		{"a hello that is none", "", Malformed, func(*testing.T) error { return toServer(server, message(1, []byte{1, 2, 3})) }},
		{"another message", "", Malformed, func(*testing.T) error { return toServer(server, message(14, nil)) }},
		{"too large a message", "", Malformed, func(*testing.T) error { return toServer(server, record(22, []byte{1, 0xff, 0xff, 0xff})) }},
		{"an alert that is none", "", Malformed, func(*testing.T) error { return toServer(server, record(21, []byte{2})) }},
		{"an unknown record", "", Malformed, func(*testing.T) error { return toServer(server, slices.Concat(good, record(99, []byte{1}))) }},
		{"data in the handshake", "", Malformed, func(*testing.T) error {
			return toClient(client, slices.Concat(serverHello(tls.VersionTLS12), record(23, make([]byte, 50))))
		}},
		{"a record too large", "", Malformed, func(*testing.T) error { return toServer(server, []byte{22, 3, 1, 0xff, 0xff, 1, 2, 3}) }},
		{"no TLS, after the hello", "", Malformed, func(*testing.T) error { return toServer(server, slices.Concat(good, []byte("GET / HTTP/1.1\r\n\r\n"))) }},
	} {
		t.Run(c.name, func(t *testing.T) { wantReason(t, c.make(t), c.reason) })
	}
	t.Run("a record that does not decrypt", func(t *testing.T) {
		s, c := net.Pipe()
		defer s.Close()
		defer c.Close()
		peer, ours := tls.Server(s, server), tls.Client(c, client)
		go func() {
			if peer.Handshake() == nil {
				s.Write(record(23, make([]byte, 40)))
				io.Copy(io.Discard, s)
			}
		}()
		_, err := ours.Read(make([]byte, 1))
		wantReason(t, err, Malformed)
	})
}

func TestWhatIsNotTLS(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{newCA(t).issue(t, nil)}}
	for _, c := range []struct{ name, first, like string }{
		{"GET", "GET / HTTP/1.1\r\n\r\n", "http"},
		{"HEAD", "HEAD / HTTP/1.1\r\n\r\n", "http"},
		{"POST", "POST / HTTP/1.1\r\n\r\n", "http"},
		{"PUT", "PUT / HTTP/1.1\r\n\r\n", "http"},
		{"DELETE", "DELETE / HTTP/1.1\r\n\r\n", "http"},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\n\r\n", "http"},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\n\r\n", "http"},
		{"PATCH", "PATCH / HTTP/1.1\r\n\r\n", "http"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http"},
		{"an answer", "HTTP/1.1 400 Bad Request\r\n\r\n", "http"},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", "ssh"},
		{"PROXY v1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy-protocol"},
		{"PROXY v2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "proxy-protocol"},
		{"SMTP", "220 mail.test ESMTP\r\n", "smtp-or-ftp"},
		{"FTP", "220-Welcome\r\n", "smtp-or-ftp"},
		{"our greeting", "hello\r\n", ""},
		{"POP3", "+OK ready\r\n", ""},
		{"zeros", "\x00\x00\x00\x00\x00\x00", ""},
		{"a word that begins like a method", "GETAWAY\r\n", ""},
		{"SSLv2", "\x80\x2e\x01\x00\x02\x00\x15\x00", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range []error{
				toServer(server, []byte(c.first)),
				toClient(&tls.Config{ServerName: "localhost"}, []byte(c.first)),
			} {
				wantReason(t, err, NotTLS)
				for _, err := range []error{err, fmt.Errorf("shake hands: %w", err)} {
					if got := LooksLike(err); got != c.like {
						t.Errorf("%v looks like %q, want %q", err, got, c.like)
					}
				}
			}
		})
	}
	if got := LooksLike(errors.New("GET / HTTP/1.1")); got != "" {
		t.Errorf("an error of another kind looks like %q", got)
	}
}
