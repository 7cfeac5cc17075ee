package starttls

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"io"
)

// Capabilities of MySQL's protocol. What servers may do later that clients have
// to expect (other ends of results, session tracking, compression, MariaDB's
// extensions) is never agreed to: the target is not known yet when the client is
// told what there is.
const (
	myConnectWithDB  = 1 << 3
	myProtocol41     = 1 << 9
	mySSL            = 1 << 11
	mySecureAuth     = 1 << 15
	myPluginAuth     = 1 << 19
	myConnectAttrs   = 1 << 20
	myPluginAuthLong = 1 << 21

	// myNeeded is what both sides must have: MySQL since 5.5.7, MariaDB since 5.5.
	myNeeded = myProtocol41 | mySecureAuth | myPluginAuth

	// myOffered is myNeeded, and long passwords and flags, found rows, a
	// database, no schema, local files, spaces, interactive, SIGPIPE,
	// transactions, multiple statements and results, attributes.
	myOffered = myNeeded | 1<<0 | 1<<1 | 1<<2 | myConnectWithDB | 1<<4 | 1<<7 | 1<<8 | 1<<10 | 1<<12 | 1<<13 |
		1<<16 | 1<<17 | 1<<18 | myConnectAttrs | myPluginAuthLong
)

// DefaultVersion is what MySQL clients hear that the server is before any target
// has said what it is. Clients compare it; the suffix says whose it is.
const DefaultVersion = "8.0.11-tcps"

const (
	myUTF8MB4     = 45   // utf8mb4_general_ci
	myAutocommit  = 2    // of the status flags
	myHeader      = 4    // bytes before a packet's payload: length and sequence number
	mySSLRequest  = 32   // its payload, and what a login begins with
	myMaxGreeting = 1024 // payload
	myMaxLogin    = 1 << 17
)

// The first bytes of payloads.
const (
	myOK         = 0x00
	myErr        = 0xff
	myProtocol10 = 10
)

// packet frames a payload.
func packet(seq byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, payload...)
}

// readPacket reads one packet, and not a byte more.
func readPacket(r io.Reader, limit int) (seq byte, payload []byte, err error) {
	var head [myHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > limit || n == 0 {
		return 0, nil, notTLS("a packet of %d bytes: want 1 to %d", n, limit)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, cut(err)
	}
	return head[3], payload, nil
}

// mysqlGreeting is our own: the client has to answer the scramble of the target,
// which nobody dials before the client's TLS handshake, so this one is thrown
// away.
func mysqlGreeting(version string, capabilities uint32) []byte {
	if version == "" {
		version = DefaultVersion
	}
	scramble := newScramble()
	g := append([]byte{myProtocol10}, version...)
	g = append(g, 0)
	g = binary.LittleEndian.AppendUint32(g, 1) // the connection's number, for KILL: nobody's
	g = append(g, scramble[:8]...)
	g = append(g, 0)
	g = binary.LittleEndian.AppendUint16(g, uint16(capabilities))
	g = append(g, myUTF8MB4)
	g = binary.LittleEndian.AppendUint16(g, myAutocommit)
	g = binary.LittleEndian.AppendUint16(g, uint16(capabilities>>16))
	g = append(g, byte(len(scramble)+1))
	g = append(g, make([]byte, 10)...)
	g = append(g, scramble[8:]...)
	g = append(g, 0)
	return append(g, "mysql_native_password\x00"...)
}

// newScramble is 20 random bytes, none of which is 0: they stand in a string.
func newScramble() []byte {
	b := make([]byte, 20)
	rand.Read(b)
	for i := range b {
		b[i] = b[i]&0x7f | 1 // as servers do: 7 bits
	}
	return b
}

// mysqlError is an ERR packet.
func mysqlError(seq byte, code uint16, text string) []byte {
	payload := binary.LittleEndian.AppendUint16([]byte{myErr}, code)
	return packet(seq, append(payload, "#HY000"+text...))
}

const myInsecure = 3159 // ER_SECURE_TRANSPORT_REQUIRED

// acceptMySQL greets a client and takes its SSLRequest.
func acceptMySQL(s *Server, c io.ReadWriter) (Accepted, error) {
	if _, err := c.Write(packet(0, mysqlGreeting(s.Version, myOffered|mySSL))); err != nil {
		return Accepted{}, err
	}
	var head [myHeader + 4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return Accepted{}, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	capabilities := binary.LittleEndian.Uint32(head[myHeader:])
	if head[3] != 1 || n < mySSLRequest || n > myMaxLogin {
		return Accepted{}, notTLS("the client begins with %x: want an SSLRequest", head)
	}
	if n != mySSLRequest || capabilities&mySSL == 0 {
		_, err := c.Write(mysqlError(2, myInsecure, "Connections using insecure transport are prohibited"))
		return Accepted{}, cmp.Or(err, notTLS("the client logs in without TLS"))
	}
	_, err := io.ReadFull(c, make([]byte, mySSLRequest-4))
	return Accepted{}, cut(err)
}

// requestMySQL reads the greeting and sends the SSLRequest. Servers take the
// capabilities and the character set from it, not from the login.
func requestMySQL(c *Client, rw io.ReadWriter) ([]byte, error) {
	greeting, capabilities, err := readMySQLGreeting(rw)
	if err != nil {
		return nil, err
	}
	if capabilities&mySSL == 0 {
		return nil, notTLS("the server does not offer TLS")
	}
	login := c.Login
	if login == nil {
		login = &Login{capabilities: myOffered &^ myConnectWithDB &^ myConnectAttrs, maxPacket: 1 << 24, charset: myUTF8MB4}
	}
	_, err = rw.Write(packet(1, login.head(capabilities, true)))
	return greeting, err
}

// readMySQLGreeting reads a server's first packet, and what it offers.
func readMySQLGreeting(r io.Reader) (greeting []byte, capabilities uint32, err error) {
	seq, greeting, err := readPacket(r, myMaxGreeting)
	if err != nil {
		return nil, 0, cut(err)
	}
	if greeting[0] == myErr {
		return nil, 0, &Refusal{Words: greeting}
	}
	capabilities, ok := offeredByMySQL(greeting)
	if seq != 0 || !ok {
		return nil, 0, notTLS("the server greets with %.20q…: want version 10 of MySQL's protocol", greeting)
	}
	if capabilities&myNeeded != myNeeded {
		return nil, 0, notTLS("the server is too old: capabilities %#x", capabilities)
	}
	return greeting, capabilities, nil
}

// offeredByMySQL reads the capabilities in a greeting: number, version, thread,
// scramble, 0, lower half, character set, status, upper half.
func offeredByMySQL(greeting []byte) (capabilities uint32, ok bool) {
	end := bytes.IndexByte(greeting, 0)
	if greeting[0] != myProtocol10 || end < 0 || len(greeting) < end+1+4+8+1+2+1+2+2 {
		return 0, false
	}
	at := greeting[end+1+4+8+1:]
	return uint32(binary.LittleEndian.Uint16(at)) | uint32(binary.LittleEndian.Uint16(at[5:]))<<16, true
}

// versionOfMySQL is what a greeting says that the server is.
func versionOfMySQL(greeting []byte) string {
	version, _, _ := bytes.Cut(greeting[1:], []byte{0})
	return string(version)
}
