package tlsserver_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A retryHello is a ClientHello of TLS 1.3 (RFC 8446, 4.1.2) that a server can
// only answer with a HelloRetryRequest, as long as it has no share.
type retryHello struct {
	random []byte
	name   string
	share  []byte // of X25519
}

// record is the hello in a record.
func (h retryHello) record(t *testing.T) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddBytes([]byte{22, 3, 3})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(1)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(0x0303)
			b.AddBytes(h.random)
			b.AddBytes([]byte{0, 0, 2, 0x13, 0x01, 1, 0}) // no session, one suite, no compression
			b.AddUint16LengthPrefixed(h.addExtensions)
		})
	})
	record, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func (h retryHello) addExtensions(b *cryptobyte.Builder) {
	extension := func(number uint16, content func(*cryptobyte.Builder)) {
		b.AddUint16(number)
		b.AddUint16LengthPrefixed(content)
	}
	extension(0, func(b *cryptobyte.Builder) { // server_name
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(h.name)) })
		})
	})
	extension(10, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 2, 0, 0x1d}) })    // X25519
	extension(13, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 4, 4, 3, 8, 4}) }) // ECDSA and RSA-PSS
	extension(43, func(b *cryptobyte.Builder) { b.AddBytes([]byte{2, 3, 4}) })          // TLS 1.3
	extension(51, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { // key_share
			if h.share != nil {
				b.AddUint16(0x1d)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(h.share) })
			}
		})
	})
}

// readRecord reads one, but for a change_cipher_spec, which means nothing.
func readRecord(t *testing.T, c net.Conn) (kind byte, content []byte) {
	t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	content = make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(c, content); err != nil {
		t.Fatal(err)
	}
	if head[0] == 20 {
		return readRecord(t, c)
	}
	return head[0], content
}

// The rules are chosen by the first hello. A client that asks for another name in
// the second one, which follows a HelloRetryRequest, is refused (RFC 8446, 4.1.2):
// it would be judged by the rules of one name, and taken for a client of the other.
func TestANameCannotBeExchangedInTheMiddleOfAHandshake(t *testing.T) {
	s := newNamedServer(t)
	s.Start()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for second, want := range map[string][]byte{"lax.localhost": nil, "strict.localhost": {2, 47}} { // fatal, illegal_parameter
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		hello := retryHello{random: bytes.Repeat([]byte{7}, 32), name: "lax.localhost"}
		c.Write(hello.record(t))
		if kind, content := readRecord(t, c); kind != 22 || content[0] != 2 || content[6] != 0xcf { // the random of a retry request
			t.Fatalf("the first hello was answered with a record of type %d: %x", kind, content)
		}
		hello.name, hello.share = second, key.PublicKey().Bytes()
		c.Write(hello.record(t))
		kind, content := readRecord(t, c)
		switch {
		case want == nil && (kind != 22 || content[0] != 2):
			t.Errorf("the same name again was answered with a record of type %d: %x, want a ServerHello", kind, content)
		case want != nil && (kind != 21 || !bytes.Equal(content, want)):
			t.Errorf("another name was answered with a record of type %d: %x, want the alert %x", kind, content, want)
		}
		c.Close()
		s.WaitEnded()
	}
}
