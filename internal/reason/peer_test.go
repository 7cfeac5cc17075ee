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
	"io"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

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
