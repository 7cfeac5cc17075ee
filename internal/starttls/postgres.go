package starttls

import (
	"cmp"
	"encoding/binary"
	"io"
)

// The codes that stand where a StartupMessage has the version (PostgreSQL,
// 55.7 Message Formats).
const (
	pgCancelRequest = 80877102
	pgSSLRequest    = 80877103
	pgGSSENCRequest = 80877104
)

// tlsHandshake is the first byte of a TLS stream; that of a StartupMessage is
// 0, as it is short.
const tlsHandshake = 0x16

// pgRefusal is an ErrorResponse: as a server that is configured so says it.
var pgRefusal = pgError("SFATAL", "VFATAL", "C28000", "MTLS is required: connect with sslmode=require or better")

func pgError(fields ...string) string {
	var body string
	for _, f := range fields {
		body += f + "\x00"
	}
	length := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(body)+1))
	return string(length) + body + "\x00"
}

// acceptPostgres answers requests for encryption: TLS yes, GSS no.
func acceptPostgres(s *Server, c io.ReadWriter) (Accepted, error) {
	for gss := false; ; gss = true {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head[:1]); err != nil {
			return Accepted{}, err
		}
		if head[0] == tlsHandshake { // sslnegotiation=direct, since PostgreSQL 17
			return Accepted{Unread: head[:1]}, nil
		}
		if _, err := io.ReadFull(c, head[1:]); err != nil {
			return Accepted{}, cut(err)
		}
		length, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		switch {
		case length == 8 && code == pgSSLRequest:
			return Accepted{}, write(c, "S")
		case length == 8 && code == pgGSSENCRequest && !gss:
			if err := write(c, "N"); err != nil {
				return Accepted{}, err
			}
		case length == 16 && code == pgCancelRequest:
			return s.cancel(c, head)
		case length > 8 && code>>16 == 3:
			return Accepted{}, cmp.Or(write(c, pgRefusal), notTLS("the client begins without TLS"))
		default:
			return Accepted{}, notTLS("the client begins with %x: want an SSLRequest", head)
		}
	}
}

// cancel reads the rest of a CancelRequest: the process and its key.
func (s *Server) cancel(c io.Reader, head []byte) (Accepted, error) {
	if !s.CancelPlain {
		return Accepted{}, notTLS("the client sends a CancelRequest in plain, as libpq does before version 17, and that is not allowed")
	}
	request := append(head, make([]byte, 8)...)
	if _, err := io.ReadFull(c, request[8:]); err != nil {
		return Accepted{}, cut(err)
	}
	return Accepted{Cancel: request}, nil
}

func requestPostgres(_ *Client, rw io.ReadWriter) ([]byte, error) {
	request := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, pgSSLRequest)
	if _, err := rw.Write(request); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return nil, cut(err)
	}
	switch answer[0] {
	case 'S':
		return nil, nil
	case 'N':
		return nil, notTLS("the server does not offer TLS")
	case 'E': // not to be read further: nobody has authenticated who sends it (CVE-2024-10977)
		return nil, notTLS("the server answers with an error: it does not know TLS, or has no room")
	default:
		return nil, notTLS("the server answers with %q: want S or N", answer[0])
	}
}

// introducePostgres tells a client that was not upgraded that there is nothing
// to upgrade: it asks whether the server has TLS, and the server is in it.
func introducePostgres(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	if i.upgraded || !t.Upgraded {
		return i.client, t.Conn, nil
	}
	for range 2 {
		head := make([]byte, 8)
		n, err := io.ReadFull(i.client, head)
		code := binary.BigEndian.Uint32(head[4:])
		if err != nil || code != pgSSLRequest && code != pgGSSENCRequest {
			return prefixed(head[:n], i.client), t.Conn, nil // what is wrong is the target's to say
		}
		if err := write(i.client, "N"); err != nil {
			return nil, nil, err
		}
	}
	return i.client, t.Conn, nil
}
