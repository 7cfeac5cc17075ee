package reason

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// The errors here are made by the crypto/tls that we are built with: one that
// says them otherwise must not go unnoticed.

// A ca signs certificates as the tests want them.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *ca {
	t.Helper()
	a := &ca{}
	root := a.issue(t, func(c *x509.Certificate) { c.IsCA, c.ExtKeyUsage = true, nil })
	a.cert, a.key = root.Leaf, root.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs a certificate that is good for both ends, as change leaves it.
func (a *ca) issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "a test's"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// pair is a server and a client that go together, and present certificates to
// each other.
func (a *ca) pair(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	server = &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, ClientCAs: a.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	client = &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, RootCAs: a.pool(), ServerName: "localhost"}
	return server, client
}

// A queued is one end of a pipe whose writes do not wait for the reader, as
// those of a socket: else both ends of a failing handshake wait for ever.
type queued struct {
	net.Conn
	queue chan []byte
}

func newQueued(c net.Conn) *queued {
	q := &queued{c, make(chan []byte, 100)}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	go q.pump()
	return q
}

func (q *queued) pump() {
	var err error
	for b := range q.queue {
		if err == nil {
			_, err = q.Conn.Write(b)
		}
	}
	q.Conn.Close()
}

func (q *queued) Write(b []byte) (int, error) {
	q.queue <- bytes.Clone(b)
	return len(b), nil
}

// Close closes once all is written.
func (q *queued) Close() error {
	close(q.queue)
	return nil
}

// shake is a handshake over a pipe and a byte each way; it returns what each
// end ended with.
func shake(server, client *tls.Config) (serverErr, clientErr error) {
	s, c := net.Pipe()
	exchange := func(conn *tls.Conn, first bool) error {
		defer conn.NetConn().Close()
		b := make([]byte, 1)
		if err := conn.Handshake(); err != nil {
			return err
		}
		if first {
			if _, err := conn.Write(b); err != nil {
				return err
			}
		}
		_, err := conn.Read(b)
		if err == nil && !first {
			_, err = conn.Write(b)
		}
		return err
	}
	done := make(chan error, 1)
	go func() { done <- exchange(tls.Server(newQueued(s), server), true) }()
	clientErr = exchange(tls.Client(newQueued(c), client), false)
	return <-done, clientErr
}

// feed gives literal bytes to one end, and returns what its handshake ended with.
func feed(end *tls.Conn, other net.Conn, data []byte) error {
	other.SetDeadline(time.Now().Add(10 * time.Second))
	done := make(chan error, 1)
	go func() {
		done <- end.Handshake()
		end.NetConn().Close()
	}()
	go io.Copy(io.Discard, other)
	other.Write(data)
	return <-done
}

// toServer and toClient feed a server or a client.
func toServer(config *tls.Config, data []byte) error {
	ours, other := net.Pipe()
	return feed(tls.Server(ours, config), other, data)
}

func toClient(config *tls.Config, data []byte) error {
	ours, other := net.Pipe()
	return feed(tls.Client(ours, config), other, data)
}

// record is a TLS record.
func record(kind byte, body []byte) []byte {
	return slices.Concat([]byte{kind, 3, 3}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
}

// message is a handshake message in a record.
func message(kind byte, body []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	length[0] = kind
	return record(22, append(length, body...))
}

// serverHello is one of TLS 1.2 or before, with TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
func serverHello(version uint16, extensions ...byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(body, bytes.Repeat([]byte{7}, 32)...) // random
	body = append(body, 0, 0xc0, 0x2b, 0)               // session, suite, compression
	body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
	return message(2, append(body, extensions...))
}

// A hello is the body of a ClientHello, taken apart where tests change it.
type hello struct {
	head       []byte // version, random, session
	suites     []byte
	extensions map[uint16][]byte
}

// helloOf is what crypto/tls' client sends.
func helloOf(t testing.TB, config *tls.Config) *hello {
	t.Helper()
	ours, other := net.Pipe()
	defer other.Close()
	go func() { tls.Client(ours, config).Handshake(); ours.Close() }()
	header := make([]byte, 9)
	if _, err := io.ReadFull(other, header); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, int(binary.BigEndian.Uint16(header[3:]))-4)
	if _, err := io.ReadFull(other, b); err != nil {
		t.Fatal(err)
	}
	h := &hello{extensions: make(map[uint16][]byte)}
	session := int(b[34])
	h.head, b = b[:35+session], b[35+session:]
	n := int(binary.BigEndian.Uint16(b))
	h.suites, b = b[2:2+n], b[2+n:]
	b = b[2+2:] // compression, length of the extensions
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		h.extensions[binary.BigEndian.Uint16(b)] = b[4 : 4+n]
		b = b[4+n:]
	}
	return h
}

func (h *hello) bytes() []byte {
	var extensions []byte
	for number, body := range h.extensions {
		extensions = binary.BigEndian.AppendUint16(extensions, number)
		extensions = binary.BigEndian.AppendUint16(extensions, uint16(len(body)))
		extensions = append(extensions, body...)
	}
	b := slices.Clone(h.head)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.suites)))
	b = append(b, h.suites...)
	b = append(b, 1, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(extensions)))
	return message(1, append(b, extensions...))
}

// otherKey signs with a key that is not the certificate's.
type otherKey struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k otherKey) Public() crypto.PublicKey { return k.public }

func withOtherKey(t testing.TB, cert tls.Certificate) tls.Certificate {
	cert.PrivateKey = otherKey{newKey(t), cert.Leaf.PublicKey}
	return cert
}

// always presents a certificate, and does not look into it.
func always(cert tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

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
